"""Edits are Pillow's own operations; their gradients are the adjoints and derivatives that they say they are."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from nsfw_experiments.pillow.edits import (
    CodecRoundTrip,
    Crop,
    GaussianBlur,
    LongestSide,
    Rescaling,
    ResizedTo,
    Rotation,
    Tone,
    UnsharpMask,
    blur_matrix,
    rotation_matrix,
)
from nsfw_experiments.pillow.jpeg import Jpeg
from nsfw_experiments.pillow.preprocessing import HorizontalFlip, JpegRoundTrip
from nsfw_experiments.pillow.resize import BilinearResize

HEIGHT, WIDTH = 37, 52
LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC


def noise(height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "edit, pillows",
    [
        (Crop(0.1, 0.2, 0.05, 0.3), lambda picture: picture.crop((3, 4, WIDTH - 16, HEIGHT - 7))),
        (Rotation(1.3), lambda picture: picture.rotate(1.3, Image.Resampling.BILINEAR)),
        (Rotation(-2, BICUBIC), lambda picture: picture.rotate(-2, BICUBIC)),
        (GaussianBlur(1.2), lambda picture: picture.filter(ImageFilter.GaussianBlur(1.2))),
        (UnsharpMask(), lambda picture: picture.filter(ImageFilter.UnsharpMask())),
        (Rescaling(1.5, LANCZOS), lambda picture: picture.resize((78, 56), LANCZOS)),
        (Rescaling(0.5), lambda picture: picture.resize((26, 18), Image.Resampling.BILINEAR)),
        (ResizedTo(20, 70), lambda picture: picture.resize((70, 20), Image.Resampling.BILINEAR)),
        (LongestSide(26, BICUBIC), lambda picture: picture.resize((26, 18), BICUBIC)),
        (LongestSide(104, enlarged=True), lambda picture: picture.resize((104, 74), Image.Resampling.BILINEAR)),
        (LongestSide(104), lambda picture: picture),
    ],
    ids=str,
)
def test_forwards_an_edit_is_pillows(edit, pillows):
    changed, _ = edit.forward(noise())
    np.testing.assert_array_equal(changed, np.asarray(pillows(Image.fromarray(noise()))))
    assert changed.dtype == np.uint8


@pytest.mark.parametrize("degrees", [0, 1, -1, 1.5, 30, 180])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (64, 64), (1, 9)])
def test_the_matrix_of_a_rotation_gives_pillows_values_before_they_are_truncated(size, degrees):
    pixels = noise(*size)
    values = (rotation_matrix(size, degrees) @ pixels.reshape(-1, 3).astype(np.float64)).reshape(pixels.shape)
    difference = values - Rotation(degrees).forward(pixels)[0]
    assert -1e-3 < difference.min() and difference.max() < 1 + 1e-3


@pytest.mark.parametrize("radius", [0.4, 1, 1.2, 2, 3.7])
def test_the_matrix_of_a_blur_gives_pillows_values_but_for_the_roundings_of_six_passes(radius):
    pixels = noise()
    values = np.einsum(
        "ij,jkc,lk->ilc", blur_matrix(HEIGHT, radius).toarray(), pixels, blur_matrix(WIDTH, radius).toarray()
    )
    difference = np.abs(values - GaussianBlur(radius).forward(pixels)[0])
    assert difference.max() <= 6 * 0.5 and difference.mean() < 0.7


def blurred(values, radius):
    """A blur without its roundings."""
    vertical, horizontal = (blur_matrix(side, radius).toarray().astype(np.float64) for side in values.shape[:2])
    return np.einsum("ij,jkc,lk->ilc", vertical, values, horizontal)


def rotated(values, degrees):
    """A rotation without its truncation."""
    return (rotation_matrix(values.shape[:2], degrees) @ values.reshape(-1, 3)).reshape(values.shape)


@pytest.mark.parametrize(
    "edit, linear",
    [
        (Crop(0.1, 0.2, 0.05, 0.3), lambda v: v[4:-7, 3:-16]),
        (HorizontalFlip(), lambda v: v[:, ::-1]),
        (Rotation(1.3), lambda v: rotated(v, 1.3)),
        (GaussianBlur(0.7), lambda v: blurred(v, 0.7)),
        (GaussianBlur(2), lambda v: blurred(v, 2)),
        (Rescaling(1.5), lambda v: BilinearResize((HEIGHT, WIDTH), (56, 78)).linear(v)),
        (Rescaling(1.5, LANCZOS), lambda v: BilinearResize((HEIGHT, WIDTH), (56, 78)).linear(v)),
        (LongestSide(26), lambda v: BilinearResize((HEIGHT, WIDTH), (18, 26)).linear(v)),
        (LongestSide(104), lambda v: v),
        (ResizedTo(20, 70), lambda v: BilinearResize((HEIGHT, WIDTH), (20, 70)).linear(v)),
    ],
    ids=str,
)
def test_backwards_a_linear_edit_is_its_adjoint(edit, linear):
    changed, residuals = edit.forward(noise())
    v, w = normal(HEIGHT, WIDTH, 3), normal(*changed.shape)
    pulled = edit.vjp(w, residuals, 0.0)
    assert pulled.shape == v.shape and pulled.dtype == np.float32
    assert (linear(v.astype(np.float64)) * w).sum() == pytest.approx((v * pulled).sum(), rel=1e-3)


@pytest.mark.parametrize("tone", [Tone(1.1), Tone(0.9), Tone(gamma=0.9), Tone(1.05, 1.1)], ids=str)
def test_backwards_a_tone_is_its_curves_derivative(tone):
    def curve(values):
        return np.minimum(255 * tone.gain * (values / 255) ** tone.gamma, 255)

    pixels = np.arange(1, 256, dtype=np.uint8)[:, None, None] * np.ones((1, 1, 3), np.uint8)
    changed, residuals = tone.forward(pixels)
    assert np.abs(changed - curve(pixels.astype(float))).max() <= 0.5 + 1e-9
    slopes = tone.vjp(np.ones(pixels.shape, np.float32), residuals, 0.0)
    steps = (curve(pixels + 1e-4) - curve(pixels - 1e-4)) / 2e-4
    smooth = np.abs(255 * tone.gain * (pixels / 255.0) ** tone.gamma - 255) > 1e-3  # but for the corner of the clip
    np.testing.assert_allclose(slopes[smooth], steps[smooth], rtol=1e-3)


def test_backwards_an_unsharp_mask_is_the_derivative_of_its_pieces():
    """Finite differences of the mask without roundings, with what is sharpened and clipped held as it is."""
    mask = UnsharpMask(2, 150, 3)
    pixels = noise()
    sharpened, residuals = mask.forward(pixels)
    sharp, clipped = residuals

    def unrounded(values):
        added = np.where(sharp, 1.5 * (values - blurred(values, 2)), 0)
        return np.where(clipped, np.where(sharpened > 127, 255, 0), values + added)

    values = pixels.astype(np.float64)
    assert np.abs(unrounded(values) - sharpened).max() <= 1.5 * 3 + 1  # six roundings of the blur, amplified
    assert 0.01 < clipped.mean() < 0.9 and not sharp.all()
    v, w = normal(*pixels.shape), normal(*pixels.shape)
    along = (unrounded(values + 1e-3 * v) - unrounded(values - 1e-3 * v)) / 2e-3
    assert (along * w).sum() == pytest.approx((v * mask.vjp(w, residuals, 0.0)).sum(), rel=1e-3)


@pytest.mark.parametrize("codec", ["WebP", "AVIF"])
def test_another_codec_loses_something_and_passes_gradients_straight_through(codec):
    Image.init()
    if codec.upper() not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {codec}")
    coder = CodecRoundTrip(codec, 60)
    changed, residuals = coder.forward(noise())
    assert changed.shape == noise().shape and (changed != noise()).any()
    gradient = normal(*changed.shape)
    np.testing.assert_array_equal(coder.vjp(gradient, residuals, 0.0), gradient)


def test_pillows_jpeg_by_pillow_is_pillows_jpeg_by_its_model():
    by_pillow, _ = CodecRoundTrip("JPEG", 70, (("subsampling", "4:4:4"),)).forward(noise())
    np.testing.assert_array_equal(by_pillow, JpegRoundTrip(Jpeg(70, "4:4:4")).forward(noise())[0])


def test_edits_say_what_they_do():
    edits = [
        Crop(top=0.05, right=0.025),
        Tone(1.1),
        Tone(0.9, 1.1),
        Rotation(1, BICUBIC),
        GaussianBlur(0.5),
        UnsharpMask(),
        Rescaling(0.5, LANCZOS),
        LongestSide(1600),
        LongestSide(1080, enlarged=True),
        CodecRoundTrip("WebP", 80),
        JpegRoundTrip(),
        JpegRoundTrip(Jpeg(90, "4:4:4")),
        HorizontalFlip(),
    ]
    assert list(map(str, edits)) == [
        "crop top 5 %, right 2.5 %",
        "brightness +10 %",
        "brightness -10 %, gamma 1.1",
        "rotated 1° bicubic",
        "blur 0.5",
        "unsharp mask 2, 150 %",
        "x0.5 lanczos",
        "at most 1600 pixels",
        "1080 pixels",
        "WebP 80",
        "JPEG 75",
        "JPEG 90 4:4:4",
        "mirrored",
    ]
