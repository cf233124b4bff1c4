"""A result looks, where viewers honour more than pixels, as its source did."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from nsfw_command.main import main
from nsfw_experiments.inverse import inverse
from nsfw_experiments.inverse.appearance import ORIENTATION, Appearance
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
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_the_command_keeps_the_orientation(orientation, extension, chelsea, tmp_path):
    source = save(chelsea, tmp_path / "source.png", orientation)
    out = tmp_path / f"out{extension}"
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
    cmyk = SRGB[:16] + b"CMYK" + SRGB[20:]
    assert Appearance.of(save(chelsea.convert("CMYK"), tmp_path / "c.jpg", icc_profile=cmyk)).icc_profile is None


@pytest.mark.parametrize(
    "extension, change, message",
    [
        (".bmp", {"orientation": 6}, "it holds no orientation, and the picture has one; take .png"),
        (".ppm", {"orientation": 3}, "it holds no orientation, and the picture has one; take .png"),
        (".bmp", {}, "it holds no transparency, and the picture has some; take .png"),
    ],
)
def test_a_format_that_would_change_its_look_is_refused(extension, change, message, chelsea, tmp_path, capsys):
    source = chelsea.copy()
    if not change:
        source.putalpha(Image.radial_gradient("L"))
    path, out = save(source, tmp_path / "source.png", **change), tmp_path / f"out{extension}"
    assert main(["inverse", str(path), "--target", "0.3", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"open-nsfw inverse: {out}: {message}\n" and not out.exists()
