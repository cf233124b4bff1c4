"""What may be asked of an inverse search; without heavy imports, for the command line's parser."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

#: Families of transformations that the robust mode knows, see `nsfw_experiments.inverse.families`.
FAMILIES = (
    "jpeg",
    "scale",
    "mirror",
    "half",
    "crop",
    "rotate",
    "tone",
    "blur",
    "sharpen",
    "webp",
    "avif",
)
#: The first three, which the robustness grid is made of.
CLASSIC = FAMILIES[:3]

#: What a target may be called.
NAMED_TARGETS = {"sfw": 0.0, "nsfw": 1.0}


def check_target(target: float | str) -> float:
    """Give the target as a number in 0..1.

    Parameters
    ----------
    target : float or str
        A number, also as text, or a name of `NAMED_TARGETS`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> check_target("nsfw"), check_target("0.37"), check_target(0)
    (1.0, 0.37, 0.0)
    """
    number = NAMED_TARGETS[target] if isinstance(target, str) and target in NAMED_TARGETS else _number(target)
    if not 0 <= number <= 1:  # NaN too
        raise ValueError(f'target: got {_said(target):.100}, expected a number from 0 to 1, "sfw" or "nsfw"')
    return number


def check_tolerance(tolerance: float | str) -> float:
    """Give the tolerance as a number.

    Parameters
    ----------
    tolerance : float or str

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not between 0 and 0.5.

    Examples
    --------
    >>> check_tolerance("0.01")
    0.01
    """
    number = _number(tolerance)
    if not 0 < number < 0.5:
        raise ValueError(f"tolerance: got {_said(tolerance):.100}, expected more than 0 and less than 0.5")
    return number


def check_robust(robust: bool | str | Sequence[str]) -> tuple[str, ...]:
    """Give the families of transformations that a change has to survive.

    Parameters
    ----------
    robust : bool, str or sequence of str
        True for all that this Pillow can compute, False for none; names of `FAMILIES`, in a sequence or in a text with
        commas between them; "classic" for those of `CLASSIC`.

    Returns
    -------
    tuple of str
        In the order of `FAMILIES`, each once.

    Raises
    ------
    ValueError
        If there is no such family, or this Pillow cannot write its format.

    Examples
    --------
    >>> check_robust("crop,jpeg"), check_robust("classic"), check_robust(False)
    (('jpeg', 'crop'), ('jpeg', 'scale', 'mirror'), ())
    """
    if isinstance(robust, bool):
        return tuple(family for family in FAMILIES if robust and can_be_computed(family))
    names = _names(robust)
    chosen = {family for name in names for family in (CLASSIC if name == "classic" else (name,))}
    if not chosen or not chosen <= set(FAMILIES):
        raise ValueError(f"robust: got {_said(robust):.100}, expected classic or names of {', '.join(FAMILIES)}")
    for family in chosen:
        if not can_be_computed(family):
            raise ValueError(f"robust: got {family}, which this Pillow cannot write, expected other families")
    return tuple(family for family in FAMILIES if family in chosen)


def check_scorer(scorer: object) -> None:
    """Check that this can score pictures, and give gradients.

    Parameters
    ----------
    scorer : object
        A `nsfw_model.scorer.Scorer`, or anything else that has what a search asks of one.

    Raises
    ------
    TypeError
        If it cannot.

    Examples
    --------
    >>> check_scorer("nsfw.pkl")
    Traceback (most recent call last):
    TypeError: scorer: got str, expected a nsfw_model.scorer.Scorer
    """
    if not all(hasattr(scorer, name) for name in ("input_size", "scores", "logits", "logits_and_gradients")):
        raise TypeError(f"scorer: got {type(scorer).__name__}, expected a nsfw_model.scorer.Scorer")


def can_be_computed(family: str) -> bool:
    """Tell whether this Pillow can do what a family of transformations does: some builds lack WebP or AVIF.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.

    Returns
    -------
    bool

    Examples
    --------
    >>> can_be_computed("crop")
    True
    """
    from PIL import Image

    Image.init()
    return family not in ("webp", "avif") or family.upper() in Image.SAVE


def _names(robust: object) -> list[str]:
    """The names in a text or a sequence; none where there is anything else."""
    if isinstance(robust, str):
        return [name.strip() for name in robust.split(",")]
    names = list(robust) if isinstance(robust, Iterable) else []
    return names if all(isinstance(name, str) for name in names) else []


def _number(value: float | str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _said(value: object) -> str:
    """A value in a message; Python refuses to write whole numbers of thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} of too many digits"
