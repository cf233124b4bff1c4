"""Measure explanations: whether they find what counts, what they cost, and whether they depend on the weights.

    python benchmarks/explanation.py [PART ...] [--pictures N] [--markdown]

Parts, all by default: faithful, seconds, captum, random. Pictures are those of img/ and of scikit-image's package.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import numpy as np  # noqa: E402
from random_weights import with_random_weights  # noqa: E402
from tables import write_row  # noqa: E402

from nsfw_experiments.explanation import METHODS, explain  # noqa: E402
from nsfw_experiments.explanation.attribution import batches, blurred  # noqa: E402
from nsfw_experiments.explanation.geometry import map_of_picture  # noqa: E402
from nsfw_experiments.explanation.occlusion import places  # noqa: E402
from nsfw_experiments.explanation.path_integral import PathIntegral  # noqa: E402
from nsfw_model.weights import load_weights  # noqa: E402
from open_nsfw import PictureError, get_scorer, model_files, nsfw_score, prepare  # noqa: E402

#: Parameters by which `random` is done in minutes: random networks meet no tolerance.
FEW_STEPS: dict[str, dict] = {"integrated-gradients": {"tolerance": np.inf}, "smooth-grad": {"samples": 8}}
#: Patches of 16x16 pixels that are hidden or shown, and how many more from one look to the next.
PATCH, AT_ONCE = 16, 14
#: Layers that get random weights, by parts of their names: the last one, then more and more, then all.
CASCADE = {"fc_nsfw": ("fc_nsfw",), "stage 3 too": ("fc_nsfw", "stage3"), "all": ("",)}
COFFEE = ROOT / "img/coffee.jpg"


def main() -> int:
    """Print the tables of the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--pictures", type=int, metavar="N", help="only the first N")
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        print(f"\n{PARTS[name].__doc__}\n", flush=True)
        PARTS[name](pictures()[: arguments.pictures], arguments.markdown)
    return 0


def pictures() -> list[Path]:
    """List the pictures of img/, and those in the wheel of scikit-image that can be scored."""
    import skimage.data

    own = [path for path in sorted(ROOT.glob("img/*")) if path.suffix in (".png", ".jpg")]
    others = [path for path in sorted(Path(skimage.data.__file__).parent.glob("*")) if path.suffix in (".png", ".jpg")]
    named = {path.stem: path for path in [*others, *own]}
    return [path for path in named.values() if can_be_scored(path)]


def can_be_scored(path: Path) -> bool:
    """Whether it is a picture that the scorer takes."""
    try:
        nsfw_score(path)
    except PictureError:
        return False
    return True


def faithful(paths: list[Path], markdown: bool) -> None:
    """Insertion minus deletion: mean logit while patches are shown on the blurred picture, less that while hidden"""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in [*METHODS, "random"]}
    for path in paths:
        x = prepare(path)
        for name, cells in maps_of(path):
            order = patches_in_order(cells)
            found[name].append((auc(x, order, inserting=True), auc(x, order, inserting=False)))
    write_row(("method", "insertion", "deletion", "difference", "+-"), markdown, header=True)
    for name, areas in found.items():
        insertion, deletion = np.mean(areas, axis=0)
        differences = np.array([shown - hidden for shown, hidden in areas])
        error = float(differences.std() / np.sqrt(len(areas)))
        write_row((name, float(insertion), float(deletion), float(insertion - deletion), error), markdown)
    print(f"{len(paths)} pictures: {', '.join(path.name for path in paths)}")


