"""Checkpoints of strangers, which ``open-nsfw evolve --resume`` would go on from."""

import functools
import json
import tempfile
from pathlib import Path

from attack import Attack, Attacks
from PIL import Image

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.checkpoint import Checkpoint
from nsfw_experiments.evolution.fitness import Psnr
from nsfw_experiments.evolution.settings import Settings
from nsfw_experiments.evolution.strategies import make_toolbox

ATTACKS = Attacks()
SIZE = (8, 8)


def new_run(settings=None):
    settings = settings or Settings.from_dict({"size": list(SIZE), "count": 2, "population": 2})
    size = settings.primitive.size
    return Evolution(make_toolbox(settings, Psnr(Image.new("RGB", size), size)))


@functools.cache
def saved():
    """What a checkpoint has after a generation."""
    run = new_run()
    path = Path(tempfile.mkdtemp()) / "checkpoint.json"
    run.run(1, callbacks=[Checkpoint(path)])
    text = path.read_text()
    path.unlink()
    path.parent.rmdir()
    return text


def _restored(text):
    def carry_out(folder):
        checkpoint = Checkpoint(folder / "checkpoint.json")
        checkpoint.path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        run = new_run(checkpoint.settings())
        before = run.state()
        try:
            checkpoint.restore(run)
        except BaseException:
            assert run.state() == before, "taken up in part"
            raise
        run.run(run.generation + 1)
        return f"goes on from generation {run.generation - 1}"

    return carry_out


def changed(*path, to):
    """A checkpoint with something else at a place."""
    state = json.loads(saved())
    at = state
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    return json.dumps(state)


def refused(message):
    return rf"CheckpointError: /\S+/checkpoint\.json: ({message})"


