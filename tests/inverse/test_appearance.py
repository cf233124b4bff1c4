"""A result looks, where viewers honour more than pixels, as its source did."""

import io
import tracemalloc
from pathlib import Path

import coloured_pictures as made
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from nsfw_command.main import main
from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse import inverse
from nsfw_experiments.inverse.appearance import ORIENTATION, Appearance
from nsfw_experiments.inverse.colours import colour_profile
from nsfw_experiments.inverse.target import can_be_computed
from nsfw_experiments.inverse.transparency import transparency
from open_nsfw import nsfw_score, read_picture

CHELSEA = "img/chelsea.png"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save(picture, path, orientation=None, **options):
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation
    picture.save(path, **options)
    return path


def shown(path):
    """The pixels as a viewer shows them."""
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGBA")).astype(int)


@pytest.fixture(scope="module")
def chelsea():
    return Image.open(CHELSEA).convert("RGB").resize((256, 256))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_command_keeps_the_orientation(orientation, chelsea, tmp_path):
    source, out = save(chelsea, tmp_path / "source.png", orientation), tmp_path / "out.png"
    code = main(["inverse", str(source), "--target", "0.3", "--iterations", "3", "--out", str(out)])
    assert code in (0, 3)
    assert Image.open(out).getexif().get(ORIENTATION, 1) == orientation
    difference = np.abs(shown(out) - shown(source))
    assert 0 < difference.max() and difference.mean() < 4


@pytest.mark.parametrize("make", [lambda path: path, lambda path: path.read_bytes(), Image.open])
def test_whatever_the_kind_of_the_source(make, chelsea, tmp_path):
    path = save(chelsea.convert("L"), tmp_path / "source.jpg", 6, icc_profile=SRGB)
    assert Appearance.of(make(path)).orientation == 6
    assert Appearance.of(make(path)).icc_profile == SRGB


def test_transparency_stays(chelsea, tmp_path):
    alpha = Image.radial_gradient("L")
    source = chelsea.copy()
    source.putalpha(alpha)
    save(source, tmp_path / "source.png")
    picture, record = inverse(tmp_path / "source.png", 0.2, iterations=4, tolerance=0.1)
    assert picture.mode == "RGBA" and picture.getchannel("A").tobytes() == alpha.tobytes()
    save(picture, tmp_path / "out.png")
    assert nsfw_score(tmp_path / "out.png") == pytest.approx(record.final_score, abs=1e-7)
    assert read_picture(tmp_path / "out.png").mode == "RGB"


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_of_other_modes(mode, chelsea):
    source = chelsea.convert(mode)
    options = {"transparency": source.getpixel((0, 0))} if mode == "P" else {}
    if mode == "LA":
        source.putalpha(128)
    buffer = io.BytesIO()
    source.save(buffer, "PNG", **options)
    expected = np.asarray(Image.open(buffer).convert("RGBA"))[:, :, 3]
    np.testing.assert_array_equal(Appearance.of(buffer).alpha, expected)


def test_what_is_opaque_needs_no_alpha(chelsea):
    source = chelsea.copy()
    source.putalpha(255)
    assert Appearance.of(source).alpha is None


