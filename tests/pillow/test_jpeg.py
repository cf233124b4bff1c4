"""The JPEG model against Pillow itself, and its gradient against numeric differentiation."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nsfw_experiments.pillow.jpeg import SUBSAMPLINGS, Jpeg

SAMPLINGS = st.sampled_from(sorted(SUBSAMPLINGS))
SEEDS = st.integers(0, 2**32 - 1)


def pillow_jpeg(pixels, quality, subsampling):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def picture(kind, seed, height, width):
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "extremes":
        return rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255
    if kind == "flat":
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    down, across = np.linspace(0, 255, height)[:, None, None], np.linspace(0, 30, width)[:, None]
    return np.clip(down * rng.random(3) + across, 0, 255).astype(np.uint8)


@settings(max_examples=250)
@given(
    st.sampled_from(["noise", "extremes", "flat", "slope"]),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 95),
    SAMPLINGS,
    SEEDS,
)
def test_every_value_is_pillows(kind, height, width, quality, subsampling, seed):
    pixels = picture(kind, seed, height, width)
    coded = Jpeg(quality, subsampling)(pixels)
    np.testing.assert_array_equal(coded, pillow_jpeg(pixels, quality, subsampling))


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
def test_every_value_is_pillows_at_every_quality(subsampling):
    pixels = picture("noise", 0, 35, 50)
    differing = [
        quality
        for quality in range(1, 96)
        if (Jpeg(quality, subsampling)(pixels) != pillow_jpeg(pixels, quality, subsampling)).any()
    ]
    assert differing == []


def test_pillows_defaults_are_ours():
    pixels = picture("noise", 3, 256, 256)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    np.testing.assert_array_equal(Jpeg()(pixels), np.asarray(Image.open(file)))


def test_the_quantisation_tables_are_those_in_pillows_file():
    for quality in (1, 10, 24, 25, 49, 50, 75, 95):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        tables = Image.open(file).quantization
        for index, steps in enumerate(Jpeg(quality).steps):
            assert list(tables[index]) == steps.ravel().tolist()


@pytest.mark.parametrize("quality", [0, 96, -1, 75.5, float("nan"), "75"])
def test_other_qualities_are_refused(quality):
    with pytest.raises(ValueError, match="JPEG quality: got .*, expected a whole number from 1 to 95"):
        Jpeg(quality)


def test_other_subsamplings_and_arrays_are_refused():
    with pytest.raises(ValueError, match="JPEG subsampling: got '4:1:1'"):
        Jpeg(75, "4:1:1")
    with pytest.raises(ValueError, match="expected uint8"):
        Jpeg()(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="coefficients: got None, expected those of the picture"):
        Jpeg().vjp(np.zeros((8, 8, 3)), straight_through_exponent=6.0)


# The float JPEG, written out a second time and without NumPy tricks: what the gradient is the gradient of.

YCC = np.array([[0.299, 0.587, 0.114], [-0.299 / 1.772, -0.587 / 1.772, 0.5], [0.5, -0.587 / 1.402, -0.114 / 1.402]])


def smooth_round(unrounded, exponent):
    """A quantiser with the derivative f**p: exact rounding plus a bump that vanishes at the middle."""
    if not exponent:
        return unrounded
    error = unrounded - np.rint(unrounded)
    return np.rint(unrounded) + np.sign(error) * np.abs(2 * error) ** (exponent + 1) / (2 * (exponent + 1))


def float_plane(plane, steps, exponent):
    """The coded plane, and its coefficients in units of their steps."""
    k, n = np.mgrid[:8, :8]
    dct = np.where(k == 0, np.sqrt(1 / 8), 0.5) * np.cos((2 * n + 1) * k * np.pi / 16)
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % 8), (0, -width % 8)), "edge")
    unrounded = np.empty_like(padded)
    for top in range(0, padded.shape[0], 8):
        for left in range(0, padded.shape[1], 8):
            block = np.s_[top : top + 8, left : left + 8]
            unrounded[block] = dct @ (padded[block] - 128) @ dct.T / steps
            padded[block] = dct.T @ (smooth_round(unrounded[block], exponent) * steps) @ dct + 128
    return padded[:height, :width], unrounded


def triangle(samples):
    """Twice as many rows."""
    above, below = np.vstack([samples[:1], samples[:-1]]), np.vstack([samples[1:], samples[-1:]])
    upsampled = np.empty((2 * samples.shape[0], samples.shape[1]))
    upsampled[0::2], upsampled[1::2] = (3 * samples + above) / 4, (3 * samples + below) / 4
    return upsampled


def float_jpeg(pixels, quality, subsampling, exponent):
    height, width, _ = pixels.shape
    across, down = SUBSAMPLINGS[subsampling]
    luma_steps, chroma_steps = Jpeg(quality, subsampling).steps
    ycc = pixels @ YCC.T + [0, 128, 128]
    luma, luma_unrounded = float_plane(ycc[..., 0], luma_steps, exponent)
    planes, chroma_unrounded = [luma], []
    for chroma in (ycc[..., 1], ycc[..., 2]):
        chroma = np.pad(chroma, ((0, -height % down), (0, -width % (8 * across))), "edge")
        rows, columns = chroma.shape
        chroma = chroma.reshape(rows // down, down, columns // across, across).mean((1, 3))
        chroma, unrounded = float_plane(chroma, chroma_steps, exponent)
        chroma_unrounded.append(unrounded)
        chroma = chroma[:, : -(-width // across)]
        if chroma.shape[1] <= 2:  # jdsample.c: too narrow for the triangle, "downsampled_width > 2"
            chroma = chroma.repeat(down, 0).repeat(across, 1)
        else:
            chroma = triangle(chroma) if down == 2 else chroma
            chroma = triangle(chroma.T).T if across == 2 else chroma
        planes.append(chroma[:height, :width])
    rgb = (np.stack(planes, -1) - [0, 128, 128]) @ np.linalg.inv(YCC).T
    return rgb, (luma_unrounded, np.stack(chroma_unrounded))


@pytest.mark.parametrize("exponent", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
@pytest.mark.parametrize("size", [(16, 16), (11, 21)])
def test_the_gradient_is_the_float_jpegs_derivative(size, subsampling, exponent):
    rng = np.random.default_rng(5)
    pixels = picture("noise", 7, *size)
    cotangent, direction = rng.normal(size=(2, *size, 3))
    jpeg = Jpeg(60, subsampling)

    def value(step):
        coded, _ = float_jpeg(pixels + step * direction, 60, subsampling, exponent)
        return (coded * cotangent).sum()

    _, unrounded = float_jpeg(pixels, 60, subsampling, exponent)
    numeric = (value(1e-6) - value(-1e-6)) / 2e-6
    exact = (jpeg.vjp(cotangent, unrounded, exponent) * direction).sum()
    assert exact == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
def test_the_weights_come_from_the_float_jpegs_coefficients_up_to_roundings(subsampling):
    pixels = picture("noise", 8, 21, 37)
    jpeg = Jpeg(50, subsampling)
    _, unrounded = float_jpeg(pixels.astype(float), 50, subsampling, 0)
    for exact, from_floats, steps in zip(jpeg.unrounded_coefficients(pixels), unrounded, jpeg.steps):
        tiled = np.tile(steps, np.array(exact.shape[-2:]) // 8)
        levels = np.abs(exact - from_floats) * tiled  # both DCTs are orthonormal, so this is in grey levels
        assert levels.mean() < 0.5 and levels.max() < 5


def assert_adjoint(height, width, subsampling, seed):
    """With exponent 0 the float JPEG is affine, so one difference gives its linear part exactly."""
    rng = np.random.default_rng(seed)
    direction, cotangent = rng.normal(size=(2, height, width, 3))
    image = float_jpeg(direction, 75, subsampling, 0)[0] - float_jpeg(0 * direction, 75, subsampling, 0)[0]
    gradient = Jpeg(75, subsampling).vjp(cotangent)
    assert (gradient * direction).sum() == pytest.approx((cotangent * image).sum(), rel=1e-9, abs=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), SAMPLINGS, SEEDS)
def test_straight_through_the_gradient_is_the_adjoint_of_the_float_jpeg(height, width, subsampling, seed):
    assert_adjoint(height, width, subsampling, seed)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
def test_the_gradient_of_a_narrow_picture_passes_chroma_that_was_repeated(subsampling, height, width):
    assert_adjoint(height, width, subsampling, seed=height + width)


def test_the_float_jpeg_is_the_exact_one_up_to_roundings():
    pixels = picture("slope", 2, 32, 48)
    exact = Jpeg(90)(pixels).astype(float)
    quantised, _ = float_jpeg(pixels, 90, "4:2:0", 1e4)  # an exponent so high that no bump is left
    rounded = np.clip(quantised, 0, 255)
    assert np.abs(rounded - exact).mean() < 1.5
