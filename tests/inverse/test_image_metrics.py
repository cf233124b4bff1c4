"""Measures of how far apart two pictures are, and the logistic function."""

import numpy as np
import pytest

from nsfw_experiments.image_metrics import norm_of_psnr, psnr, ssim
from nsfw_model.logit import logit_of, score_of


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_similarity_measures():
    a, b = noise(40, 50, 3), noise(40, 50, 3, seed=1)
    assert psnr(a, a) == np.inf and ssim(a, a) == 1
    assert abs(ssim(a, b)) < 0.05  # noise is like no other noise
    assert psnr(a, np.where(a > 0, a - 1, 1).astype(np.uint8)) == pytest.approx(20 * np.log10(255))
    difference = np.linalg.norm(a.astype(float) - b)
    assert norm_of_psnr(psnr(a, b), a.size) == pytest.approx(difference)


def test_logits_of_any_size_have_a_score():
    for logit in (-1000.0, -701.0, -30.0, 0.0, 3.0, 30.0, 1000.0):
        assert 0 <= score_of(logit) <= 1
        assert logit_of(score_of(logit)) == pytest.approx(logit, rel=1e-3) or abs(logit) > 40
    assert logit_of(score_of(-699.0)) == pytest.approx(-699)
