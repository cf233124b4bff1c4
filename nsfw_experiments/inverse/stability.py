"""Stability under transformations: how firmly does a picture hold its score?

A picture whose score was changed on purpose by a change too small to see owes that score to one exact way of
looking at it. `fragility` scores a picture again after transformations that nobody sees either, and sums up how far
the score moves: an ordinary picture's hardly does. Telling adversarial examples by how a prediction changes when the
input is transformed is the idea of feature squeezing [1]_.

References
----------
.. [1] Weilin Xu, David Evans, Yanjun Qi, "Feature squeezing: detecting adversarial examples in deep neural networks",
   NDSS 2018, arXiv:1704.01155.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from nsfw_experiments.display import never_raises
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_model.logit import score_of
from nsfw_model.preprocess import Picture, prepare, read_picture
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer

QUALITIES = (95, 90, 85, 80, 75, 70, 60, 50)
SCALES = (0.5, 0.75, 0.9, 1.1, 1.5, 2.0)
SHIFTS = ((1, 0), (-1, 0), (0, 1), (0, -1))
NOISES = 4


@dataclass(frozen=True)
class Fragility:
    """How a picture's score moves under transformations that should not matter.

    Attributes
    ----------
    score : float
        Of the picture itself, 0..1.
    scores : dict of str to float
        After each transformation, by its name.
    number : float
        The median distance of the logits from the picture's own, after transformations that leave every pixel's
        value within a few levels of itself or of its neighbour (JPEG of quality 80 and more, noise of one
        level, shifts by one pixel): near 0 for an ordinary picture; a score that was put there comes off.

    Notes
    -----
    Logits, since from 0.999 to 0.98 is as far as from 0.5 to 0.05, and probabilities hide it.
    """

    score: float
    scores: dict[str, float]
    number: float

    def __str__(self) -> str:
        lines = [f"{'as it is':<16} {self.score:.6f}"]
        lines += [f"{name:<16} {score:.6f}  {score - self.score:+.6f}" for name, score in self.scores.items()]
        return "\n".join([*lines, f"fragility {self.number:.3f}"])

    @never_raises
    def _repr_png_(self) -> bytes | None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 0.22 * len(self.scores) + 1), layout="constrained")
        axes = figure.subplots()
        axes.plot(list(self.scores.values()), list(self.scores), "o")
        axes.axvline(self.score, color="tab:red")
        axes.invert_yaxis()
        axes.set(xlim=(-0.02, 1.02), xlabel="score", title=f"fragility {self.number:.3f}")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=80)
        return file.getvalue()

    @never_raises
    def _repr_html_(self) -> str | None:
        rows = [("as it is", self.score), *self.scores.items()]
        cells = "".join(
            f"<tr><td>{escape(name)}</td><td>{score:.6f}</td><td>{score - self.score:+.6f}</td>"
            f'<td style="min-width:104px;text-align:left"><div style="width:{100 * score:.0f}px;height:0.8em;'
            'background:#888"></div></td></tr>'
            for name, score in rows
        )
        head = "<tr><th></th><th>score</th><th>change</th><th></th></tr>"
        return f"<table><caption>fragility {self.number:.3f}</caption>{head}{cells}</table>"


def fragility(image: Picture, seed: int = 0, scorer: Scorer | None = None) -> Fragility:
    """Score a picture again after JPEG, shifts, scaling, mirroring and noise.

    Parameters
    ----------
    image : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        See `open_nsfw.read_picture`.
    seed : int
        Of the noise.
    scorer : nsfw_model.scorer.Scorer, optional
        Instead of the published network.

    Returns
    -------
    Fragility
        After 23 transformations.

    Raises
    ------
    PictureError
        If the picture cannot be read.

    Examples
    --------
    >>> report = fragility("img/coffee.jpg")
    >>> round(report.score, 3), report.number < 1
    (0.013, True)
    """
    pixels = np.asarray(read_picture(image))
    names, logits = ["as it is"], [_logit(pixels, scorer)]
    telling = []
    for name, small, changed in _transformed(pixels, np.random.default_rng(seed)):
        names.append(name)
        logits.append(_logit(changed, scorer))
        if small:
            telling.append(abs(logits[-1] - logits[0]))
    scores = [score_of(logit) for logit in logits]
    return Fragility(scores[0], dict(zip(names[1:], scores[1:])), float(np.median(telling)))


def _logit(pixels: np.ndarray, scorer: Scorer | None) -> float:
    scorer = scorer or get_scorer()
    return float(scorer.logits(prepare(pixels, scorer.input_size)[None])[0])


def _transformed(pixels: np.ndarray, random: np.random.Generator) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Names of transformations, whether they are small, and the transformed pictures."""
    for quality in QUALITIES:
        yield f"JPEG {quality}", quality >= 80, Jpeg(quality)(pixels)
    for down, right in SHIFTS:
        yield f"shift {down:+d} {right:+d}", True, _shifted(pixels, down, right)
    height, width = pixels.shape[:2]
    for scale in SCALES:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        scaled = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        yield f"scale x{scale:g}", False, np.asarray(scaled)
    yield "mirrored", False, np.ascontiguousarray(pixels[:, ::-1])
    for number in range(NOISES):
        noise = random.integers(-1, 2, pixels.shape)
        yield f"noise {number + 1}", True, np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _shifted(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moved by a pixel, the edge repeated."""
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(padded[1 - down : 1 - down + height, 1 - right : 1 - right + width])
