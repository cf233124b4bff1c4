"""Measure how far scores in bfloat16 are from those in float32, over a few hundred pictures.

    python benchmarks/precision.py [--pictures 400]

A third of the pictures are parts of those in img/ and in scikit-image's wheel, of all sizes; a third are such
parts blended with the evolved paintings of img/, for scores in between and high ones; a third are random paintings
of circles and triangles. Prints a row for each range of float32 scores, since a logit that moves by as much moves a
score near 0 or 1 by far less.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from nsfw_experiments.evolution.individual import palette_painting  # noqa: E402
from nsfw_experiments.evolution.painting import render  # noqa: E402
from nsfw_experiments.evolution.primitives import Circles, Polygons  # noqa: E402
from open_nsfw import nsfw_scores, read_picture  # noqa: E402

RANGES = ((0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 1), (0, 1))
THRESHOLDS = 0.2, 0.8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=400, metavar="N")
    args = parser.parse_args()
    exact, rough = (
        np.array(list(nsfw_scores(pictures(args.pictures), precision=precision)))
        for precision in ("float32", "bfloat16")
    )
    print("| float32 score | pictures | median difference | 95 % within | largest |\n|---|---|---|---|---|")
    for low, high in RANGES:
        inside = (exact >= low) & (exact < high)
        difference = np.abs(rough - exact)[inside]
        if difference.size:
            values = np.median(difference), np.percentile(difference, 95), difference.max()
            print(f"| {low} to {high} | {difference.size} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    for threshold in THRESHOLDS:
        crossed = int(((exact > threshold) != (rough > threshold)).sum())
        print(f"\n{crossed} of {len(exact)} pictures are on the other side of {threshold}")


def pictures(count: int) -> Iterator[Image.Image]:
    """Generate the same pictures every time."""
    rng = random.Random(0)
    photographs = [read_picture(path) for path in photograph_files()]
    evolved = [read_picture(ROOT / "img" / f"evolved_{shapes}.png") for shapes in ("circles", "triangles")]
    for number in range(count):
        picture = part_of(rng.choice(photographs), rng)
        if number % 3 == 1:
            painting = rng.choice(evolved)
            picture = Image.blend(picture.resize(painting.size), painting, rng.uniform(0.5, 1))
        elif number % 3 == 2:
            primitive, count = rng.choice(((Circles(), 50), (Polygons(3), 100)))
            picture = render(palette_painting(rng, primitive, count), primitive)
        yield picture


def photograph_files() -> list[Path]:
    """List the pictures of img/ and of scikit-image's wheel."""
    from skimage.data import data_dir

    folders = ROOT / "img", Path(data_dir)
    return sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


def part_of(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Cut a rectangle of a random size out of a picture."""
    width, height = (max(1, round(side * rng.uniform(0.3, 1))) for side in picture.size)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    main()
