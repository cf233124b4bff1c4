"""Inverse scoring: a picture is changed invisibly until its score is the one asked for.

    attack       `inverse`: from a picture to another and a record
    target       what may be asked
    search       the goal, the searches towards it, and their progress
    prune        taking back what a JPEG does not show
    eot          the EOT attack: changes that survive transformations
    record       what came of it
    callbacks    a progress bar and a live view
    stability    how firmly a picture holds its score under transformations
    surrogate    the original's way: a learned surrogate of JPEG (BPDA)

This face imports nothing until a name is asked for.
"""

from theano_compat.deprecation import lazy_names

_HOMES = dict.fromkeys(("inverse", "read_pixels"), "nsfw_experiments.inverse.attack")

__all__ = ["inverse", "read_pixels"]

__getattr__ = lazy_names(__name__, _HOMES)
