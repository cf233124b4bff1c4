"""Measure inverse scoring: iterations, PSNR, SSIM and seconds, for every picture of img/ and for pictures of wheels.

    python benchmarks/inverse.py [PART ...] [--pictures NAME ...] [--markdown]

Parts, all by default but the last four: first, up, down, between, full, robust, wild, seconds, surrogate; development,
unseen (the two halves of `wheel_pictures`), limit, attacks. Scores are always those of the result saved as PNG, through
the real preprocessing. Pictures that score 0.5 or more are left out of "first", "up", "full", "robust" and "wild";
"down" starts from paintings that were evolved for a high score.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from tables import write_row  # noqa: E402
from wheel_pictures import DEVELOPMENT, UNSEEN  # noqa: E402

from nsfw_experiments.inverse import inverse, read_pixels  # noqa: E402
from nsfw_experiments.inverse.eot import GRID, SHOWN, robustness_grid, robustness_table  # noqa: E402
from nsfw_experiments.inverse.target import FAMILIES  # noqa: E402
from nsfw_experiments.inverse.wild import NEVER_DRAWN, compositions, wild_scores  # noqa: E402
from open_nsfw import get_scorer, nsfw_score, prepare  # noqa: E402


#: Pictures that no constant was chosen on, which "wild" takes as well.
UNSEEN_IN_THE_WILD = ("motorcycle_left", "ihc", "moon", "grace_hopper")


def main() -> int:
    """Print the tables of the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--pictures", nargs="+", metavar="NAME", help="only these of img/, or of wheels")
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    arguments = parser.parse_args()
    for name in arguments.parts or [*PARTS][:-4]:
        print(f"\n{PARTS[name].__doc__}\n", flush=True)
        if PARTS[name] in (development, unseen, limit, attacks):
            PARTS[name](arguments.pictures, arguments.markdown)
        else:
            PARTS[name](pictures(arguments.pictures), arguments.markdown)
    return 0


def pictures(names=None) -> list[Path]:
    """List the pictures of img/."""
    found = sorted(path for path in ROOT.glob("img/*") if path.suffix in (".png", ".jpg"))
    return [path for path in found if not names or path.name in names]


def safe(paths):
    """Those that score below 0.5."""
    return [path for path in paths if nsfw_score(path) < 0.5]


def first(paths, markdown):
    """Score to 0.98 or more: evaluations until it is first met, the original being the first"""
    found = []
    write_row(("picture", "start", "first met", "dB then"), markdown, header=True)
    for path in safe(paths):
        _, record = inverse(path, 0.98, iterations=25)
        met = [step for step in record.history if step.evaluation == record.first_reached]
        found.append(record.first_reached or 999)
        write_row((path.name, record.start_score, record.first_reached, met[0].psnr if met else ""), markdown)
    print(f"iterations after the original: median {np.median(found) - 1:g}, worst {max(found) - 1}")


def up(paths, markdown):
    """Score to 0.99 or more"""
    for iterations in (100, 200):
        run([(path.name, path) for path in safe(paths)], 1.0, markdown, iterations=iterations)


def down(paths, markdown):
    """High score to 0.03 or less, abstract starts"""
    runs = [(shapes, seed) for shapes in ("circles", "triangles") for seed in (0, 1)]
    starts = [(f"{shapes}, seed {seed}", evolved(shapes, seed)) for shapes, seed in runs]
    for iterations in (60, 100):
        run(starts, 0.02, markdown, iterations=iterations)


def between(paths, markdown):
    """Targets in between, 60 evaluations"""
    for target in (0.37, 0.5):
        for tolerance in (0.01, 0.001):
            run([(path.name, path) for path in paths], target, markdown, iterations=60, tolerance=tolerance)


def full(paths, markdown):
    """Score to 0.98 or more at the picture's own resolution"""
    run([(path.name, path) for path in safe(paths)], 0.98, markdown, iterations=100, full_resolution=True)


