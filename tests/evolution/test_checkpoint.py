"""Checkpoints: always one complete file, taken up only by the run that it belongs to."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nsfw_experiments.evolution.checkpoint
from nsfw_experiments.evolution.checkpoint import Checkpoint, CheckpointError
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import NsfwLogit, Psnr
from nsfw_experiments.evolution.primitives import Circles, Polygons
from nsfw_experiments.evolution.settings import Settings
from nsfw_experiments.evolution.strategies import STRATEGIES, climbing_toolbox, make_toolbox, original_toolbox

SIZE = (24, 24)
DATA = Path(__file__).parent / "data"


def new_run(strategy="climb", primitive=None, count=6, target="orange", hall_of_fame=1, population=6, seed=0):
    primitive = primitive or Circles(SIZE)
    fitness = Psnr(Image.new("RGB", SIZE, target), primitive.size)
    return Evolution(make_toolbox(Settings(strategy, primitive, count, population, seed), fitness), hall_of_fame)


@pytest.fixture
def checkpoint(tmp_path):
    """The checkpoint of a run of three generations."""
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    new_run().run(3, callbacks=[checkpoint])
    return checkpoint


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_that_is_taken_up_ends_as_if_it_had_never_stopped(tmp_path, strategy):
    whole = new_run(strategy)
    whole.run(8)
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    new_run(strategy).run(5, callbacks=[checkpoint])
    resumed = new_run(strategy)
    checkpoint.restore(resumed)
    resumed.run(8)
    assert resumed.state() == whole.state()


def test_a_hall_of_fame_keeps_its_order_among_equals(tmp_path, monkeypatch):
    measure = Psnr._psnr
    monkeypatch.setattr(Psnr, "_psnr", lambda self, picture: float(measure(self, picture) // 2))
    checkpoint, run, resumed = Checkpoint(tmp_path / "checkpoint.json"), *(new_run(hall_of_fame=5) for _ in range(2))
    run.run(4, callbacks=[checkpoint])
    fitnesses = [painting.fitness.values for painting in run.hall_of_fame]
    assert len(set(fitnesses)) < len(fitnesses)
    checkpoint.restore(resumed)
    assert resumed.state() == run.state()


def test_a_checkpoint_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("replaced") or replace(*paths))
    checkpoint = Checkpoint(tmp_path / "checkpoint.json")
    new_run().run(0, callbacks=[checkpoint])
    assert done[:2] == [checkpoint.path.stat().st_size, "replaced"]


KILLED = """
import sys
sys.path[:0] = {path!r}
from tests.evolution.test_checkpoint import Checkpoint, new_run
def tell(evolution):
    print(evolution.generation, flush=True)
