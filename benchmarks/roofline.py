"""Show how near each convolution of the network comes to what the processor can do, and print a table.

    python benchmarks/roofline.py [--precision float32|bfloat16] [--batch N]

oneDNN says itself what each of its calls took (``ONEDNN_VERBOSE``); convolutions of this project's own are not among
them, which with ``--precision bfloat16 --batch 8`` there are none of. Beside it stands the time that a layer would take
at the speed of the fastest layer, and the time that its weights, input and output would take at the speed at which this
processor reads an array as large as all weights: no layer can be faster than the slower of both (S. Williams et al.,
"Roofline", CACM 52, 2009). Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PASSES, WARM = 40, 10
#: What oneDNN writes of a convolution: pictures, channels before and after, sides, kernel.
_SHAPE = re.compile(r"mb(\d+)_ic(\d+)oc(\d+)_ih(\d+)oh(\d+)kh(\d+)\S*,([\d.]+)$")
_PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, {root!r})
from open_nsfw import get_scorer, prepare
x = np.repeat(prepare({root!r} + "/img/coffee.jpg")[np.newaxis], {batch}, axis=0)
scorer = get_scorer(precision={precision!r})
for _ in range({passes}):
    print("pass", flush=True)
    scorer.scores(x)
"""


class Layer(NamedTuple):
    """A convolution of some pictures: its size, and what it took, in milliseconds."""

    pictures: int
    channels: int
    filters: int
    rows: int
    output_rows: int
    kernel: int
    milliseconds: float

    def gigaflops(self) -> float:
        """Multiplications and additions."""
        pixels = self.pictures * self.output_rows**2
        return 2e-9 * pixels * self.filters * self.channels * self.kernel**2

    def megabytes(self, width: int) -> float:
        """Weights, input and output; those after a sum are read too, which is left out."""
        weights = self.filters * self.channels * self.kernel**2
        values = self.pictures * (self.channels * self.rows**2 + self.filters * self.output_rows**2)
        return 1e-6 * width * (weights + values)


def passes(precision: str, batch: int) -> Iterator[list[Layer]]:
    """Run the network, and give the convolutions of each pass but the first ones."""
    code = _PROGRAM.format(root=str(ROOT), batch=batch, precision=precision, passes=PASSES)
    environment = {**os.environ, "ONEDNN_VERBOSE": "1"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    for lines in ran.stdout.split("pass\n")[1 + WARM :]:
        found = [_SHAPE.search(line) for line in lines.splitlines() if ",convolution," in line]
        yield [Layer(*map(int, match.groups()[:6]), float(match.group(7))) for match in found if match]


def medians(precision: str, batch: int) -> list[Layer]:
    """Give each convolution in its order, with the median of its times; parts of a batch are added up."""
    columns = list(zip(*passes(precision, batch), strict=True))
    return [
        column[0]._replace(milliseconds=statistics.median(layer.milliseconds for layer in column)) for column in columns
    ]


def gigabytes_per_second(megabytes: float) -> float:
    """How fast all cores read an array of this size, again and again, as they do weights."""
    array = np.ones(int(megabytes * 1e6 / 4), np.float32)
    samples = []
    for _ in range(200):
        start = time.perf_counter()
        array @ array
        samples.append(time.perf_counter() - start)
    return array.nbytes / statistics.median(samples) / 1e9


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=1, metavar="N")
    args = parser.parse_args()
    width = {"float32": 4, "bfloat16": 2}[args.precision]
    layers = medians(args.precision, args.batch)
    peak = max(layer.gigaflops() / layer.milliseconds * 1e3 for layer in medians(args.precision, 8))
    weights = sum(layer._replace(pictures=0).megabytes(width) for layer in layers)
    bandwidth = gigabytes_per_second(weights)
    print(f"{args.precision}, {args.batch} picture(s): the fastest layer of a batch of 8 reaches {peak:.0f} GFLOP/s;")
    print(f"{weights:.1f} MB, the size of all weights, are read at {bandwidth:.0f} GB/s\n")
    print("| layers | number | ms | GFLOP/s | GB/s | at least, ms | of that |\n|---|---|---|---|---|---|---|")
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(f"{layer.kernel}x{layer.kernel}, {layer.output_rows}x{layer.output_rows}", []).append(layer)
    for name, group in [*groups.items(), ("all", layers)]:
        took = sum(layer.milliseconds for layer in group)
        flops, read = sum(layer.gigaflops() for layer in group), sum(layer.megabytes(width) for layer in group)
        least = sum(max(layer.gigaflops() / peak * 1e3, layer.megabytes(width) / bandwidth) for layer in group)
        cells = f"{took:.3f} | {flops / took * 1e3:.0f} | {read / took:.1f} | {least:.3f} | {took / least:.2f}x"
        print(f"| {name} | {len(group)} | {cells} |")


if __name__ == "__main__":
    main()
