"""Families of transformations: how the robust mode draws from each, and what it demands of a result.

A picture meets the steps that are drawn in the order of `PLACES`, at most one in each place: of several families that
could stand there, the last that is drawn does. Codecs are the last step: what is saved is what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from nsfw_experiments.inverse.composition import Composition
from nsfw_experiments.pillow.edits import CodecRoundTrip, Crop, GaussianBlur, Rescaling, Rotation, Tone, UnsharpMask
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.preprocessing import HorizontalFlip, JpegRoundTrip, Transform

#: Where in a composition a family's steps stand.
PLACES = ("crop", "rotation", "tone", "filter", "scale", "mirror", "codec")
#: Ranges that are drawn from.
DRAWN_QUALITIES, DRAWN_SCALES = (50, 95), (0.5, 2.0)
DRAWN_CUT, DRAWN_DEGREES, DRAWN_TONE = 0.06, 1.5, (0.87, 1.13)
DRAWN_RADII, DRAWN_PERCENT = (0.4, 1.2), (50, 200)
DRAWN_WEBP, DRAWN_AVIF = (50, 95), (45, 80)
#: AVIF is slow to write at Pillow's speed of 6.
AVIF_SPEED = 9
#: The hardest corner of the robustness grid, in every step of a search without other families.
HARDEST_QUALITY, HARDEST_SCALE = 50, 0.75
#: By how much a margin counts less for each step since it was seen, in logits.
AGEING = 0.15
LANCZOS, BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Family:
    """One kind of transformation.

    Attributes
    ----------
    place : str
        One of `PLACES`.
    draw : callable
        From a ``numpy.random.Generator``, a step, or None.
    probability : float
        That it is drawn at all.
    required : tuple of Composition
        What a result has to survive, besides the robustness grid.
    """

    place: str
    draw: Callable[[np.random.Generator], Transform | None]
    probability: float = 1.0
    required: tuple[Composition, ...] = ()


def _crop(random: np.random.Generator) -> Crop:
    return Crop(*map(float, random.uniform(0, DRAWN_CUT, 4) * (random.random(4) < 0.6)))


def _unsharp_mask(random: np.random.Generator) -> UnsharpMask:
    return UnsharpMask(float(random.uniform(1, 3)), int(random.integers(DRAWN_PERCENT[0], DRAWN_PERCENT[1] + 1)))


def _required(*steps: Transform, name: str = "") -> Composition:
    return Composition(steps, name, required=True)


def _jpeg(quality: int) -> JpegRoundTrip:
    return JpegRoundTrip(Jpeg(quality))


#: By their names; in the order in which they are drawn.
FAMILIES = {
    "jpeg": Family("codec", lambda random: _jpeg(int(random.integers(DRAWN_QUALITIES[0], DRAWN_QUALITIES[1] + 1)))),
    "scale": Family("scale", lambda random: Rescaling(float(2 ** random.uniform(*np.log2(DRAWN_SCALES))))),
    "mirror": Family("mirror", lambda random: HorizontalFlip() if random.integers(2) else None),
    "half": Family(
        "scale",
        lambda random: Rescaling(0.5, LANCZOS if random.integers(2) else BILINEAR),
        0.15,
        (_required(Rescaling(0.5), _jpeg(75)), _required(Rescaling(0.5, LANCZOS), _jpeg(75))),
    ),
    "crop": Family(
        "crop",
        _crop,
        0.6,
        (
            _required(Crop(0.01, 0.01, 0.01, 0.01), name="crop 2 %"),
            _required(Crop(0.025, 0.025, 0.025, 0.025), name="crop 5 %"),
            _required(Crop(top=0.05, left=0.05), name="corner crop 5 %"),
        ),
    ),
    "rotate": Family(
        "rotation",
        lambda random: Rotation(float(random.uniform(-DRAWN_DEGREES, DRAWN_DEGREES))),
        0.15,
        (_required(Rotation(1)), _required(Rotation(-1))),
    ),
    "tone": Family(
        "tone",
        lambda random: Tone(*map(float, random.uniform(*DRAWN_TONE, 2))),
        0.3,
        tuple(_required(tone) for tone in (Tone(1.1), Tone(0.9), Tone(gamma=0.9), Tone(gamma=1.1))),
    ),
    "blur": Family(
        "filter",
        lambda random: GaussianBlur(float(random.uniform(*DRAWN_RADII))),
        0.25,
        (_required(GaussianBlur(1)), _required(GaussianBlur(1), _jpeg(60))),
    ),
    "sharpen": Family("filter", _unsharp_mask, 0.15, (_required(UnsharpMask()),)),
    "webp": Family(
        "codec",
        lambda random: CodecRoundTrip("WebP", int(random.integers(DRAWN_WEBP[0], DRAWN_WEBP[1] + 1))),
        0.15,
        (_required(CodecRoundTrip("WebP", 80)), _required(CodecRoundTrip("WebP", 50))),
    ),
    "avif": Family(
        "codec",
        lambda random: CodecRoundTrip(
            "AVIF", int(random.integers(DRAWN_AVIF[0], DRAWN_AVIF[1] + 1)), (("speed", AVIF_SPEED),)
        ),
        0.06,
        (_required(CodecRoundTrip("AVIF", 60)),),
    ),
}


def draw(families: Sequence[str], random: np.random.Generator) -> Composition:
    """Draw what may happen to a picture.

    Parameters
    ----------
    families : sequence of str
        Names of `FAMILIES`.
    random : numpy.random.Generator

    Returns
    -------
    Composition

    Examples
    --------
    >>> print(draw(("jpeg", "scale", "mirror"), np.random.default_rng(0)))
    x0.727, mirrored, JPEG 89
    """
    steps: dict[str, Transform | None] = {}
    for name, family in FAMILIES.items():
        if name in families and (family.probability == 1 or random.random() < family.probability):
            steps[family.place] = family.draw(random)
    return Composition(tuple(step for step in map(steps.get, PLACES) if step))


class Batches:
    """What each step of an EOT attack is taken for: compositions drawn at random, and those that are hardest.

    Where families demand more than the robustness grid, half of each batch are those of what is required whose margins
    were the smallest when they were last in a batch; margins from long ago count less (online hard example mining
    [1]_). Otherwise the hardest corner of the robustness grid is always there.

    Parameters
    ----------
    families : sequence of str
        Names of `FAMILIES`.
    size : int
        Compositions of a batch.
    random : numpy.random.Generator

    References
    ----------
    .. [1] Abhinav Shrivastava, Abhinav Gupta, Ross Girshick, "Training region-based object detectors with online hard
       example mining", CVPR 2016, arXiv:1604.03540.

    Examples
    --------
    >>> batches = Batches(("jpeg", "half"), 2, np.random.default_rng(0))
    >>> for margin in (3.0, 1.0, 2.0, 4.0):
    ...     hardest, at_random = batches.draw()
    ...     _ = batches.note([margin, -5.0])
    ...     print(hardest)
    JPEG 50
    x0.5, JPEG 75
    x0.5 lanczos, JPEG 75
    x0.5, JPEG 75
    """

    def __init__(self, families: Sequence[str], size: int, random: np.random.Generator):
        self.families, self.size, self.random = families, size, random
        self._corners, others = _hardest_corners(families), required(families)
        # Their margins when last seen, less what has aged since
        self._mined = dict.fromkeys([*self._corners, *others] if others else [], 0.0)
        self._hardest: list[Composition] = []

    def draw(self) -> list[Composition]:
        """Give the next batch; the hardest are its first."""
        if self._mined:
            self._hardest = sorted(self._mined, key=self._mined.__getitem__)[: self.size // 2]
        else:
            self._hardest = [self._corners[self.random.integers(len(self._corners))]] if self._corners else []
        return self._hardest + [draw(self.families, self.random) for _ in range(self.size - len(self._hardest))]

    def note(self, margins: Sequence[float]) -> float:
        """Take the margins of the batch that was drawn last, and give the smallest of them that counts.

        Parameters
        ----------
        margins : sequence of float
            How far each logit lies beyond the goal.

        Returns
        -------
        float
            Of what is required only, if that was mined: what is drawn at random may be much harder.
        """
        if not self._mined:
            return min(margins)
        for composition in self._mined:
            self._mined[composition] -= AGEING
        self._mined.update(zip(self._hardest, margins))
        return min(margins[: len(self._hardest)])


def _hardest_corners(families: Sequence[str]) -> list[Composition]:
    """The hardest corner of the robustness grid, as it is and mirrored, as far as families have it."""
    if "jpeg" not in families:
        return []
    scaled = [Rescaling(HARDEST_SCALE)] if "scale" in families else []
    flips: list[list[Transform]] = [[], [HorizontalFlip()]] if "mirror" in families else [[]]
    return [Composition((*scaled, *flip, _jpeg(HARDEST_QUALITY)), required=True) for flip in flips]


def required(families: Sequence[str]) -> tuple[Composition, ...]:
    """Give what a result has to survive, besides the robustness grid.

    Parameters
    ----------
    families : sequence of str
        Names of `FAMILIES`.

    Returns
    -------
    tuple of Composition

    Examples
    --------
    >>> print(*required(("jpeg", "half")), sep="; ")
    x0.5, JPEG 75; x0.5 lanczos, JPEG 75
    """
    return tuple(
        composition for name, family in FAMILIES.items() if name in families for composition in family.required
    )


def not_required(families: Sequence[str]) -> tuple[Composition, ...]:
    """Give what other families than these would demand.

    Parameters
    ----------
    families : sequence of str
        Names of `FAMILIES`.

    Returns
    -------
    tuple of Composition
        None of them required.

    Examples
    --------
    >>> print(*not_required([name for name in FAMILIES if name != "sharpen"]))
    unsharp mask 2, 150 %
    """
    others = required([name for name in FAMILIES if name not in families])
    return tuple(replace(composition, required=False) for composition in others)