new_run().run(10**6, callbacks=[Checkpoint({checkpoint!r}), tell])
"""


def test_a_killed_run_loses_at_most_one_generation(tmp_path, request):
    path = tmp_path / "checkpoint.json"
    script = KILLED.format(path=[str(request.config.rootpath), *sys.path], checkpoint=str(path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    told = [process.stdout.readline() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    last_told = int((told + process.communicate()[0].splitlines())[-1])
    resumed, whole = new_run(), new_run()
    Checkpoint(path).restore(resumed)
    assert resumed.generation in (last_told, last_told + 1)
    whole.run(resumed.generation)
    assert resumed.state() == whole.state()


def test_a_failed_write_leaves_the_checkpoint_before_it(checkpoint, monkeypatch):
    def fail(*paths):
        raise OSError("disk full")

    before = checkpoint.path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        new_run().run(1, callbacks=[checkpoint])
    assert checkpoint.path.read_bytes() == before


@pytest.mark.parametrize(
    "other, message",
    [
        ({"primitive": Polygons(3, SIZE)}, "shapes: this run has 'triangles', the saved one 'circles'"),
        ({"primitive": Circles((24, 25))}, r"size: this run has \[24, 25\], the saved one \[24, 24\]"),
        ({"count": 7}, "count: this run has 7, the saved one 6"),
        ({"strategy": "original"}, "strategy: this run has 'original', the saved one 'climb'"),
        ({"seed": 1}, "seed: this run has 1, the saved one 0"),
        ({"population": 7}, "population: this run has 7, the saved one 6"),
        ({"target": "blue"}, "fitness: this run has 'Likeness .*', the saved one 'Likeness .*'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(checkpoint, other, message):
    evolution = new_run(**other)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.restore(evolution)
    assert evolution.generation == -1


def changed(state, name, value):
    return {**state, name: value}


def with_first(state, **changes):
    """The state with something else in its first painting."""
    first, *others = state["population"]
    return changed(state, "population", [{**first, **changes}, *others])


def without(state, name):
    return {other: value for other, value in state.items() if other != name}


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda state: changed(state, "version", 2), "version: got 2, expected 1"),
        (lambda state: changed(state, "format", "savegame"), "is not a checkpoint"),
        (lambda state: [], "is not a checkpoint"),
        (lambda state: {name: state[name] for name in ("format", "version", "about")}, "no 'population'"),
        (lambda state: changed(state, "random", [3, [1, 2], None]), "state"),
        (lambda state: changed(state, "population", [{"shapes": [[1, 2, 3]] * 6, "fitness": [0]}]), "genes"),
        (
            lambda state: changed(state, "population", [{"shapes": [[0, 0, 99, 0, 0, 0, 200]] * 6, "fitness": [0]}]),
            "genes",
        ),
        (lambda state: without(state, "about"), "no 'about'"),
        (lambda state: changed(state, "population", []), "population: got no painting in generation 3"),
        (lambda state: changed(state, "hall_of_fame", []), "hall_of_fame: got no painting in generation 3"),
        (lambda state: with_first(state, fitness=[float("nan")]), "fitness: got nan, expected a finite number"),
        (lambda state: with_first(state, fitness=[]), "unpack"),
        (lambda state: with_first(state, shapes=state["population"][0]["shapes"][:-1]), "shapes: got 5, expected 6"),
        (lambda state: with_first(state, shapes=[[5.5, 5, 5, 5, 5, 5, 200]] * 6), "whole genes"),
        (lambda state: changed(state, "generation", float("inf")), "generation: got inf, expected a whole number"),
        (lambda state: changed(state, "generation", 0.5), "generation: got 0.5, expected a whole number"),
        (lambda state: changed(state, "generation", 10**999), "generation: got 10000.*at most 9007199254740992"),
        (lambda state: changed(state, "generation", -2), "generation: got -2, expected a whole number of at least -1"),
        (lambda state: changed(state, "evaluations", -1), "evaluations: got -1, expected a whole number of at least 0"),
        (lambda state: changed(state, "population", state["population"] * 3), "population: got .* the settings have 6"),
        (lambda state: changed(state, "random", [*state["random"][:2], "x"]), "random: got 'x' as the next number"),
        (lambda state: changed(state, "population", 5), "not iterable"),
        (lambda state: changed(state, "logbook", [5]), "mapping"),
        (lambda state: changed(state, "about", None), "subscriptable|attribute"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(checkpoint, damage, message):
    state = json.loads(checkpoint.path.read_text())
    checkpoint.path.write_text(json.dumps(damage(state)))
    evolution = new_run()
    before = evolution.state()
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.restore(evolution)
    assert str(checkpoint.path) in str(error.value)
    assert evolution.state() == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"nonsense", b"[" * 200_000, b'{"a":' * 200_000])
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        Checkpoint(path).read()


@pytest.mark.parametrize(
    "name, value",
    [
        ("size", [10**6, 10**6]),
        ("size", [2.5, 2]),
        ("size", ["9", "9"]),
        ("count", 10**9),
        ("population", 10**9),
        ("count", "many"),
        ("seed", [1]),
    ],
)
def test_settings_that_ask_for_more_than_there_is_are_refused_before_anything_is_made(checkpoint, name, value):
    state = json.loads(checkpoint.path.read_text())
    checkpoint.path.write_text(json.dumps(changed(state, "about", changed(state["about"], name, value))))
    with pytest.raises(CheckpointError, match=f"is damaged: .*{name}: got"):
        checkpoint.settings()


def test_what_a_checkpoint_says_is_quoted_in_part_only(checkpoint):
    text = 10**6 * "x"
    for change in {"version": text}, {"about": {"fitness": text}}, {"about": {"strategy": text}}:
        state = json.loads(checkpoint.path.read_text())
        about = {**state["about"], **change.pop("about", {})}
        checkpoint.path.with_name("other.json").write_text(json.dumps({**state, **change, "about": about}))
        other = Checkpoint(checkpoint.path.with_name("other.json"))
        with pytest.raises(CheckpointError, match="xxx") as error:
            new_run(other.settings().strategy)
            other.restore(new_run())
        assert len(str(error.value)) < 1000


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        Checkpoint(tmp_path / "checkpoint.json").read()


# Checkpoints of generation 5 (of a score: 3), and digests of generation 20, both made by the code of commit 26e7962:
# before there were `Settings`, and when `Psnr` was called Likeness.
OLD_SIZE = (24, 18)


def old_target():
    y, x = np.mgrid[:18, :24]
    return Image.fromarray(np.stack([x * 10, y * 14, x * y % 256], axis=2).astype(np.uint8))


def old_climb():
    return climbing_toolbox(Circles(OLD_SIZE), 5, Psnr(old_target(), OLD_SIZE), seed=5, fine=True)


def old_original():
    return original_toolbox(Polygons(3, OLD_SIZE), 5, Psnr(old_target(), OLD_SIZE), seed=6, population=6)


def old_climb_to_a_score():
    return climbing_toolbox(Polygons(4, OLD_SIZE), 3, NsfwLogit(), seed=7, population=2)


def digest(evolution):
    """A hash of all but the fitness, whose last digits may be other ones on other processors."""
    state = evolution.state()
    shapes = [[painting["shapes"] for painting in state[name]] for name in ("population", "hall_of_fame")]
    return hashlib.sha256(json.dumps([state["evaluations"], state["random"], shapes]).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "name, make",
    [("climb_likeness", old_climb), ("original_likeness", old_original), ("climb_nsfw_logit", old_climb_to_a_score)],
)
def test_an_old_checkpoint_is_taken_up_and_written_alike(tmp_path, name, make):
    old = Checkpoint(DATA / f"{name}.json")
    evolution, again = Evolution(make()), Checkpoint(tmp_path / "again.json")
    assert old.settings() == evolution.toolbox.settings
    old.restore(evolution)
    again(evolution)
    assert again.path.read_bytes() == old.path.read_bytes()


@pytest.mark.parametrize(
    "name, make, expected",
    [("climb_likeness", old_climb, "dc77133027318fb5"), ("original_likeness", old_original, "505741e4ba127eb7")],
)
def test_an_old_run_goes_on_as_it_did(name, make, expected):
    resumed, whole = Evolution(make()), Evolution(make())
    Checkpoint(DATA / f"{name}.json").restore(resumed)
    for evolution in (resumed, whole):
        evolution.run(20)
        assert digest(evolution) == expected


def test_a_checkpoint_is_plain_json_of_format_version_and_state(checkpoint):
    evolution = new_run()
    evolution.run(3)
    saved = json.loads(checkpoint.path.read_text())
    assert list(saved)[:2] == ["format", "version"]
    assert saved == {"format": "painting evolution", "version": 1, **json.loads(json.dumps(evolution.state()))}
    assert checkpoint.read() == saved
    assert checkpoint.settings() == evolution.toolbox.settings


def test_a_checkpoint_is_read_up_to_a_quarter_of_a_gibibyte(checkpoint, monkeypatch):
    assert nsfw_experiments.evolution.checkpoint.LARGEST_FILE == 1 << 28
    size = checkpoint.path.stat().st_size
    monkeypatch.setattr("nsfw_experiments.evolution.checkpoint.LARGEST_FILE", size)
    checkpoint.restore(new_run())
    monkeypatch.setattr("nsfw_experiments.evolution.checkpoint.LARGEST_FILE", size - 1)
    with pytest.raises(CheckpointError, match=f"cannot be read as a checkpoint: got {size} bytes, expected at most"):
        checkpoint.read()


def test_a_checkpoint_may_be_named_by_a_text(tmp_path):
    Checkpoint(str(tmp_path / "saved.json"))(new_run())
    assert Checkpoint(tmp_path / "saved.json").read()["generation"] == -1