def robust(paths, markdown):
    """Robust mode, classic: the worst score over JPEG 50-95, scale 0.75-2 and mirroring"""
    rows = run([(path.name, path) for path in safe(paths)], 0.9, markdown, iterations=100, robust="classic")
    worst = min((record for _, record in rows), key=lowest_required)
    print(robustness_table(worst.robustness_grid))


def wild(paths, markdown):
    """Robust mode, all families: the worst scores after what is required, shown and never drawn; plain and robust"""
    unseen = [part for part in UNSEEN if part.name in UNSEEN_IN_THE_WILD]
    starts = [(path.name, path) for path in safe(paths)] + [(f"{part.name} (unseen)", part.read()) for part in unseen]
    modes = {"plain": {}, "robust": {"robust": True}}
    columns = [f"{mode} {name}" for mode in modes for name in ("dB", "required", "half size", "never drawn")]
    write_row(("picture", *columns), markdown, header=True, width=19)
    survivals = {mode: [] for mode in modes}
    for name, picture in starts:
        cells = [name]
        for mode, options in modes.items():
            pixels, record = inverse(picture, 0.9, iterations=100, **options)
            scores = {**robustness_grid(np.asarray(pixels)), **wild_scores(np.asarray(pixels))}
            survivals[mode].append(scores)
            required = [score for tried, score in scores.items() if tried.required]
            others = [[scores[tried] for tried in group] for group in (SHOWN, NEVER_DRAWN)]
            cells += [f"{record.psnr:.2f}", *(f"{min(kind):.4f}" for kind in (required, *others))]
        write_row(cells, markdown, width=19)
    write_survival(survivals, markdown)


def write_survival(survivals, markdown):
    """The lowest score after each transformation, of all pictures, by mode."""
    write_row(("lowest score after", *survivals, "required"), markdown, header=True, first=34)
    rows = {"robustness grid, x0.75 to x2": GRID, "the same at half size": SHOWN}
    rows |= {str(tried): (tried,) for tried in compositions(FAMILIES)}
    for name, group in rows.items():
        lowest = [min(scores[tried] for scores in pictures for tried in group) for pictures in survivals.values()]
        kind = "yes" if group[0].required else "shown" if group is SHOWN else "never drawn"
        write_row((name, *(f"{score:.4f}" for score in lowest), kind), markdown, first=34)


def lowest_required(record) -> float:
    """The worst score of those that the robust mode is after."""
    return min(score for transformation, score in record.robustness_grid.items() if transformation.required)


def seconds(paths, markdown):
    """Seconds for 100 iterations, after the network's functions are built; median of three"""
    path = paths[0]
    inverse(path, 1.0, iterations=3)
    x = prepare(path)[np.newaxis]
    gradient = median_seconds(lambda: get_scorer().logits_and_gradients(x), 20)
    for name, options in (("256x256", {}), ("own resolution", {"full_resolution": True})):
        taken = median_seconds(lambda options=options: inverse(path, 1.0, iterations=100, **options), 3)
        print(f"{path.name}, {name}: {taken:.2f} s, of which the network {100 * gradient:.2f} s")


def surrogate(paths, markdown):
    """One iteration of the original's way, median of ten after three"""
    from nsfw_experiments.inverse.surrogate import SurrogateAttack

    attack = SurrogateAttack(paths[0])
    attack.pretrain(3)
    median_seconds(attack.step, 3)
    print(f"{median_seconds(attack.step, 10):.3f} s")


def development(names, markdown):
    """Score to 0.98 or more, pictures of wheels that constants were chosen on"""
    wheel(DEVELOPMENT, names, markdown)


def unseen(names, markdown):
    """Score to 0.98 or more, pictures of wheels that no constant was chosen on"""
    wheel(UNSEEN, names, markdown)


def wheel(parts, names, markdown):
    """Invert pictures of wheels within 100 iterations."""
    named = chosen(parts, names)
    rows = run([(part.name, part.read()) for part in named], 0.98, markdown, iterations=100)
    first = [record.first_reached or 999 for _, record in rows]
    print(f"iterations until first met, after the original: median {np.median(first) - 1:g}, worst {max(first) - 1}")