def test_a_colour_profile_stays_if_it_fits_the_pixels(chelsea, tmp_path):
    path = save(chelsea, tmp_path / "source.png", icc_profile=SRGB)
    picture, _ = inverse(path, 0.2, iterations=2)
    save(picture, tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").info["icc_profile"] == SRGB


@pytest.mark.parametrize(
    "extension, change, message",
    [
        (".bmp", {"orientation": 6}, "it holds no orientation, and the picture has one; take .png"),
        (".ppm", {"orientation": 3}, "it holds no orientation, and the picture has one; take .png"),
        (".tif", {"orientation": 6}, "it is turned before it is scored, and the picture has an orientation; take .png"),
        (".bmp", {}, "it holds no transparency, and the picture has some; take .png"),
        (".bmp", {"icc_profile": SRGB}, "it holds no colour profile, and the picture has one; take .png"),
        (".ppm", {"icc_profile": SRGB}, "it holds no colour profile, and the picture has one; take .png"),
    ],
)
def test_a_format_that_would_change_its_look_is_refused(extension, change, message, chelsea, tmp_path, capsys):
    source = chelsea.copy()
    if not change:
        source.putalpha(Image.radial_gradient("L"))
    path, out = save(source, tmp_path / "source.png", **change), tmp_path / f"out{extension}"
    assert main(["inverse", str(path), "--target", "0.3", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"open-nsfw inverse: {out}: {message}\n" and not out.exists()


@pytest.mark.parametrize(
    "source, reason",
    [
        (made.png_with(made.code_points(9, 16)), "its colours are those of H.273's primaries 9 and transfer 16"),
        (made.png_with(made.gamma(10**5)), "its gAMA is 1e-05, expected at least 0.001"),
        (made.png_with(made.gamma(1), made.chromaticities(*[0] * 8)), "its cHRM is (0.0, "),
        (made.png_with(made.gamma(1), made.chromaticities(*[2**31] * 8)), "its cHRM is (21474.8"),
        (
            made.saved("JPEG", made.pixels().convert("CMYK"), icc_profile=made.cmyk_profile()),
            "its colour profile is of CMYK, which a result of RGB cannot have",
        ),
    ],
    ids=["of HDR", "gamma", "no white", "no triangle", "CMYK"],
)
def test_colours_that_no_result_can_have_are_told(source, reason, tmp_path, capsys):
    path, out = tmp_path / "source", tmp_path / "out.png"
    path.write_bytes(source)
    assert main(["inverse", str(path), "--target", "0.3", "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"open-nsfw inverse: {path}: {reason}") and "convert the picture to sRGB first" in told
    assert not out.exists()
    picture, _ = inverse(source, 0.3, iterations=1)  # from Python, with its pixels alone
    assert "icc_profile" not in picture.info


@pytest.mark.parametrize("source", [made.png_with(made.gamma(1)), made.saved("PNG", icc_profile=made.swapped())])
@pytest.mark.parametrize("make", [Path, Path.read_bytes, Path.open, Image.open])
def test_colours_whatever_the_kind_of_the_source(make, source, tmp_path):
    path = tmp_path / "source.png"
    path.write_bytes(source)
    made_of = make(path) if make is not Path.open else path.open("rb")
    assert Appearance.of(made_of).icc_profile == Appearance.of(source).icc_profile is not None


def test_a_profile_that_is_made_says_what_the_file_said():
    linear = Image.fromarray(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None].repeat(3, axis=2))
    profile = io.BytesIO(Appearance.of(made.png_with(made.gamma(1))).icc_profile)
    converted = ImageCms.profileToProfile(linear, profile, io.BytesIO(SRGB))
    light = np.asarray(linear) / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(np.asarray(converted), expected, atol=1.5)


def test_what_decoders_have_turned_is_not_turned_again(chelsea):
    pytest.importorskip("pillow_jxl")
    assert Appearance.of(made.saved("JXL", chelsea, exif=b"Exif\0\0" + made.exif(6))).orientation == 1


@pytest.mark.parametrize("cut", range(0, 22, 3))
def test_exif_that_ends_early_has_no_orientation(cut):
    assert Appearance.of(made.png_with(made.chunk(b"eXIf", made.exif(6)[:cut]))).orientation == 1


@pytest.mark.skipif(not can_be_computed("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("cut", [slice(0, 40), slice(0, 60), slice(120, 140)])
def test_boxes_that_end_early_have_no_code_points(cut):
    opened = made.pixels()
    opened.format = "AVIF"
    assert colour_profile(opened, {}, made.avif(12, 8)[cut]) is None


def test_transparency_of_many_pixels_takes_little_memory():
    picture = Image.new("RGB", (2000, 1000))
    tracemalloc.start()
    transparency(picture, {"transparency": (0, 0, 0)})
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 8 * 2_000_000


def test_what_is_not_shown_does_not_count_as_changed(chelsea, tmp_path):
    chelsea = chelsea.copy()
    chelsea.putalpha(0)
    picture, record = inverse(save(chelsea, tmp_path / "clear.png"), 0.3, iterations=3)
    assert record.linf > 0 and record.psnr == np.inf and record.ssim == 1
    assert "Linf" in str(record)
    chelsea.putalpha(128)
    _, half = inverse(save(chelsea, tmp_path / "half.png"), 0.3, iterations=3)
    assert half.linf == record.linf
    assert half.psnr == pytest.approx(psnr(half.history[0].pixels, half.pixels) + 20 * np.log10(255 / 128), abs=0.01)
