"""Kill `evolve` and `inverse` at hundreds of random moments, and look at what is left each time.

    python tests/attacks/kills.py [--kills 200] [--seed 0]

Three of four kills are of one run of evolution, which is resumed after each: in the end it is, byte for byte, the one
that was never killed. The others are of `inverse` on top of an older result: the old picture or the new one is there,
whole. The exit code is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent / "support")]

from commands import COFFEE, EVOLVE, await_file, end, run, start  # noqa: E402
from PIL import Image  # noqa: E402

from nsfw_experiments.evolution.checkpoint import Checkpoint  # noqa: E402

OUTPUTS = "checkpoint.json", "best.png", "best.svg"


def main() -> int:
    """Kill, print what was seen, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        of_inverse = arguments.kills // 4
        losses = evolve(Path(folder, "evolve"), arguments.kills - of_inverse, moments)
        losses += inverse(Path(folder, "inverse"), of_inverse, moments)
    print(*losses, f"{arguments.kills} kills, {len(losses)} losses", sep="\n")
    return 1 if losses else 0


def evolve(folder: Path, kills: int, moments: random.Random) -> list[str]:
    """Kill a run again and again, let it end, and compare it with one that nobody killed."""
    losses = []
    killed, whole = folder / "killed", folder / "whole"
    reached = 0
    for number in range(kills):
        process = start(*EVOLVE, "--out", killed, "--generations", 10**6, "--every", 5, *_resume(killed))
        await_file(killed / "checkpoint.json", process)
        time.sleep(moments.uniform(0, 2))
        end(process, signal.SIGKILL)
        before, reached = reached, Checkpoint(killed / "checkpoint.json").read()["generation"]
        if reached < before:
            losses.append(f"evolve, kill {number}: generation {reached} after {before}")
        for picture in killed.rglob("*.png"):
            if not picture.name.startswith("."):
                Image.open(picture).load()
    generations = reached + 20
    for out in killed, whole:
        code, said = run(*EVOLVE, "--out", out, "--generations", generations, "--every", 5, *_resume(out))
        if code:
            losses.append(f"evolve: exit code {code}: {said}")
    print(f"evolve: {kills} kills in {generations} generations")
    losses += [
        f"evolve: another {name}" for name in OUTPUTS if (killed / name).read_bytes() != (whole / name).read_bytes()
    ]
    return losses + [f"evolve: {path} is left" for path in killed.rglob("*.part")]


def _resume(folder: Path) -> list[str]:
    return ["--resume"] if (folder / "checkpoint.json").exists() else []


def inverse(folder: Path, kills: int, moments: random.Random) -> list[str]:
    """Kill a search over an older result at any moment, its last ones too."""
    losses = []
    folder.mkdir()
    older, out = folder / "older.png", folder / "out.png"
    Image.new("RGB", (64, 64), "green").save(older)
    search = "inverse", COFFEE, "--target", "0.3", "--iterations", 4, "--out", out, "--force"
    began = time.monotonic()
    code, said = run(*search)
    if not out.exists():
        losses.append(f"inverse: exit code {code}: {said}")
    lasts, new = time.monotonic() - began, out.read_bytes()
    found = {"old": 0, "new": 0}
    for number in range(kills):
        shutil.copy(older, out)
        process = start(*search)
        time.sleep(moments.uniform(0, 1.1) * lasts)
        end(process, signal.SIGKILL)
        left = {older.read_bytes(): "old", new: "new"}.get(out.read_bytes())
        if left is None:
            losses.append(f"inverse, kill {number}: neither the old picture nor the new one")
        else:
            found[left] += 1
    print(f"inverse: {kills} kills left the old picture {found['old']} times and the new one {found['new']} times")
    return losses


if __name__ == "__main__":
    sys.exit(main())
