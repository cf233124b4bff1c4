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


def test_the_psnr_of_one_value_changed_by_one_and_by_everything():
    black, changed = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)
    changed[1, 2, 0] = 1
    assert psnr(black, changed) == pytest.approx(10 * np.log10(255**2 * 60), abs=1e-9)
    assert psnr(black, np.full_like(black, 255)) == 0


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_of_two_shapes_are_not_compared(measure):
    with pytest.raises(ValueError):
        measure(noise(8, 9, 3), noise(9, 8, 3))


def test_similarity_of_structure_takes_seven_pixels_a_side():
    assert ssim(noise(7, 7, 3), noise(7, 7, 3)) == 1
    with pytest.raises(ValueError):
        ssim(noise(6, 7, 3), noise(6, 7, 3))


def test_similarity_of_structure_is_wangs_formula_in_one_window():
    # Wang and others, 2004, (13): with K1 = 0.01, K2 = 0.03, of one window of 7x7 and sample variances
    a, b = noise(7, 7, 1).astype(float)[..., 0], noise(7, 7, 1, seed=1).astype(float)[..., 0]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    (va, cov), (_, vb) = np.cov(a.ravel(), b.ravel())
    expected = (2 * a.mean() * b.mean() + c1) * (2 * cov + c2)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)
    found = ssim(a.astype(np.uint8)[..., None], b.astype(np.uint8)[..., None])
    assert found == pytest.approx(expected, rel=1e-6)