UNREADABLE = "cannot be read as a checkpoint: "
DAMAGED = "is damaged: "
PAINTINGS = json.loads(saved())["population"]
FITNESS = ("population", 0, "fitness")
GENES = ("population", 0, "shapes", 0, 0)
CHECKPOINTS = {
    "nothing": ("", refused(UNREADABLE)),
    "the half of one": (saved()[: len(saved()) // 2], refused(UNREADABLE)),
    "no UTF-8": (b"\xff\xfe\0", refused(UNREADABLE)),
    "a pickle": (b"\x80\x04cos\nsystem\n.", refused(UNREADABLE)),
    "a list": ("[]", refused("is not a checkpoint")),
    "a number": ("1", refused("is not a checkpoint")),
    "another format": (changed("format", to="savegame"), refused("is not a checkpoint")),
    "a later version": (changed("version", to=2), refused("version: got 2, expected 1")),
    "a version that is a list": (changed("version", to=[1]), refused(r"version: got \[1\], expected 1")),
    "no settings": (changed("about", to=None), refused(DAMAGED)),
    "a canvas of 10^12 pixels": (changed("about", "size", to=[10**6, 10**6]), refused(f"{DAMAGED}.*size")),
    "a canvas of nothing": (changed("about", "size", to=[0, 8]), refused(f"{DAMAGED}.*size")),
    "a negative canvas": (changed("about", "size", to=[-8, -8]), refused(f"{DAMAGED}.*size")),
    "a canvas of fractions": (changed("about", "size", to=[8.5, 8]), refused(f"{DAMAGED}.*")),
    "a canvas that is not a number": (changed("about", "size", to=[float("nan"), 8]), refused(f"{DAMAGED}.*")),
    "a canvas of text": (changed("about", "size", to="88"), refused(f"{DAMAGED}.*")),
    "a canvas of three sides": (changed("about", "size", to=[8, 8, 8]), refused(f"{DAMAGED}.*")),
    "a trillion shapes": (changed("about", "count", to=10**12), refused(f"{DAMAGED}.*count: got 1000000000000")),
    "a trillion paintings": (changed("about", "population", to=10**12), refused(f"{DAMAGED}.*population: got")),
    "true shapes": (changed("about", "count", to=True), refused(f"{DAMAGED}.*count: got True")),
    "shapes of another name": (changed("about", "shapes", to="__class__"), refused(DAMAGED)),
    "a list for a name of shapes": (changed("about", "shapes", to=[]), refused(DAMAGED)),
    "polygons of a million corners": (
        changed("about", to={**json.loads(saved())["about"], "shapes": "polygons", "corners": 10**6}),
        refused(f"{DAMAGED}.*corners"),
    ),
    "another strategy": (changed("about", "strategy", to="__init__"), refused(f"{DAMAGED}.*strategy: got")),
    "a seed that is a list": (changed("about", "seed", to=[1]), refused(f"{DAMAGED}.*seed: got")),
    "a gene beyond its range": (changed(*GENES, to=10**9), refused("shape: got")),
    "a gene of a thousand digits": (changed(*GENES, to=10**999), refused("shape: got")),
    "a gene that is not a number": (changed(*GENES, to=float("nan")), refused("shape: got")),
    "a gene that is true": (changed(*GENES, to=True), refused("shape: got")),
    "a gene that is text": (changed(*GENES, to="1"), refused("shape: got")),
    "a shape of no genes": (changed("population", 0, "shapes", 0, to=[]), refused("shape: got")),
    "a million shapes": (
        changed("population", 0, "shapes", to=[[1]] * 10**6),
        refused("shapes: got 1000000, expected 2"),
    ),
    "shapes that are null": (changed("population", 0, "shapes", to=None), refused("'NoneType' object is not iterable")),
    "a fitness that is not a number": (changed(*FITNESS, to=[float("nan")]), refused("fitness: got nan")),
    "an infinite fitness": (changed(*FITNESS, to=[float("inf")]), refused("fitness: got inf")),
    "two fitnesses": (changed(*FITNESS, to=[1, 2]), refused("too many values")),
    "a fitness of a thousand digits": (changed(*FITNESS, to=[10**999]), refused("int too large")),
    "a fitness that is text": (changed(*FITNESS, to=["1"]), refused("must be real number")),
    "no paintings": (changed("population", to=[]), refused("population: got no painting")),
    "a population of another size": (changed("population", to=PAINTINGS * 3), refused("population: got 12")),
    "a million paintings": (changed("population", to=PAINTINGS[:1] * 10**5), refused("population: got 100000")),
    "no best painting": (changed("hall_of_fame", to=[]), refused("hall_of_fame: got no painting")),
    "a generation of a thousand digits": (changed("generation", to=10**999), refused("generation: got")),
    "a generation that is not a number": (changed("generation", to=float("nan")), refused("generation: got nan")),
    "a generation before the first": (changed("generation", to=-5), refused("generation: got")),
    "a generation of half": (changed("generation", to=0.5), refused("generation: got")),
    "negative evaluations": (changed("evaluations", to=-1), refused("evaluations: got")),
    "random numbers that are none": (changed("random", to=[3, [1, 2], None]), refused("state vector")),
    "random numbers of another version": (changed("random", to=[99, [], None]), refused("state with version 99")),
    "a gauss that is text": (changed("random", 2, to="x"), refused("random: got 'x'")),
    "a log that is none": (changed("logbook", to=[1]), refused(".*must be a mapping")),
    "a log with other names": (changed("logbook", to=[{"self": 1}]), refused(".*multiple values")),
    "a memory of another kind": (changed("memory", to=7), refused(".*no attribute")),
    "a memory of less than nothing": (changed("memory", "tried", to=-1), refused("tried: got -1")),
    "a lone surrogate": (saved().replace("compact", "\ud800"), refused(UNREADABLE)),
}
for name, (text, outcome) in CHECKPOINTS.items():
    ATTACKS.append(Attack("networks", f"checkpoint: {name}", _restored(text), outcome))

COSTLY = {
    "200,000 brackets": ("[" * 200_000, refused(UNREADABLE)),
    "200,000 braces": ('{"a":' * 200_000, refused(UNREADABLE)),
    "nested genes": (changed(*GENES, to="X").replace('"X"', "[" * 500 + "]" * 500), refused("shape: got")),
    "a number of a million digits": (
        changed("generation", to="X").replace('"X"', "9" * 1_000_000),
        refused(UNREADABLE),
    ),
    "an exponent of a million": (
        changed("generation", to="X").replace('"X"', "1e1000000"),
        refused("generation: got inf"),
    ),
    "a canvas for gigabytes": (changed("about", "size", to=[65_536, 65_536]), refused(f"{DAMAGED}.*size")),
}
for name, (text, outcome) in COSTLY.items():
    ATTACKS.append(Attack("cost", f"checkpoint: {name}", _restored(text), outcome))


@ATTACKS.on("cost", refused("cannot be read as a checkpoint: got 268435457 bytes, expected at most 268435456"))
def a_checkpoint_of_more_than_256_mebibytes(folder):
    checkpoint = Checkpoint(folder / "checkpoint.json")
    with open(checkpoint.path, "wb") as file:
        file.truncate((1 << 28) + 1)
    return checkpoint.settings()
