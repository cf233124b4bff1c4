"""Scores and their logits: the logistic function and its inverse."""

from __future__ import annotations

import math


def logit_of(score: float) -> float:
    """Give log(score / (1 - score)); infinite at 0 and 1.

    Parameters
    ----------
    score : float
        In 0..1.

    Returns
    -------
    float

    Examples
    --------
    >>> logit_of(0.5), logit_of(1)
    (0.0, inf)
    """
    if score <= 0 or score >= 1:
        return math.copysign(math.inf, score - 0.5)
    return math.log(score / (1 - score))


def score_of(logit: float) -> float:
    """Give the score of a logit: the logistic function.

    Parameters
    ----------
    logit : float
        Any number; the largest overflow nothing.

    Returns
    -------
    float
        In 0..1.

    Examples
    --------
    >>> score_of(0.0), score_of(-1000.0), score_of(1000.0)
    (0.5, 0.0, 1.0)
    """
    if logit < -700:  # where exp(-logit) is about to overflow, and 1 beside it counts for nothing
        return math.exp(logit)
    return 1 / (1 + math.exp(-logit))
