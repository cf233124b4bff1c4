"""Inspection: was a picture's score put there on purpose?

An inverted picture owes its score to a change too small to see. Two kinds of look take such a change away. A plain one
is tied to single pixel values, and noise of one grey level moves the logit; a robust one survives that, and JPEG and
scaling too, but is larger than it needs to be for one exact picture, and goes when fine structure is removed. Ordinary
pictures keep their score better under both. What is smoothed is denoised by total variation, which keeps edges, and
scaled down and up again, which does not. Where the network is certain its logit says little, and ordinary pictures move
far there too: what counts is what scores between 0.01 and 0.99 do. Telling adversarial examples by how a prediction
changes when the input is squeezed, by fewer grey levels or by smoothing, is the idea of feature squeezing [1]_; total
variation denoising is that of Rudin, Osher and Fatemi, computed by Chambolle's algorithm [2]_. Whoever knows the
inspection can look for a change that passes it: a verdict of nothing found is no proof.

References
----------
.. [1] Weilin Xu, David Evans, Yanjun Qi, "Feature squeezing: detecting adversarial examples in deep neural networks",
   NDSS 2018, arXiv:1704.01155.
.. [2] Antonin Chambolle, "An algorithm for total variation minimization and applications", Journal of Mathematical
   Imaging and Vision 20, 2004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from nsfw_experiments.display import never_raises
from nsfw_experiments.inverse.attack import SMALLEST_SIDE
from nsfw_model.logit import logit_of, score_of
from nsfw_model.picture import explained, open_picture, picture_name, to_rgb
from nsfw_model.preprocess import RESIZED, Picture, prepare
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer

#: What an inspection finds.
INVERTED, ROBUSTLY_INVERTED, NOTHING_FOUND = "inverted", "robustly inverted", "nothing found"
#: In logits, chosen on one half of pictures and judged on another: benchmarks/inspection.py.
NOISE_THRESHOLD, SMOOTHING_THRESHOLD = 0.8, 3.0
#: A score that is certain, and its logit; one beyond it counts as this, up and down.
CERTAIN_SCORE = 0.99
CERTAIN = logit_of(CERTAIN_SCORE)
#: Noise of one grey level: how often on the picture itself, and on its 256x256.
NOISES = 2
#: Of how many values noise is drawn at once: each takes eight bytes then, gigabytes for a whole photograph.
_NOISE_AT_ONCE = 1 << 18
#: Of the total variation denoising, for values in 0..1.
TV_WEIGHT, TV_ITERATIONS = 0.2, 40
#: Width and height that the 256x256 is scaled to, and back.
COARSE = (64, 64)


@dataclass(frozen=True)
class Inspection:
    """Whether a picture was inverted, as far as its score shows.

    Attributes
    ----------
    score : float
        Of the picture, 0..1.
    noise : float
        In logits, which count as those of 0.01 and 0.99 where they are beyond: the median distance from the picture's
        own after noise of one grey level, twice on the picture and twice on the 256x256 that the scorer makes of it.
    smoothing : float
        In logits as these: the mean of the distances after total variation denoising of the 256x256, and after scaling
        that to 64x64 and back.
    remark : str
        What else the verdict depends on: that a picture is too small to hide a change, or which of several frames it
        is; else empty.
    too_small : bool
        Whether the picture is too small to hide a change, and nothing is found whatever the numbers are.

    Examples
    --------
    >>> print(Inspection(score=0.98, noise=3.1, smoothing=7.5))
    inverted: the logit, clipped to those of 0.01 and 0.99, moves by 3.10 under noise of one grey level (threshold 0.8)
    >>> Inspection(score=0.013, noise=0.1, smoothing=0.4).verdict
    'nothing found'
    """

    score: float
    noise: float
    smoothing: float
    remark: str = ""
    too_small: bool = False

    @property
    def verdict(self) -> str:
        """What was found.

        Returns
        -------
        {"inverted", "robustly inverted", "nothing found"}
        """
        if self.too_small:
            return NOTHING_FOUND
        if self.noise > NOISE_THRESHOLD:
            return INVERTED
        return ROBUSTLY_INVERTED if self.smoothing > SMOOTHING_THRESHOLD else NOTHING_FOUND

    @property
    def evidence(self) -> str:
        """What the verdict rests on.

        Returns
        -------
        str
        """
        logit = f"the logit, clipped to those of {1 - CERTAIN_SCORE:g} and {CERTAIN_SCORE:g},"
        noise = f"{logit} moves by {self.noise:.2f} under noise of one grey level (threshold {NOISE_THRESHOLD:g})"
        smoothing = f"by {self.smoothing:.2f} under smoothing (threshold {SMOOTHING_THRESHOLD:g})"
        numbers = noise if self.verdict == INVERTED else f"{noise}, {smoothing}"
        return f"{numbers}; {self.remark}" if self.remark else numbers

    def __str__(self) -> str:
        return f"{self.verdict}: {self.evidence}"

    @never_raises
    def _repr_html_(self) -> str | None:
        rows = (
            ("score", self.score, ""),
            ("moved by noise", self.noise, f"{NOISE_THRESHOLD:g}"),
            ("moved by smoothing", self.smoothing, f"{SMOOTHING_THRESHOLD:g}"),
        )
        cells = "".join(
            f"<tr><td>{name}</td><td>{value:.4f}</td><td>{threshold}</td></tr>" for name, value, threshold in rows
        )
        head = "<tr><th></th><th></th><th>threshold</th></tr>"
        remark = f"<p>{escape(self.remark)}</p>" if self.remark else ""
        return f"<table><caption>{self.verdict}</caption>{head}{cells}</table>{remark}"


def inspect(image: Picture, seed: int = 0, scorer: Scorer | None = None) -> Inspection:
    """Look for signs that a picture's score was put there.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`. An animation stands for its first frame, and an opened one for that which it is
        at; the remark says so.
    seed : int
        Of the noise.
    scorer : nsfw_model.scorer.Scorer, optional
        Instead of the published network, for which the thresholds were chosen.

    Returns
    -------
    Inspection
        After 7 evaluations of the network, in one batch.

    Raises
    ------
    PictureError
        If the picture cannot be read.

    Examples
    --------
    >>> inspect("img/coffee.jpg").verdict
    'nothing found'
    """
    scorer, name, opened = scorer or get_scorer(), picture_name(image), open_picture(image)
    with explained(name):
        pixels = np.asarray(to_rgb(opened, name))
    inputs = np.stack([prepare(look, scorer.input_size) for look in _looks(pixels, seed)])
    logits = scorer.logits(inputs)
    too_small = min(pixels.shape[:2]) < SMALLEST_SIDE
    remarks = []
    if too_small:
        remarks.append(
            f"{pixels.shape[1]}x{pixels.shape[0]} pixels are too few to hide a change ({SMALLEST_SIDE} a side at least)"
        )
    if getattr(opened, "is_animated", False):
        remarks.append(f"frame {opened.tell() + 1} of several" if opened.tell() else "the first of several frames")
    return Inspection(score_of(float(logits[0])), *moves(logits), "; ".join(remarks), too_small)


def looks(pixels: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Make what is evaluated.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    seed : int
        Of the noise.

    Returns
    -------
    list of ndarray of uint8
        The picture, it with noise twice, its 256x256 with noise twice, that denoised, and that scaled down and up.

    Examples
    --------
    >>> [look.shape[:2] for look in looks(np.zeros((30, 40, 3), np.uint8))]
    [(30, 40), (30, 40), (30, 40), (256, 256), (256, 256), (256, 256), (256, 256)]
    """
    return list(_looks(pixels, seed))


