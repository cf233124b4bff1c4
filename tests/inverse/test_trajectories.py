"""Searches go the way they went: what they try, evaluation by evaluation, with a score that has curves."""

import numpy as np
import pytest

from nsfw_experiments.inverse import Inversion
from nsfw_experiments.inverse.callbacks import closest
from nsfw_model.logit import logit_of, score_of
from open_nsfw import prepare, resize_image

CHELSEA = "img/chelsea.png"
SMALL = resize_image(CHELSEA)[64:136, 80:160]
STRIPES = np.zeros(SMALL.shape, np.uint8)
STRIPES[:, ::2] = 1


class Waves:
    """A scorer whose logit is curved along four waves of so many pixels, each in another phase for each channel.

    All of it is computed in float64, so that it hardly differs between processors; `start` is a picture's score.
    """

    input_size = 224, 224

    def __init__(self, picture, start, period, scale):
        down, right = (np.mgrid[:224, :224] - 111.5) * 2 * np.pi / period
        directions = ((1, 2), (3, 1), (0.4, 0.9), (2, 0.7))
        waves = [np.cos(a * down + phase) * np.cos(b * right + 0.3) for a, b in directions for phase in range(3)]
        self.patterns, self.middle, self.offset = np.reshape(waves, (4, -1)) / scale, 0.0, 0.0
        x = prepare(picture)[None]
        self.middle = self._along(x)
        self.offset = logit_of(start) - self.logits(x)[0]

    def _along(self, x):
        return x.reshape(len(x), -1).astype(np.float64) @ self.patterns.T - self.middle

    def logits(self, x):
        along = self._along(x)
        return (along + np.sin(2 * along) / 4).sum(1) + self.offset

    def scores(self, x):
        return np.array([score_of(float(logit)) for logit in self.logits(x)])

    def logits_and_gradients(self, x):
        gradients = (1 + np.cos(2 * self._along(x)) / 2) @ self.patterns
        return self.logits(x), gradients.reshape(x.shape).astype(np.float32)


