"""Inverse scoring: a picture is changed invisibly until its score is the one asked for.

Its files::

    attack       `inverse`: from a picture to another and a record; `Inversion`: the same step by step
    target       what may be asked
    search       the goal, the searches towards it, and their progress
    prune        taking back what a JPEG does not show
    eot          the EOT attack: changes that survive transformations
    families     the families of transformations: what is drawn and what is demanded
    composition  transformations one after the other
    wild         scores after what happens to pictures, drawn and never drawn
    record       what came of it
    comparison   a picture, what was made of it, and their difference
    callbacks    a progress bar and a live view
    stability    how firmly a picture holds its score under transformations
    surrogate    the original's way: a learned surrogate of JPEG (BPDA)

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import deprecated_names, lazy_dir, lazy_names

if TYPE_CHECKING:
    from nsfw_experiments.inverse.attack import Inversion, inverse, read_pixels

_ATTACK = "nsfw_experiments.inverse.attack"
# `nsfw_experiments.inverse` was the module that is now `attack`.
_ONCE_HERE = ("LARGEST_AREA", "LARGEST_ROBUST_AREA", "SMALLEST_SIDE")

__all__ = ["Inversion", "inverse", "read_pixels"]

__getattr__ = deprecated_names(
    __name__,
    {name: f"{_ATTACK}:{name}" for name in _ONCE_HERE},
    otherwise=lazy_names(__name__, dict.fromkeys(__all__, _ATTACK)),
)
__dir__ = lazy_dir(__name__)
