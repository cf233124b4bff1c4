"""Explanations by gradients of the logit with respect to the network's input."""

from __future__ import annotations

import numpy as np

from nsfw_experiments.explanation.attribution import MOST_NOISE, Attribution, batches, blurred, check_above_zero
from nsfw_experiments.explanation.path_integral import PathIntegral
from nsfw_model.checks import check_whole
from nsfw_model.scorer import Scorer

#: Parts of the way that `integrated_gradients` halves at once, and when it gives up.
HALVED_AT_ONCE, MOST_EVALUATIONS = 8, 512


def input_gradient(scorer: Scorer, x: np.ndarray) -> Attribution:
    """Give how the logit changes where the picture gets brighter [1]_: the gradient, summed over colours.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.

    Returns
    -------
    Attribution
        The mean of its cells is the change of the logit for each grey level by which the whole picture gets brighter.
        It says nothing of the logit itself: `baseline_logit` is None.

    References
    ----------
    .. [1] Karen Simonyan, Andrea Vedaldi, Andrew Zisserman, "Deep inside convolutional networks: visualising image
       classification models and saliency maps", 2013, arXiv:1312.6034.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> input_gradient(get_scorer(), prepare("img/coffee.jpg")).cells.shape
    (224, 224)
    """
    logits, gradients = scorer.logits_and_gradients(x[np.newaxis])
    return Attribution(_as_cells(gradients[0]), float(logits[0]), None)


def smooth_grad(scorer: Scorer, x: np.ndarray, samples: int = 32, noise: float = 25.0, seed: int = 0) -> Attribution:
    """Give the mean of input gradients of a picture with different noises on it [1]_.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.
    samples : int
        How many noises.
    noise : float
        Their standard deviation, in grey levels.
    seed : int
        Of the noises.

    Returns
    -------
    Attribution
        As `input_gradient`.

    Raises
    ------
    ValueError
        If a parameter is no such number.

    References
    ----------
    .. [1] Daniel Smilkov, Nikhil Thorat, Been Kim, Fernanda Viégas, Martin Wattenberg, "SmoothGrad: removing noise by
       adding noise", 2017, arXiv:1706.03825.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> smooth_grad(get_scorer(), prepare("img/coffee.jpg"), samples=2).cells.shape
    (224, 224)
    """
    check_whole("samples", samples, least=1)
    check_above_zero("noise", noise, MOST_NOISE)
    check_whole("seed", seed, least=0)
    rng = np.random.default_rng(seed)
    total = np.zeros(x.shape)
    for batch in batches(samples):
        noises = rng.standard_normal((len(batch), *x.shape), np.float32)
        _, gradients = scorer.logits_and_gradients(x + np.float32(noise) * noises)
        total += gradients.sum(0, dtype=np.float64)
    return Attribution(_as_cells(total / samples), float(scorer.logits(x[np.newaxis])[0]), None)


def integrated_gradients(
    scorer: Scorer, x: np.ndarray, steps: int = 32, blur: float = 12.0, tolerance: float = 0.01
) -> Attribution:
    """Share out what a picture's logit has more than that of its blurred self [1]_.

    The gradient is summed along the straight way from one to the other. From black or from the mean colour, which the
    network has never seen, the sum does not converge.

    Parameters
    ----------
    scorer : Scorer
    x : ndarray of float32, shape (3, height, width)
        Network input.
    steps : int
        How many gradients are summed at first, more of them near the blurred picture.
    blur : float
        How strongly the picture is blurred: standard deviation of the Gaussian, in pixels of the network's input.
    tolerance : float
        By how much the sum may miss the difference of the two logits, as a share of it. While it misses by more, steps
        are added where they are needed the most, until there are `MOST_EVALUATIONS`. With infinity none are.

    Returns
    -------
    Attribution
        Its `baseline_logit` is that of the blurred picture.

    Raises
    ------
    ValueError
        If a parameter is no such number.

    References
    ----------
    .. [1] Mukund Sundararajan, Ankur Taly, Qiqi Yan, "Axiomatic attribution for deep networks", ICML 2017,
       arXiv:1703.01365.

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> cells, logit, baseline_logit = integrated_gradients(get_scorer(), prepare("img/coffee.jpg"))
    >>> bool(abs(cells.mean() + baseline_logit - logit) <= 0.0101 * abs(logit - baseline_logit))
    True
    """
    check_whole("steps", steps, least=1, most=MOST_EVALUATIONS)
    check_above_zero("tolerance", tolerance, np.inf)
    integral = PathIntegral(scorer, blurred(x, blur), x, steps)
    allowed = tolerance * abs(integral.end_logit - integral.start_logit)
    while abs(integral.gap()) > allowed and integral.evaluations < MOST_EVALUATIONS:
        integral.refine(HALVED_AT_ONCE)
    return Attribution(_as_cells(integral.attributions()), integral.end_logit, integral.start_logit)


def _as_cells(attributions: np.ndarray) -> np.ndarray:
    """Sums over colours, so large that their mean is the sum of all."""
    summed = attributions.sum(0, dtype=np.float64)
    return (summed * summed.size).astype(np.float32)
