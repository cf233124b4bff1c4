"""Commands that are ended at some moment: what they wrote is whole, and nothing of them is left."""

import json
import signal
import time

from attack import Attack
from commands import COFFEE, EVOLVE, ROCKET, await_file, end, run, start
from PIL import Image

ATTACKS = []
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGKILL": -9}


def _ended_evolution(name, seconds, *options):
    def carry_out(folder):
        out = folder / "run"
        process = start(*EVOLVE, "--out", out, "--generations", 10**6, "--every", 1, *options)
        await_file(out / "checkpoint.json", process)
        time.sleep(seconds)
        ended = end(process, getattr(signal, name))
        pictures = [Image.open(path).load() for path in out.rglob("*.png")]
        reached = json.loads((out / "checkpoint.json").read_text())["generation"]
        code, said = run(*EVOLVE, "--out", out, "--resume", "--generations", reached + 2)
        left = len(list(out.rglob("*.part")))
        return f"{ended}; {len(pictures) > 0}; resumed: {code}; {left} unfinished files {said if code else ''}"

    return carry_out


for name, seconds in zip(SIGNALS, (0, 0.13, 0.2, 0.4)):
    code = -9 if name == "SIGKILL" else 130
    held = f"exit code {code}, 0 processes left; True; resumed: 0; 0 unfinished files"
    ATTACKS.append(Attack("runs", f"evolve, {name} after {seconds} s", _ended_evolution(name, seconds), held, None))
for name in "SIGTERM", "SIGKILL":
    held = f"exit code {-9 if name == 'SIGKILL' else 130}, 0 processes left; True; resumed: 0; 0 unfinished files"
    carry_out = _ended_evolution(name, 0.2, "--processes", 2)
    ATTACKS.append(Attack("runs", f"evolve of two processes, {name}", carry_out, held, None))


def _ended(name, seconds, *arguments):
    def carry_out(folder):
        process = start(*arguments)
        time.sleep(seconds)
        return end(process, getattr(signal, name))

    return carry_out


# Python itself, while it starts, knows of no signal; what is done within that time is 0
for name, seconds in zip(SIGNALS, (0.3, 0.6, 1, 2)):
    number = int(getattr(signal, name))
    held = rf"exit code (0|{128 + number}|-{number}), 0 processes left"
    carry_out = _ended(name, seconds, "score", *[ROCKET] * 2000)
    ATTACKS.append(Attack("runs", f"score, {name} after {seconds} s", carry_out, held, None))


def _ended_inverse(name, seconds):
    def carry_out(folder):
        out = folder / "out.png"
        Image.new("RGB", (64, 64), "green").save(out)
        old = out.read_bytes()
        process = start(
            "inverse", COFFEE, "--target", "0.9", "--tolerance", "1e-9", "--iterations", 10**6, "--out", out, "--force"
        )
        time.sleep(seconds)
        ended = end(process, getattr(signal, name))
        found = "old" if out.read_bytes() == old else "new"
        return f"{ended}, the {found} picture of {Image.open(out).size}, {len(list(folder.iterdir()))} files"

    return carry_out


for name, seconds in zip(SIGNALS, (2, 1, 4, 3)):
    ended = "exit code (130|143|129|-[0-9]+), 0 processes left"
    held = rf"{ended}, the (old picture of \(64, 64\)|new picture of \(256, 256\)), 1 files"
    ATTACKS.append(Attack("runs", f"inverse, {name} after {seconds} s", _ended_inverse(name, seconds), held, None))
