"""A score that resists: the median over views of a picture that look alike.

A picture that was changed invisibly until the network said something else (inverse scoring, adversarial examples) holds
its score on one exact way only. Ordinary pictures score much the same when they are shifted by a pixel or compressed
once more, as a viewer would expect. So the median of a few such views is near an ordinary picture's score, and near
what a changed one scored before its change. It is "feature squeezing" [1]_ with the median in place of a verdict, and
no defence against changes that were made to survive such views [2]_.

References
----------
.. [1] W. Xu, D. Evans, Y. Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks", NDSS 2018.
.. [2] W. He, J. Wei, X. Chen, N. Carlini, D. Song, "Adversarial Example Defenses: Ensembles of Weak Defenses are not
   Strong", WOOT 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from nsfw_model.logit import score_of
from nsfw_model.preprocess import CROPPED, Picture, compress, prepare, resize_image

if TYPE_CHECKING:
    from nsfw_model.scorer import Scorer


def _shifted(picture: Image.Image, right: int, down: int) -> Image.Image:
    """Shifted in a circle: what leaves on one side comes in on the other, where the scorer does not look."""
    return ImageChops.offset(picture, right, down)


def _blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


#: What makes each view of a picture of 256x256 pixels; the first is the picture itself.
VIEWS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "itself": lambda picture: picture,
    "shifted right": partial(_shifted, right=1, down=0),
    "shifted up": partial(_shifted, right=0, down=-1),
    "JPEG 90": partial(compress, quality=90),
    "blurred": partial(_blurred, radius=0.5),
}


def prepare_views(img: Picture, size: tuple[int, int] = CROPPED) -> np.ndarray:
    """Do Yahoo's preprocessing of each view of a picture.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As `nsfw_model.preprocess.prepare` takes it.
    size : (int, int)
        As for that.

    Returns
    -------
    ndarray of float32, shape (5, 3, 224, 224) or (5, 3, height, width)
        The first is what `prepare` gives.

    Raises
    ------
    PictureError, ValueError
        As `prepare`.

    Examples
    --------
    >>> prepare_views(np.zeros((10, 20, 3), np.uint8)).shape
    (5, 3, 224, 224)
    """
    resized = resize_image(img, convert_to_array=False)
    return np.stack([prepare(view(resized), size) for view in VIEWS.values()])


def resisting_scores(scorer: Scorer, x: np.ndarray) -> np.ndarray:
    """Score pictures by the medians of their views.

    Parameters
    ----------
    scorer : nsfw_model.scorer.Scorer
    x : ndarray of float32, shape (n, views, 3, height, width)
        Of each picture what `prepare_views` gives.

    Returns
    -------
    ndarray of float64, shape (n,)
        In 0..1.

    Examples
    --------
    >>> from open_nsfw import get_scorer
    >>> resisting_scores(get_scorer(), prepare_views("img/coffee.jpg")[None]).round(2).tolist()
    [0.01]
    """
    logits = np.stack([scorer.logits(view) for view in x.swapaxes(0, 1)])
    return np.array([score_of(float(logit)) for logit in np.median(logits, axis=0)])