def maps_of(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The cells that each method finds, and random ones."""
    for name in METHODS:
        yield name, explain(path, name).shown
    yield "random", np.random.default_rng(0).random((224, 224))


def patches_in_order(cells: np.ndarray) -> list[tuple[slice, slice]]:
    """Patches of the network's input, those first that raise the score the most."""
    fine = map_of_picture(cells, (256, 256), (224, 224))[16:240, 16:240]
    patches = places((224, 224), PATCH, PATCH)
    return sorted(patches, key=lambda patch: -fine[patch].mean())


def auc(x: np.ndarray, order: list[tuple[slice, slice]], inserting: bool) -> float:
    """The mean logit while patches are replaced in that order: by those of the picture, or of the blurred one."""
    start, end = (blurred(x, 12), x) if inserting else (x, blurred(x, 12))
    looks = [start.copy()]
    for first in range(0, len(order), AT_ONCE):
        look = looks[-1].copy()
        for rows, columns in order[first : first + AT_ONCE]:
            look[:, rows, columns] = end[:, rows, columns]
        looks.append(look)
    logits = np.concatenate(
        [get_scorer().logits(np.stack(looks[batch.start : batch.stop])) for batch in batches(len(looks))]
    )
    return float((logits[1:] + logits[:-1]).mean() / 2)  # trapezoids


def seconds(paths: list[Path], markdown: bool) -> None:
    """Seconds from a file to its explanation, beside those to its score; median of five, in turns"""
    functions: dict[str, Callable] = {"score": functools.partial(nsfw_score, COFFEE)}
    for name in METHODS:
        functions[name] = functools.partial(explained, COFFEE, name)
    taken = median_seconds(functions, times=5)
    write_row(("method", "seconds", "times the score"), markdown, header=True)
    for name, (one, _) in taken.items():
        write_row((name, one, one / taken["score"][0]), markdown)


def explained(path: Path, method: str) -> np.ndarray:
    """A picture's map, in its own pixels."""
    return explain(path, method).map


def captum(paths: list[Path], markdown: bool) -> None:
    """Integrated gradients of 32 steps, here and by Captum on PyTorch; medians of seven, in turns"""
    if not all(map(importlib.util.find_spec, ("torch", "captum"))):
        print("torch and captum are not installed: pip install .[peers]")
        return
    import torch
    from captum.attr import IntegratedGradients
    from peers import pytorch_logits

    torch.set_num_threads(os.cpu_count() or 1)
    x = prepare(COFFEE)
    baseline = blurred(x, 12)
    tensors = [torch.from_numpy(values)[None].to(memory_format=torch.channels_last) for values in (x, baseline)]
    theirs = IntegratedGradients(pytorch_logits(load_weights(model_files()[0])))

    def of_captum(batch: int | None = None) -> None:
        theirs.attribute(*tensors, n_steps=32, internal_batch_size=batch)

    taken = median_seconds(
        {
            "here": lambda: PathIntegral(get_scorer(), baseline, x, 32).attributions(),
            "Captum": of_captum,
            "Captum, batches of 8": lambda: of_captum(8),
        },
        times=7,
    )
    header = ("integrated gradients", "seconds", "of processors", "times Captum's", "of processors")
    write_row(header, markdown, header=True, width=16)
    for name, pair in taken.items():
        write_row((name, *pair, *np.divide(pair, taken["Captum"]).tolist()), markdown, width=16)


def random(paths: list[Path], markdown: bool) -> None:
    """Rank correlation with maps of random weights, more and more of them from the network's end on (Adebayo 2018)"""
    from scipy.stats import spearmanr

    own = [path for path in paths if path.parent == ROOT / "img"]
    scorers = {stage: with_random_weights(*model_files(), names) for stage, names in CASCADE.items()}
    write_row(("method", *scorers, "all, without signs"), markdown, header=True)
    for name in METHODS:
        parameters = FEW_STEPS.get(name, {})
        rows = []
        for path in own:
            cells = explain(path, name, **parameters).shown.ravel()
            others = [explain(path, name, scorer=scorer, **parameters).shown.ravel() for scorer in scorers.values()]
            row = [spearmanr(cells, other)[0] for other in others]
            rows.append([*row, spearmanr(np.abs(cells), np.abs(others[-1]))[0]])
        write_row((name, *(f"{mean:.2f}" for mean in np.mean(rows, axis=0))), markdown)
    print(f"{len(own)} pictures: {', '.join(path.name for path in own)}")


def median_seconds(functions: dict[str, Callable], times: int) -> dict[str, tuple[float, float]]:
    """Seconds, and those of all processors; functions take turns, so that other work slows all of them."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(times):
        for name, function in functions.items():
            started, worked = time.perf_counter(), time.process_time()
            function()
            taken[name].append((time.perf_counter() - started, time.process_time() - worked))
    medians = {name: np.median(pairs, axis=0) for name, pairs in taken.items()}
    return {name: (float(passed), float(worked)) for name, (passed, worked) in medians.items()}


PARTS: dict[str, Callable] = {part.__name__: part for part in (faithful, seconds, captum, random)}


if __name__ == "__main__":
    sys.exit(main())
