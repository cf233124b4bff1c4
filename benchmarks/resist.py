"""What a score that resists does: to ordinary pictures, to inverted ones, and to an attack that knows it.

    python benchmarks/resist.py [PART ...] [--half development|unseen] [--folder FOLDER] [--markdown]

Parts, all by default: ordinary, inverted, adaptive, cost. Pictures come with wheels (benchmarks/wheel_pictures.py); of
each a few crops are taken, by seed. The tables of the documentation are of the half on which no constant is chosen.
Inverted pictures are kept in the folder, if one is given, and read from it the next time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tables import write_row  # noqa: E402
from wheel_pictures import DEVELOPMENT, UNSEEN, Part  # noqa: E402

from nsfw_experiments.image_metrics import psnr  # noqa: E402
from nsfw_experiments.inverse import inverse  # noqa: E402
from nsfw_experiments.inverse.search import FAR_EXPONENT, Goal, PixelScorer, search  # noqa: E402
from nsfw_experiments.pillow.edits import GaussianBlur  # noqa: E402
from nsfw_experiments.pillow.jpeg import Jpeg  # noqa: E402
from nsfw_experiments.pillow.preprocessing import JpegRoundTrip, Pipeline, Transform  # noqa: E402
from nsfw_model.logit import score_of  # noqa: E402
from nsfw_model.views import prepare_views  # noqa: E402
from open_nsfw import get_scorer, nsfw_score, resize_image  # noqa: E402

#: Crops of each picture besides the whole, and their sides in parts of the picture's.
CROPS, SIDES = 8, (0.4, 0.9)
#: Width or height of the pictures that are inverted at their own size.
LONGEST = 400
TARGET, ITERATIONS, ROBUST_ITERATIONS = 0.98, 60, 40


def ordinary_pictures(parts: tuple[Part, ...]) -> Iterator[Image.Image]:
    """Each picture, and crops of it."""
    for number, part in enumerate(parts):
        rng = np.random.default_rng(number)
        picture = part.read()
        yield picture
        for _ in range(CROPS):
            width, height = (round(rng.uniform(*SIDES) * side) for side in picture.size)
            left, top = rng.integers(0, picture.width - width + 1), rng.integers(0, picture.height - height + 1)
            yield picture.crop((left, top, left + width, top + height))


def view_logits(picture: Image.Image) -> np.ndarray:
    """Logits of a picture's views, the first Yahoo's."""
    return get_scorer().logits(prepare_views(picture))


def inverted_pictures(parts: tuple[Part, ...], folder: Path, kind: str, many: int) -> Iterator[Image.Image]:
    """Pictures that were inverted upwards, of those that score below 0.5, and that reached the target."""
    options: dict[str, dict[str, object]] = {
        "256x256": {},
        "own size": {"full_resolution": True},
        "robust": {"robust": True, "iterations": ROBUST_ITERATIONS},
    }
    for part in parts[:many]:
        path = folder / f"{part.name} {kind}.png"
        if not path.exists():
            picture = part.read()
            picture.thumbnail((LONGEST, LONGEST))
            if nsfw_score(picture) >= 0.5:
                continue
            changed, record = inverse(picture, TARGET, **{"iterations": ITERATIONS, **options[kind]})
            if not record.reached:
                continue
            changed.save(path)
        yield Image.open(path)


def ordinary(parts: tuple[Part, ...], folder: Path, markdown: bool) -> None:
    """How far ordinary pictures move: |logit|, |score|, and how many change sides at 0.5"""
    logits = np.stack([view_logits(picture) for picture in ordinary_pictures(parts)])
    before, after = logits[:, 0], np.median(logits, axis=1)
    moved = np.abs(after - before)
    scores = np.abs(np.vectorize(score_of)(after) - np.vectorize(score_of)(before))
    header = ("pictures", "logit: median", "95 %", "largest", "score: 95 %", "largest", "change sides")
    write_row(header, markdown, header=True, width=14)
    cells = (np.median(moved), np.quantile(moved, 0.95), moved.max(), np.quantile(scores, 0.95), scores.max())
    sides = int(((before > 0) != (after > 0)).sum())
    write_row((len(logits), *map(float, cells), f"{sides} ({sides / len(logits):.1%})"), markdown, width=14)


def inverted(parts: tuple[Part, ...], folder: Path, markdown: bool) -> None:
    """What is left of a score of 0.98"""
    header = ("inverted", "pictures", "still above 0.8", "above 0.5", "median score")
    write_row(header, markdown, header=True, width=17)
    for kind, many in (("256x256", 24), ("own size", 24), ("robust", 6)):
        found = [view_logits(picture) for picture in inverted_pictures(parts, folder, kind, many)]
        scores = np.array([score_of(float(np.median(logits))) for logits in found])
        above = [f"{int((scores > limit).sum())} ({(scores > limit).mean():.1%})" for limit in (0.8, 0.5)]
        write_row((kind, len(scores), *above, float(np.median(scores))), markdown, width=17)


class Shift:
    """What a view does: shifted in a circle."""

    def __init__(self, down: int, right: int):
        self.by = down, right

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, None]:
        return np.roll(pixels, self.by, axis=(0, 1)), None

    def vjp(self, gradient: np.ndarray, residuals: None, straight_through_exponent: float) -> np.ndarray:
        return np.roll(gradient, (-self.by[0], -self.by[1]), axis=(0, 1))


class ViewsScorer(PixelScorer):
    """The median over views as a function of 256x256 pixels; its gradient is that of the views' mean."""

    VIEWS: tuple[list[Transform], ...] = (
        [],
        [Shift(0, 1)],
        [Shift(-1, 0)],
        [JpegRoundTrip(Jpeg(90))],
        [GaussianBlur(0.5)],
    )

    def __init__(self):
        scorer = get_scorer()
        self.pipelines = [Pipeline([*steps, JpegRoundTrip()], scorer.input_size) for steps in self.VIEWS]
        super().__init__(scorer, self.pipelines[0])

    def logit(self, pixels: np.ndarray) -> float:
        self.evaluations += len(self.pipelines)
        x = np.stack([pipeline.forward(pixels)[0] for pipeline in self.pipelines])
        return float(np.median(self.scorer.logits(x)))

    def logit_and_gradient(self, pixels: np.ndarray, straight_through_exponent: float) -> tuple[float, np.ndarray]:
        self.evaluations += len(self.pipelines)
        x, residuals = zip(*(pipeline.forward(pixels) for pipeline in self.pipelines))
        logits, gradients = self.scorer.logits_and_gradients(np.stack(x))
        parts = zip(self.pipelines, gradients, residuals)
        pulled = [pipeline.vjp(slope, memory, straight_through_exponent) for pipeline, slope, memory in parts]
        return float(np.median(logits)), np.mean(pulled, axis=0, dtype=np.float32)


