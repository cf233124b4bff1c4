"""Ordinary and inverted pictures by seed, to choose an inspection's thresholds on and to judge them.

Bases are the pictures of wheels (benchmarks/wheel_pictures.py); no picture of one half, nor a part of it, is in the
other. Inverted ones are kept in a folder, and a run that was stopped goes on there.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from wheel_pictures import DEVELOPMENT, FURTHER_DEVELOPMENT, FURTHER_UNSEEN, UNSEEN, Part  # noqa: E402

from nsfw_experiments.evolution import Evolution  # noqa: E402
from nsfw_experiments.evolution.fitness import NsfwLogit  # noqa: E402
from nsfw_experiments.evolution.painting import render  # noqa: E402
from nsfw_experiments.evolution.primitives import primitive_named  # noqa: E402
from nsfw_experiments.evolution.strategies import climbing_toolbox  # noqa: E402
from nsfw_experiments.inverse import inverse  # noqa: E402
from open_nsfw import nsfw_score  # noqa: E402

HALVES = {"development": DEVELOPMENT, "unseen": UNSEEN}
#: Of ordinary pictures only.
FURTHER = {"development": FURTHER_DEVELOPMENT, "unseen": FURTHER_UNSEEN}
#: Longest sides of pictures that are inverted at 256x256, there to certain scores, at their own size, and robustly:
#: classic, and all families.
LONGEST = {"plain": 1000, "certain": 1000, "full size": 400, "robust": 300, "robust wide": 300}
#: Rounds over all bases of each kind: every such many parts take part in one.
ROUNDS, EVERY = 5, {"plain": 1, "certain": 5, "full size": 2, "robust": 2, "robust wide": 4}
#: A search that stops short of its target has inverted the picture too, if the score has moved by this.
LEAST_MOVE = 0.3
TARGETS_UP, TARGETS_DOWN = (0.98, 0.9, 0.6), (0.02, 0.1)
#: Of the kind "certain": beyond the scores that an inspection tells apart.
CERTAIN_UP, CERTAIN_DOWN = (0.999, 0.9999), (0.001, 0.0001)


def cut(part: Part, rng: random.Random, whole: bool) -> Image.Image:
    """A picture, or a part of it."""
    picture = part.read()
    if whole:
        return picture
    width, height = (max(round(rng.uniform(0.4, 0.95) * side), 1) for side in picture.size)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def as_found(picture: Image.Image, rng: random.Random) -> Image.Image:
    """As pictures are found: resized, sharpened, noisy, grey, compressed, several of these or none."""
    if rng.random() < 0.6:
        scale = rng.uniform(200, 1200) / max(picture.size)
        picture = picture.resize(tuple(max(round(scale * side), 32) for side in picture.size), Image.Resampling.LANCZOS)
    if rng.random() < 0.2:
        picture = picture.filter(ImageFilter.UnsharpMask(rng.uniform(1, 3), rng.randint(50, 150), 2))
    if rng.random() < 0.2:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 8), (*picture.size[::-1], 3))
        picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.1:
        picture = picture.convert("L").convert("RGB")
    if rng.random() < 0.6:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=rng.randint(40, 97))
        picture = Image.open(file)
    return picture


def drawing(rng: random.Random) -> Image.Image:
    """A page of text, or shapes of flat colours."""
    picture = Image.new("RGB", (rng.randint(200, 900), rng.randint(200, 900)), rng.choice(("white", "black", "beige")))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randint(1, 30)):
        x, y, width, height = (rng.randint(0, side) for side in (*picture.size, 300, 200))
        colour = tuple(rng.randint(0, 255) for _ in range(3))
        if rng.random() < 0.5:
            pen.text((x, y), "".join(rng.choices("The quick brown fox, 0123456789.", k=30)), fill=colour)
        else:
            pen.rectangle((x, y, x + width, y + height), fill=colour)
    return picture


def ordinary_pictures(half: str, each: int = 8, drawings: int = 24) -> Iterator[Image.Image]:
    """Each base as it is, parts of it as pictures are found, and drawings."""
    yield from _as_is_and_as_found(HALVES[half], half, each)
    yield from _drawings(f"drawings {half}", drawings)


def further_pictures(half: str, each: int = 8, drawings: int = 48) -> Iterator[Image.Image]:
    """The same of pictures of other wheels."""
    yield from _as_is_and_as_found(FURTHER[half], half, each)
    yield from _drawings(f"further drawings {half}", drawings)


def _as_is_and_as_found(parts: tuple[Part, ...], half: str, each: int) -> Iterator[Image.Image]:
    for part in parts:
        rng = random.Random(f"ordinary {half} {part.name}")
        for number in range(each):
            picture = cut(part, rng, whole=number == 0)
            yield as_found(picture, rng) if number else picture


def _drawings(seed: str, count: int) -> Iterator[Image.Image]:
    rng = random.Random(seed)
    for _ in range(count):
        yield drawing(rng)


def make_inverted(folder: Path) -> None:
    """Invert pictures of both halves, those that are not there yet."""
    for number in range(ROUNDS):
        for half, parts in HALVES.items():
            for place, part in enumerate(parts):
                for kind, every in EVERY.items():
                    if (place + number) % every == 0:
                        _invert(part, half, kind, number, folder / half / kind)


def _invert(part: Part, half: str, kind: str, number: int, folder: Path) -> None:
    path = folder / f"{part.name} {number}.png"
    failed = path.with_suffix(".failed")
    if path.exists() or failed.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{half} {kind} {part.name} {number}")
    picture = cut(part, rng, whole=number == 0)
    picture.thumbnail((LONGEST[kind], LONGEST[kind]))
    if min(picture.size) < 64:
        picture = picture.resize((256, 256))
    up, down = (CERTAIN_UP, CERTAIN_DOWN) if kind == "certain" else (TARGETS_UP, TARGETS_DOWN)
    target = rng.choice(up if nsfw_score(picture) < 0.5 else down)
    options: dict[str, dict[str, Any]] = {
        "plain": {"iterations": rng.choice((20, 40, 80))},
        "certain": {"iterations": 40, "tolerance": min(target, 1 - target) / 2},
        "full size": {"iterations": rng.choice((20, 40)), "full_resolution": True},
        "robust": {"iterations": 25, "robust": ("classic",)},
        "robust wide": {"iterations": 25, "robust": True},
    }
    changed, record = inverse(picture, target, **options[kind])
    if abs(record.final_score - record.start_score) >= LEAST_MOVE:
        changed.save(path)
    else:
        failed.touch()
    print(f"{half}, {kind}, {part.name}: {record.start_score:.3f} -> {record.final_score:.3f}", flush=True)


def inverted_pictures(folder: Path, half: str, kind: str) -> list[Path]:
    """What `make_inverted` has made."""
    return sorted((folder / half / kind).glob("*.png"))


def make_paintings(folder: Path, half: str, count: int = 16, generations: int = 60) -> None:
    """Evolve small paintings for a high score."""
    (folder / half / "evolved").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        seed = number + (1000 if half == "unseen" else 0)
        path = folder / half / "evolved" / f"{seed}.png"
        if not path.exists():
            primitive = primitive_named(("circles", "ellipses", "triangles", "rectangles")[number % 4])
            evolution = Evolution(climbing_toolbox(primitive, 40, NsfwLogit(), seed))
            evolution.run(generations)
            render(evolution.best, primitive).save(path)


if __name__ == "__main__":
    make_inverted(Path(sys.argv[1]))
    for half in HALVES:
        make_paintings(Path(sys.argv[1]), half)
