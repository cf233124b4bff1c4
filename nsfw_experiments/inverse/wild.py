"""Survival in the wild: scores after what people and services do to pictures, apart what a search never drew.

What is required of a result are the compositions of the families that were drawn
(`nsfw_experiments.inverse.families`). Whether the change survives more than it was made for is told by `NEVER_DRAWN`:
other filters, two codecs one after the other, the known settings of messengers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from nsfw_experiments.inverse.composition import Composition
from nsfw_experiments.inverse.families import FAMILIES, not_required, required
from nsfw_experiments.inverse.target import can_be_computed
from nsfw_experiments.pillow.edits import CodecRoundTrip, Crop, LongestSide, Rescaling, Rotation
from nsfw_experiments.pillow.preprocessing import Pipeline
from nsfw_model.logit import score_of
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer

LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC


def _jpeg(quality: int, subsampling: str = "4:2:0") -> CodecRoundTrip:
    """Pillow's own coder: nothing here needs the gradient of ours."""
    return CodecRoundTrip("JPEG", quality, (("subsampling", subsampling),))


#: What no search has drawn: a result that holds its score here was not made for it. The longest sides and qualities of
#: Signal and Telegram are those of their clients' source (Signal-Android, PushMediaConstraints; Telegram for Android,
#: AndroidUtilities.getPhotoSize and SendMessagesHelper; Telegram Desktop, its photos' "JPG", 87); WhatsApp's are what
#: users measured. Pictures below those sizes are only saved again.
NEVER_DRAWN = (
    Composition((_jpeg(70), _jpeg(70)), "JPEG 70 twice"),
    Composition((CodecRoundTrip("WebP", 80), _jpeg(75)), "WebP 80, then JPEG 75"),
    Composition((Rescaling(1.25, BICUBIC),), "screenshot at 1.25"),
    Composition((Rescaling(1.25, BICUBIC), _jpeg(80)), "screenshot at 1.25, JPEG 80"),
    Composition((LongestSide(1080, LANCZOS, enlarged=True), _jpeg(85)), "1080 wide, JPEG 85"),
    Composition((LongestSide(1080, LANCZOS, enlarged=True), _jpeg(85, "4:4:4")), "1080 wide, JPEG 85 4:4:4"),
    Composition((LongestSide(1600), _jpeg(70)), "Signal"),
    Composition((LongestSide(1280), _jpeg(80)), "Telegram, Android"),
    Composition((LongestSide(1280), _jpeg(87)), "Telegram, desktop"),
    Composition((LongestSide(1600), _jpeg(75)), "WhatsApp"),
    Composition((LongestSide(1080, BICUBIC, enlarged=True), _jpeg(75)), "phone's screenshot by WhatsApp"),
    Composition((Crop(0.025, 0.025, 0.025, 0.025), Rescaling(1.25, BICUBIC), _jpeg(70)), "crop 5 %, x1.25, JPEG 70"),
    Composition((Rotation(1, BICUBIC),)),
    Composition((Rescaling(0.5, BICUBIC), _jpeg(75))),
)


def compositions(families: Sequence[str]) -> tuple[Composition, ...]:
    """Give what `wild_scores` tries by default.

    Parameters
    ----------
    families : sequence of str
        Names of `nsfw_experiments.inverse.families.FAMILIES`.

    Returns
    -------
    tuple of Composition
        What is required of a result for these families; what others would require; what was never drawn. Without
        formats that this Pillow cannot write.

    Examples
    --------
    >>> print(*map(str, compositions(("jpeg", "half"))[:2]), sep="; ")
    x0.5, JPEG 75; x0.5 lanczos, JPEG 75
    """
    computable = [family for family in FAMILIES if can_be_computed(family)]
    others = not_required([family for family in FAMILIES if family in families or family not in computable])
    undrawn = (each for each in NEVER_DRAWN if "webp" in computable or "WebP" not in str(each))
    return (*required(families), *others, *undrawn)


def wild_scores(
    pixels: np.ndarray, scorer: Scorer | None = None, tried: Sequence[Composition] | None = None
) -> dict[Composition, float]:
    """Score a picture after each composition.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    scorer : nsfw_model.scorer.Scorer, optional
    tried : sequence of Composition, optional
        Left out: `compositions` of all families.

    Returns
    -------
    dict of Composition to float
        Scores in 0..1.

    Examples
    --------
    >>> from open_nsfw import resize_image
    >>> for composition, score in wild_scores(resize_image("img/coffee.jpg"), tried=NEVER_DRAWN[:1]).items():
    ...     print(composition, round(score, 2))
    JPEG 70 twice 0.02
    """
    scorer = scorer or get_scorer()
    tried = compositions(tuple(FAMILIES)) if tried is None else tried
    pipelines = (composition.pipeline(scorer.input_size) for composition in tried)
    return dict(zip(tried, scores_through(pipelines, pixels, scorer)))


def scores_through(pipelines: Iterable[Pipeline], pixels: np.ndarray, scorer: Scorer) -> Iterator[float]:
    """Score a picture after each of some pipelines.

    Parameters
    ----------
    pipelines : iterable of Pipeline
    pixels : ndarray of uint8, shape (height, width, 3)
    scorer : nsfw_model.scorer.Scorer

    Yields
    ------
    float
        In 0..1.

    Examples
    --------
    >>> from nsfw_experiments.pillow.preprocessing import preprocessing
    >>> from open_nsfw import resize_image
    >>> pixels = resize_image("img/coffee.jpg")
    >>> [round(score, 2) for score in scores_through([preprocessing((256, 256))], pixels, get_scorer())]
    [0.01]
    """
    for pipeline in pipelines:
        yield score_of(float(scorer.logits(pipeline.forward(pixels)[0][None])[0]))


def wild_table(scores: Mapping[Composition, float]) -> str:
    """Lay out scores in the wild: a row for each composition, those not required apart.

    Parameters
    ----------
    scores : mapping of Composition to float
        As `wild_scores` gives them.

    Returns
    -------
    str
        Lines of text.

    Examples
    --------
    >>> from nsfw_experiments.pillow.edits import GaussianBlur
    >>> blur = Composition((GaussianBlur(1),), required=True)
    >>> print(wild_table({blur: 0.95, NEVER_DRAWN[0]: 0.9}))
    required
      blur 1                           0.9500
    not required, never drawn
      JPEG 70 twice                    0.9000
    lowest 0.9500 of those required, 0.9000 of the others
    """
    lines, lowest = [], []
    for is_required, title, summary in (
        (True, "required", "of those required"),
        (False, "not required, never drawn", "of the others"),
    ):
        rows = {str(each): score for each, score in scores.items() if each.required is is_required}
        if rows:
            lines += [title, *(f"  {name:<32} {score:.4f}" for name, score in rows.items())]
            lowest.append(f"{min(rows.values()):.4f} {summary}")
    missing = [family.upper() for family in FAMILIES if not can_be_computed(family)]
    notes = [f"this Pillow cannot write {', '.join(missing)}: neither drawn nor required"] if missing else []
    return "\n".join([*lines, *([f"lowest {', '.join(lowest)}"] if lowest else []), *notes])
