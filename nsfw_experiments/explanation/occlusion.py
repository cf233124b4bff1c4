"""Explanations by hiding: how far the logit falls without a patch of the picture."""

from __future__ import annotations

import numpy as np

from nsfw_experiments.explanation.attribution import Attribution, batches, blurred
from nsfw_model.checks import check_whole
from nsfw_model.scorer import Scorer

Place = tuple[slice, slice]


def occlusion(
    scorer: Scorer, x: np.ndarray, patch: int = 32, stride: int | None = None, blur: float = 12.0
) -> Attribution:
    """Give how far the logit falls where a patch is blurred [1]_.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.
    patch : int
        Rows and columns of a patch.
    stride : int, optional
        From one patch to the next, at most `patch`, which it is if left out. Where patches overlap, the mean of their
        falls is given.
    blur : float
        How strongly it is blurred: standard deviation of the Gaussian, in pixels. Grey patches would be edges that
        the network sees.

    Returns
    -------
    Attribution
        Without a sum rule: patches hide for each other.

    Raises
    ------
    ValueError
        If a parameter is no such number.

    References
    ----------
    .. [1] Matthew D. Zeiler, Rob Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
       arXiv:1311.2901.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> occlusion(get_scorer(), prepare("img/coffee.jpg"), patch=112).cells.shape
    (224, 224)
    """
    check_whole("patch", patch, least=1, most=min(x.shape[1:]))
    stride = patch if stride is None else stride
    check_whole("stride", stride, least=1, most=patch)
    hidden = blurred(x, blur)
    all_places = places(x.shape[1:], patch, stride)
    logit = float(scorer.logits(x[np.newaxis])[0])
    falls, counts = np.zeros((2, *x.shape[1:]))
    for batch in batches(len(all_places)):
        some = [all_places[number] for number in batch]
        views = np.repeat(x[np.newaxis], len(some), 0)
        for view, (rows, columns) in zip(views, some):
            view[:, rows, columns] = hidden[:, rows, columns]
        for place, found in zip(some, scorer.logits(views)):
            falls[place] += logit - found
            counts[place] += 1
    return Attribution((falls / counts).astype(np.float32), logit, None)


def places(size: tuple[int, ...], patch: int, stride: int) -> list[Place]:
    """List the patches that cover a picture.

    Parameters
    ----------
    size : (int, int)
        Rows and columns.
    patch, stride : int
        As `occlusion` takes them. The last patches of a row or column are cut off at the border.

    Returns
    -------
    list of (slice, slice)

    Examples
    --------
    >>> [columns for _, columns in places((4, 7), 4, 2)]
    [slice(0, 4, None), slice(2, 6, None), slice(4, 7, None)]
    """
    rows, columns = (
        [slice(start, min(start + patch, side)) for start in _starts(side, patch, stride)] for side in size
    )
    return [(row, column) for row in rows for column in columns]


def _starts(side: int, patch: int, stride: int) -> range:
    return range(0, side - patch + stride, stride)