def smallest_change(scorer: PixelScorer, original: np.ndarray, steps: int) -> float | None:
    """PSNR in dB of the smallest change that reaches the target by the gradient search alone; None if none does."""
    logit, gradient = scorer.logit_and_gradient(original, FAR_EXPONENT)
    goal = Goal.between(score_of(logit), TARGET, 0.01)
    tried = search(scorer, original, goal, gradient, steps)
    return max((psnr(original, pixels) for pixels, found in tried if goal.margin(found) >= 0), default=None)


def adaptive(parts: tuple[Part, ...], folder: Path, markdown: bool) -> None:
    """An attack that knows: the gradient search towards 0.98 through all views, 60 steps, dB"""
    from nsfw_experiments.pillow.preprocessing import preprocessing

    write_row(("picture", "Yahoo's score", "the median's", "price"), markdown, header=True, width=16)
    prices, failed = [], 0
    for part in [part for part in parts if nsfw_score(part.read()) < 0.5][:8]:
        original = resize_image(part.read())
        plain = smallest_change(PixelScorer(get_scorer(), preprocessing((256, 256))), original, ITERATIONS)
        knowing = smallest_change(ViewsScorer(), original, ITERATIONS)
        if plain is None or knowing is None:
            failed += 1
            write_row((part.name, plain or "-", knowing or "-", "-"), markdown, width=16)
            continue
        prices.append(plain - knowing)
        write_row((part.name, plain, knowing, prices[-1]), markdown, width=16)
    print(f"median price {np.median(prices):.1f} dB of {len(prices)}; not reached: {failed}")


def cost(parts: tuple[Part, ...], folder: Path, markdown: bool) -> None:
    """Milliseconds a picture from its pixels on, median of 20 in turns"""
    picture = parts[0].read()
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(20):
        for resist, seconds in taken.items():
            start = time.perf_counter()
            nsfw_score(picture, resist=resist)
            seconds.append(time.perf_counter() - start)
    write_row(("score", "ms"), markdown, header=True)
    for resist, seconds in taken.items():
        write_row(("resist=True" if resist else "Yahoo's", 1e3 * float(np.median(seconds))), markdown)


PARTS: dict[str, Callable[[tuple[Part, ...], Path, bool], None]] = {
    part.__name__: part for part in (ordinary, inverted, adaptive, cost)
}


def main() -> None:
    """Print the tables of the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--half", choices=("development", "unseen"), default="unseen")
    parser.add_argument("--folder", type=Path, help="where inverted pictures are kept")
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for name in args.parts or PARTS:
            print(f"\n{PARTS[name].__doc__}\n", flush=True)
            PARTS[name](DEVELOPMENT if args.half == "development" else UNSEEN, folder, args.markdown)


if __name__ == "__main__":
    main()