def limit(names, markdown):
    """Score to 0.98 or more, PSNR in dB within more and more iterations"""
    budgets = (100, 300, 3000)
    write_row(("picture", *budgets), markdown, header=True)
    for part in chosen(DEVELOPMENT, names or LIMITS):
        records = [inverse(part.read(), 0.98, iterations=budget)[1] for budget in budgets]
        write_row((part.name, *(record.psnr if record.reached else "not met" for record in records)), markdown)


#: Pictures of `limit`: easy, ordinary and hard ones.
LIMITS = ("camera", "coffee", "chelsea", "brick")


def attacks(names, markdown):
    """Score to 0.98 or more, PSNR in dB of the smallest change that 100 gradients found; unseen pictures of wheels"""
    from adversarial_peers import ATTACKS, smallest_change

    columns = ("inverse", *ATTACKS)
    write_row(("picture", *columns), markdown, header=True)
    found = []
    for part in chosen(UNSEEN, names):
        picture = part.read()
        _, record = inverse(picture, 0.98, iterations=100)
        original = read_pixels(picture, full_resolution=False)
        others = [smallest_change(name, get_scorer(), original, 0.98, 100) for name in ATTACKS]
        found.append([record.psnr if record.reached else -np.inf, *others])
        write_row((part.name, *found[-1]), markdown)
    ours, *peers = np.transpose(found)
    for name, decibels in zip(columns, (ours, *peers)):
        print(f"{name}: reached {np.isfinite(decibels).sum()} of {len(found)}, median {np.median(decibels):.2f} dB")
    gains = ours - np.max(peers, axis=0)
    print(f"beyond the best of the others, each picture: median {np.median(gains):+.2f}, worst {gains.min():+.2f} dB")


def chosen(parts, names):
    """Those of these names, or all."""
    return [part for part in parts if not names or part.name in names]


PARTS: dict[str, Callable] = {
    part.__name__: part
    for part in (first, up, down, between, full, robust, wild, seconds, surrogate, development, unseen, limit, attacks)
}


def evolved(shapes: str, seed: int):
    """A painting evolved until it scores 0.99, or for 250 generations."""
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.fitness import NsfwLogit
    from nsfw_experiments.evolution.painting import render
    from nsfw_experiments.evolution.primitives import primitive_named
    from nsfw_experiments.evolution.strategies import climbing_toolbox

    count = 50 if shapes == "circles" else 100
    evolution = Evolution(climbing_toolbox(primitive_named(shapes), count, NsfwLogit(), seed))
    evolution.run(1000, until=0.99)
    return render(evolution.best, evolution.toolbox.primitive)


def run(starts, target, markdown, **options):
    """Invert named pictures; print a row each, and median and worst of what counts."""
    print(", ".join(f"{name} {value}" for name, value in {"target": target, **options}.items()))
    columns = ("start", "final", "reached", "first", "evaluations", "dB", "SSIM", "Linf", "seconds")
    write_row(("picture", *columns), markdown, header=True)
    rows = []
    for name, picture in starts:
        started = time.perf_counter()
        _, record = inverse(picture, target, **options)
        taken = time.perf_counter() - started
        rows.append((name, record))
        write_row(
            (
                name,
                record.start_score,
                record.final_score,
                record.reached,
                record.first_reached,
                record.evaluations,
                record.psnr,
                record.ssim,
                record.linf,
                taken,
            ),
            markdown,
        )
    decibels, likeness = ([getattr(record, field) for _, record in rows] for field in ("psnr", "ssim"))
    print(
        f"PSNR median {np.median(decibels):.2f}, worst {min(decibels):.2f} dB;"
        f" SSIM median {np.median(likeness):.5f}, worst {min(likeness):.5f};"
        f" reached {sum(record.reached for _, record in rows)} of {len(rows)}"
    )
    if options.get("robust"):
        worst = [lowest_required(record) for _, record in rows]
        print(f"lowest required score: median {np.median(worst):.4f}, worst {min(worst):.4f}")
    print(flush=True)
    return rows


def median_seconds(function, times):
    """Time a function."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


if __name__ == "__main__":
    sys.exit(main())