FULL = {"full_resolution": True}
#: Picture; its score, and the waves' period and scale; target, and how it is searched for; then each step's number,
#: score and PSNR; the evaluation that reached the goal first, and that of the best.
SEARCHES = {
    "rising, to a wide target": (
        CHELSEA,
        (0.1, 20, 40000),
        0.9,
        {"iterations": 14, "tolerance": 0.02},
        """
        1 0.1000 inf   2 0.7074 50.948   3 0.7329 50.442   4 0.7675 49.901   5 0.8035 49.385
        6 0.8312 48.864   7 0.8547 48.284   8 0.8765 47.746   9 0.9001 47.187   10 0.8961 47.317
        11 0.9001 54.398
        """,
        (9, 11),
    ),
    "falling, to the end": (
        CHELSEA,
        (0.3, 20, 40000),
        "sfw",
        {"iterations": 8, "tolerance": 0.03},
        """
        1 0.3000 inf   2 0.0196 50.948   3 0.0224 51.327   4 0.0152 51.868   5 0.0128 52.652
        6 0.0142 53.607   7 0.0232 54.729   8 0.0416 56.003
        """,
        (2, 7),
    ),
    "to the middle": (
        CHELSEA,
        (0.1, 20, 40000),
        0.4,
        {"iterations": 22},
        """
        1 0.1000 inf   2 0.7074 50.948   3 0.6755 51.327   4 0.7692 51.906   5 0.7979 52.782
        6 0.7671 54.124   7 0.5311 56.352   8 0.2129 60.414   9 0.3166 59.903   10 0.3934 59.343
        11 0.4505 58.685   12 0.4626 58.970   13 0.4601 59.305   14 0.4385 59.730   15 0.4039 60.243
        16 0.4039 64.582
        """,
        (2, 16),
    ),
    "falling, to the middle": (
        CHELSEA,
        (0.95, 20, 40000),
        0.7,
        {"iterations": 22, "tolerance": 0.003},
        """
        1 0.9500 inf   2 0.4704 50.948   3 0.5047 51.328   4 0.3942 51.885   5 0.3508 52.782
        6 0.3880 54.100   7 0.6286 56.306   8 0.8725 60.416   9 0.8022 59.875   10 0.7456 59.304
        11 0.6927 58.630   12 0.6853 58.927   13 0.6902 59.242   14 0.7099 59.644   15 0.6939 59.449
        16 0.6939 63.851   17 0.7050 63.913   18 0.7003 63.883
        """,
        (2, 18),
    ),
    "to a tight target": (
        CHELSEA,
        (0.2, 20, 30000),
        0.4,
        {"iterations": 26, "tolerance": 2e-4},
        """
        1 0.2000 inf   2 0.9248 50.948   3 0.9128 51.327   4 0.9457 51.908   5 0.9546 52.797
        6 0.9446 54.195   7 0.8073 56.603   8 0.4387 60.754   9 0.2831 66.093   10 0.3681 65.201
        11 0.4461 64.359   12 0.4626 64.861   13 0.4505 65.368   14 0.4279 66.143   15 0.3796 67.172
        16 0.4102 66.655   17 0.4060 66.904   18 0.3930 67.204   19 0.4060 70.926   20 0.3977 71.037
        21 0.3997 71.006   22 0.3996 71.002   23 0.4045 70.964   24 0.3999 70.998
        """,
        (2, 24),
    ),
    "at the picture's own size": (
        SMALL,
        (0.05, 30, 60000),
        0.6,
        {"iterations": 22, "tolerance": 0.005} | FULL,
        """
        1 0.0500 inf   2 0.2483 50.936   3 0.2713 50.444   4 0.2967 49.902   5 0.3333 49.353
        6 0.3580 48.839   7 0.3888 48.299   8 0.4239 47.759   9 0.4678 47.185   10 0.5070 46.609
        11 0.5515 46.072   12 0.6028 45.512   13 0.5861 45.653   14 0.6240 45.544   15 0.6425 45.659
        16 0.6425 45.659   17 0.6744 45.830   18 0.6552 46.138   19 0.6321 46.416   20 0.6074 46.638
        21 0.6005 46.692
        """,
        (12, 21),
    ),
    "from an earlier result": (
        SMALL,
        (0.05, 30, 60000),
        0.4,
        {"iterations": 16, "start_from": SMALL + STRIPES} | FULL,
        """
        1 0.0500 inf   2 0.0530 51.141   3 0.0532 51.140   4 0.1189 49.827   5 0.2050 48.528
        6 0.3119 47.241   7 0.4431 46.008   8 0.4431 46.008   9 0.5084 46.252   10 0.4931 46.820
        11 0.4865 47.215   12 0.4529 47.852   13 0.4233 48.343   14 0.4078 48.579
        """,
        (7, 14),
    ),
    "robust, classic": (
        SMALL,
        (0.05, 60, 40000),
        0.6,
        {"iterations": 14, "robust": "classic"} | FULL,
        """
        1 0.0500 inf   9 0.2202 53.031   13 0.5236 48.058   17 0.5473 44.962   21 0.8627 42.826
        25 0.8858 41.939   29 0.8920 41.762   33 0.9063 41.586   37 0.9342 41.433   41 0.9036 41.600
        45 0.9345 41.436   49 0.9236 41.608   53 0.9173 41.777   57 0.8902 41.942   105 0.8940 41.608
        153 0.8730 41.939   201 0.8780 41.942   249 0.8004 42.826
        """,
        (105, 249),
    ),
    "robust, many families": (
        SMALL,
        (0.05, 60, 40000),
        0.6,
        {"iterations": 10, "robust": "jpeg,scale,mirror,half,crop,rotate,tone,blur,sharpen"} | FULL,
        """
        1 0.0500 inf   9 0.2117 53.121   13 0.5162 48.111   17 0.7478 45.229   21 0.5050 43.225
        25 0.9393 41.777   29 0.9446 41.930   33 0.9587 42.104   37 0.9527 42.286   41 0.8999 42.440
        103 0.8929 40.468   165 0.5920 43.021   227 0.6863 42.425   289 0.6850 42.440   351 0.6766 42.489
        413 0.6263 42.799   475 0.6263 42.799
        """,
        (103, 475),
    ),
    "robust, falling": (
        SMALL,
        (0.6, 60, 60000),
        0.4,
        {"iterations": 8, "robust": "blur,tone"} | FULL,
        """
        1 0.6000 inf   9 0.1845 52.995   13 0.0531 48.221   17 0.1358 45.371   21 0.0122 43.541
        25 0.0612 42.192   29 0.0202 42.114   33 0.0568 42.281   39 0.0378 40.292   45 0.0669 42.867
        51 0.1535 45.655   57 0.1716 46.466   63 0.1769 46.605   69 0.1769 46.605   75 0.1769 46.605
        """,
        (39, 75),
    ),
    "robust, from an earlier result": (
        SMALL,
        (0.3, 60, 60000),
        0.4,
        {"iterations": 3, "robust": "mirror,jpeg", "start_from": SMALL + STRIPES, "seed": 3} | FULL,
        """
        1 0.3000 inf   5 0.2605 51.141   9 0.5948 48.947   13 0.7919 46.963   25 0.7757 46.963
        37 0.5760 48.947
        """,
        (25, 37),
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_the_way_it_went(name):
    picture, waves, target, options, steps, firsts = SEARCHES[name]
    inversion = Inversion(picture, target, scorer=Waves(picture, *waves), **options)
    inversion.run()
    evaluations, scores, decibels = np.array(steps.split(), float).reshape(-1, 3).T
    history = inversion.history
    assert [step.evaluation for step in history] == evaluations.tolist()
    np.testing.assert_allclose([step.score for step in history], scores, rtol=0, atol=1e-3)
    np.testing.assert_allclose([step.psnr for step in history], decibels, rtol=0, atol=0.012)
    assert inversion.evaluations == evaluations[-1]
    assert (inversion._progress.first_reached, closest(history).evaluation) == firsts