def _looks(pixels: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """One at a time: a picture of a few bytes may have 89 million pixels."""
    random = np.random.default_rng(seed)
    small = np.asarray(Image.fromarray(pixels).resize(RESIZED, Image.Resampling.BILINEAR))
    yield pixels
    for picture in pixels, small:
        for _ in range(NOISES):
            yield _noisy(picture, random)
    yield denoised(small)
    coarse = Image.fromarray(small).resize(COARSE, Image.Resampling.BILINEAR)
    yield np.asarray(coarse.resize(RESIZED, Image.Resampling.BILINEAR))


def moves(logits: np.ndarray) -> tuple[float, float]:
    """Sum up how far the logits of `looks` are from the picture's own.

    Parameters
    ----------
    logits : ndarray of float32, shape (7,)
        Those beyond `CERTAIN` count as that.

    Returns
    -------
    noise, smoothing : float
        See `Inspection`.

    Examples
    --------
    >>> moves(np.array([1.0, 1.25, 0.75, 1.25, 1.5, -1.0, -3.0]))
    (0.25, 3.0)
    >>> moves(np.array([-9.0, -9.0, -8.0, -8.0, -9.0, -6.0, -5.0]))
    (0.0, 0.0)
    """
    counted = np.clip(logits, -CERTAIN, CERTAIN)
    distances = np.abs(counted[1:] - counted[0])
    return float(np.median(distances[: 2 * NOISES])), float(distances[2 * NOISES :].mean())


def denoised(pixels: np.ndarray) -> np.ndarray:
    """Denoise by total variation: edges stay, fine structure goes.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Examples
    --------
    >>> denoised(np.full((8, 8, 3), 77, np.uint8))[4, 4].tolist()
    [77, 77, 77]
    """
    from skimage.restoration import denoise_tv_chambolle

    smooth = denoise_tv_chambolle(pixels / 255, weight=TV_WEIGHT, max_num_iter=TV_ITERATIONS, channel_axis=-1)
    return (255 * smooth + 0.5).clip(0, 255).astype(np.uint8)


def _noisy(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    plain = np.ascontiguousarray(pixels).reshape(-1)
    noisy = np.empty_like(plain)
    for begin in range(0, plain.size, _NOISE_AT_ONCE):
        part = plain[begin : begin + _NOISE_AT_ONCE]
        noisy[begin : begin + part.size] = np.clip(part + random.integers(-1, 2, part.size), 0, 255)
    return noisy.reshape(pixels.shape)
