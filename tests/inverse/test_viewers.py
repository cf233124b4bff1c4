"""What a browser shows of a picture, it shows of a result too: Chromium looks at both."""

import base64
import io
import subprocess

import coloured_pictures as made
import numpy as np
import pytest
from chromium import CHROMIUM
from PIL import Image

from nsfw_experiments.inverse.appearance import Appearance
from nsfw_experiments.inverse.target import can_be_computed
from open_nsfw import read_picture

SIDE, COLUMNS = made.SIDE, 8
GREY = made.pixels().convert("L")
TURNED = b"Exif\0\0" + made.exif(6)

#: By name: the type and the file. What is marked by a star is shown otherwise than its pixels are stored.
SOURCES = {
    "plain": ("png", made.saved("PNG")),
    "gAMA *": ("png", made.png_with(made.gamma(1))),
    "gAMA of sRGB": ("png", made.png_with(made.gamma(2.2))),
    "gAMA near that of sRGB": ("png", made.png_with(made.gamma(2.15))),
    "gAMA and sRGB": ("png", made.png_with(made.gamma(1), made.chunk(b"sRGB", b"\0"))),
    "gAMA twice *": ("png", made.png_with(made.gamma(1), made.gamma(2.5))),
    "gAMA behind the pixels": ("png", made.png_with(late=[made.gamma(1)])),
    "gAMA and cHRM *": ("png", made.png_with(made.gamma(2.2), made.chromaticities(*made.PHOTOSHOP_WIDE))),
    "cHRM": ("png", made.png_with(made.chromaticities(*made.PHOTOSHOP_WIDE))),
    "gAMA of grey *": ("png", made.png_with(made.gamma(1), picture=GREY)),
    "cICP *": ("png", made.png_with(made.code_points(*made.P3))),
    "cICP and a profile *": ("png", made.png_with(made.code_points(12, 8), icc_profile=made.swapped())),
    "cICP of video *": ("png", made.png_with(made.code_points(1, 1))),
    "cICP unspecified": ("png", made.png_with(made.code_points(12, 2))),
    "cICP of a part of the range": ("png", made.png_with(made.code_points(12, 13, full=0))),
    "profile *": ("png", made.png_with(icc_profile=made.swapped())),
    "profile and gAMA *": ("png", made.png_with(made.gamma(1), icc_profile=made.swapped())),
    "profile of grey *": ("png", made.saved("PNG", GREY, icc_profile=made.grey_profile(1))),
    "profile of grey, JPEG *": ("jpeg", made.saved("JPEG", GREY, quality=95, icc_profile=made.grey_profile(1))),
    "profile of grey in Lab": ("png", made.saved("PNG", GREY, icc_profile=made.grey_profile(1, b"Lab "))),
    "profile of grey for RGB": ("png", made.saved("PNG", icc_profile=made.grey_profile(1))),
    "profile of RGB for grey": ("png", made.saved("PNG", GREY, icc_profile=made.swapped())),
    "profile of RGB for CMYK": (
        "jpeg",
        made.saved("JPEG", made.pixels().convert("CMYK"), quality=95, icc_profile=made.swapped()),
    ),
    "profile of CMYK for RGB": ("jpeg", made.saved("JPEG", quality=95, icc_profile=made.cmyk_profile())),
    "profile, BMP *": ("bmp", made.bmp_with(made.swapped())),
    "EXIF *": ("png", made.saved("PNG", exif=TURNED)),
    "EXIF, JPEG *": ("jpeg", made.saved("JPEG", quality=95, exif=TURNED)),
    "EXIF as a LONG": ("jpeg", made.saved("JPEG", quality=95, exif=b"Exif\0\0" + made.exif(6, kind=4))),
    "EXIF behind the pixels": ("png", made.png_with(late=[made.chunk(b"eXIf", made.exif(6))])),
    "EXIF, WebP": ("webp", made.saved("WEBP", lossless=True, exif=TURNED)),
    "XMP, JPEG": ("jpeg", made.saved("JPEG", quality=95, xmp=made.xmp(6))),
    "XMP, PNG": ("png", made.png_with(made.chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + made.xmp(6)))),
    **{
        f"key of {colours}x{depth} bits *": ("png", made.keyed_png(depth, colours, key))
        for depth, colours, key in [
            (1, 1, 1),
            (2, 1, 2),
            (4, 1, 5),
            (8, 1, 77),
            (16, 1, 0x1234),
            (8, 3, (1, 2, 3)),
            (16, 3, (0x102, 0x203, 0x304)),
            (16, 3, (2, 3, 4)),
        ]
    },
}
if can_be_computed("avif"):
    SOURCES |= {
        "AVIF": ("avif", made.avif(1, 13)),
        "AVIF of video": ("avif", made.avif(1, 1)),
        "AVIF of P3 *": ("avif", made.avif(*made.P3)),
        "AVIF of P3, linear *": ("avif", made.avif(12, 8)),
        "AVIF unspecified": ("avif", made.avif(2, 2)),
        "AVIF with a profile *": ("avif", made.saved("AVIF", quality=95, icc_profile=made.swapped())),
        "AVIF turned *": ("avif", made.saved("AVIF", quality=95, exif=TURNED)),
    }


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """By name, what Chromium shows of a source, of its result, and of its bare pixels."""
    if CHROMIUM is None:
        pytest.skip("NOT RUN: no Chromium; apt-get install chromium")
    files = []
    for kind, data in SOURCES.values():
        appearance, bare = Appearance.of(data), Image.fromarray(np.asarray(read_picture(data)))
        result = appearance.put_on(bare)
        files += [
            (kind, data),
            ("png", made.saved("PNG", result, **appearance.saving())),
            ("png", made.saved("PNG", bare)),
        ]
    tiles = _screenshots(files, tmp_path_factory.mktemp("page"))
    return dict(zip(SOURCES, zip(tiles[::3], tiles[1::3], tiles[2::3], strict=True), strict=True))


def _screenshots(files, folder):
    images = "".join(
        f'<img style="position:absolute;left:{number % COLUMNS * SIDE}px;top:{number // COLUMNS * SIDE}px"'
        f' src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
        for number, (kind, data) in enumerate(files)
    )
    (folder / "page.html").write_text(f'<body style="background:#f0f">{images}')
    height = -(-len(files) // COLUMNS) * SIDE
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"]
    # Its window has a frame, which the picture lacks
    size = f"--window-size={COLUMNS * SIDE},{height + 200}"
    out = folder / "page.png"
    command = [CHROMIUM, *options, f"--user-data-dir={folder}/profile", size, f"--screenshot={out}"]
    subprocess.run([*command, (folder / "page.html").as_uri()], capture_output=True, timeout=240, check=True)
    page = np.asarray(Image.open(io.BytesIO(out.read_bytes())).convert("RGB")).astype(int)
    corners = [(number // COLUMNS * SIDE, number % COLUMNS * SIDE) for number in range(len(files))]
    return [page[top : top + SIDE, left : left + SIDE] for top, left in corners]


@pytest.mark.parametrize("name", SOURCES)
def test_a_result_looks_as_its_source(name, shown):
    source, result, bare = shown[name]
    assert np.abs(source - result).mean() < 0.1
    if name.endswith("*"):
        assert np.abs(source - bare).mean() > 0.9, "this source is not what it should be"
