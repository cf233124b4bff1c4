"""Kill `evolve`, `inverse` and `score` at hundreds of random moments, and look at what is left each time.

    python tests/attacks/kills.py [--kills 200] [--seed 0] [evolve] [inverse] [score]

Runs of evolution and of `score --out` are resumed after each kill: in the end they are, byte for byte, those that were
never killed, and no row that was there once is lost. `inverse` is killed on top of an older result: the old picture or
the new one is there, whole. The exit code is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import csv
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
#: How the kills are shared out.
SHARES = {"evolve": 2, "inverse": 1, "score": 2}


def main() -> int:
    """Kill, print what was seen, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=list(SHARES), metavar="COMMAND", help="default: all three")
    parser.add_argument("--kills", type=int, default=200, help="of all of them (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    unit = arguments.kills / sum(SHARES[name] for name in arguments.commands)
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.commands:
            losses += COMMANDS[name](Path(folder, name), round(unit * SHARES[name]), moments)
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


def score(folder: Path, kills: int, moments: random.Random) -> list[str]:
    """Kill a run over a folder whose pictures change, are joined by others and go, and compare it with a single run."""
    losses = []
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "notes").write_text("no picture")
    killed, whole = folder / "killed.csv", folder / "whole.csv"
    command = "score", pictures, "--threshold", "0.5", "--batch-size", 1, "--resume", "--out"
    kept: dict[tuple, str] = {}
    for number in range(kills):
        for _ in range(40):
            change(pictures / f"{moments.randrange(400):03d}.png", moments)
        size = killed.stat().st_size if killed.exists() else 0
        process = start(*command, killed)
        while number % 4 and process.poll() is None and (not killed.exists() or killed.stat().st_size == size):
            time.sleep(0.01)  # the others are killed wherever they are
        time.sleep(moments.uniform(0, 1.5))
        end(process, signal.SIGKILL)
        before, kept = kept, rows(killed) if killed.exists() else {}
        present = {(str(path), *stamp(path)) for path in pictures.iterdir()}
        losses += [f"score, kill {number}: {file} is lost" for file, *_ in (before.keys() & present) - kept.keys()]
    for out in killed, whole:
        code, said = run(*command, out)
        if code:
            losses.append(f"score: exit code {code}: {said}")
    print(f"score: {kills} kills, {len(kept)} rows after the last")
    return losses + ([] if killed.read_bytes() == whole.read_bytes() else ["score: other rows"])


def change(path: Path, moments: random.Random) -> None:
    """Write a picture anew."""
    Image.new("RGB", (64, 64), tuple(moments.randrange(256) for _ in range(3))).save(path)


def stamp(path: Path) -> tuple[str, str]:
    """By what a changed file is noticed, as rows have it."""
    status = path.stat()
    return str(status.st_size), str(status.st_mtime_ns)


def rows(path: Path) -> dict[tuple, str]:
    """The scores of a file of rows that are whole, by name, size and time."""
    *lines, _ = path.read_bytes().decode().split("\r\n")
    return {(row["file"], row["size"], row["modified_ns"]): row["score"] for row in csv.DictReader(lines)}


COMMANDS = {"evolve": evolve, "inverse": inverse, "score": score}

if __name__ == "__main__":
    sys.exit(main())
