"""Compare the JPEG model and the resize model with Pillow, value by value.

    python benchmarks/jpeg_exactness.py [--quick] [--markdown]

Every quality from 1 to 95 with every subsampling, on noise, noise of black and white, a flat picture and the
pictures of img/, at several sizes, among them many that are not multiples of a block; then bilinear resizing
between many sizes. The exit code is 1 if a single value differs.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import PIL  # noqa: E402
from PIL import Image, features  # noqa: E402
from tables import write_row  # noqa: E402

from nsfw_experiments.pillow.jpeg import SUBSAMPLINGS, Jpeg  # noqa: E402
from nsfw_experiments.pillow.resize import BilinearResize  # noqa: E402

SIZES = ((256, 256), (224, 224), (33, 47), (40, 31), (17, 5), (9, 4), (2, 3), (1, 1))
RESIZES = 300
#: Of the tables' columns.
WIDTH = 24


def main() -> int:
    """Print the tables and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every tenth quality only")
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    arguments = parser.parse_args()
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}\n")
    differing = compare_jpeg(range(5, 96, 10) if arguments.quick else range(1, 96), arguments.markdown)
    differing += compare_resize(arguments.markdown)
    return 1 if differing else 0


def compare_jpeg(qualities, markdown: bool) -> int:
    """Print a row per subsampling and kind of picture, all qualities and sizes; count differing values."""
    kinds = list(pictures())
    columns = ("subsampling", "picture", "qualities", "sizes", "values", "differing")
    write_row(columns, markdown, header=True, width=WIDTH)
    total = 0
    for subsampling in SUBSAMPLINGS:
        for kind, whole in kinds:
            values = differing = 0
            for height, width in SIZES:
                pixels = np.ascontiguousarray(whole[:height, :width])
                for quality in qualities:
                    coded = Jpeg(quality, subsampling)(pixels)
                    values += coded.size
                    differing += int((coded != pillow_jpeg(pixels, quality, subsampling)).sum())
            total += differing
            covered = f"{min(qualities)}-{max(qualities)} ({len(qualities)})"
            write_row((subsampling, kind, covered, len(SIZES), values, differing), markdown, width=WIDTH)
    return total


def pictures():
    """Kinds of pictures, with an array of at least 256x256 each."""
    random = np.random.default_rng(0)
    yield "noise", random.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    yield "black and white noise", random.integers(0, 2, (256, 256, 3), dtype=np.uint8) * np.uint8(255)
    yield "flat", np.full((256, 256, 3), (13, 240, 77), np.uint8)
    for path in sorted(ROOT.glob("img/*")):
        if path.suffix in (".png", ".jpg"):
            with Image.open(path) as picture:
                yield path.name, pillow_resize(np.asarray(picture.convert("RGB")), 256, 256)


def pillow_jpeg(pixels, quality, subsampling):
    """Save with Pillow and open again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def pillow_resize(pixels, height, width):
    """Resize with Pillow's bilinear filter."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def compare_resize(markdown: bool) -> int:
    """Print a row per kind of resize; count differing values."""
    random = np.random.default_rng(0)
    counts: dict[str, Counter] = {}
    sizes = [tuple(map(int, random.integers(1, 200, 4))) for _ in range(RESIZES)]
    sizes += [(*size, 256, 256) for size in ((480, 640), (1024, 640), (300, 2000), (100, 90))]
    for height, width, new_height, new_width in sizes:
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours = BilinearResize((height, width), (new_height, new_width))(pixels)
        pillows = pillow_resize(pixels, new_height, new_width)
        across = "narrower" if new_width < width else "wider"
        down = "lower" if new_height < height else "higher"
        count = counts.setdefault(f"{across} and {down}", Counter())
        count.update(pairs=1, values=ours.size, differing=int((ours != pillows).sum()))
    print()
    write_row(("resize", "sizes", "values", "differing"), markdown, header=True, width=WIDTH)
    for kind, count in sorted(counts.items()):
        write_row((kind, count["pairs"], count["values"], count["differing"]), markdown, width=WIDTH)
    return sum(count["differing"] for count in counts.values())


if __name__ == "__main__":
    sys.exit(main())
