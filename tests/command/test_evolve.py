"""``open-nsfw evolve``: what it leaves in its folder, how it goes on, and what it refuses."""

import json
import re
import xml.etree.ElementTree as ElementTree
from argparse import ArgumentTypeError
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from PIL import Image

import open_nsfw
from nsfw_command.evolve import canvas_size
from nsfw_command.main import main
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import Psnr
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Ellipses, Polygons
from nsfw_experiments.evolution.settings import Settings
from nsfw_model.outputs import OutputError

SMALL = ["--size", "32x24", "--count", "5", "--population", "4"]


@pytest.fixture
def no_network(monkeypatch):
    """Gives every saved picture the same score, and spares the test the compiling of the network."""
    monkeypatch.setattr(open_nsfw, "nsfw_score", lambda picture: 0.25)


@pytest.fixture
def target(tmp_path, no_network):
    """A picture to paint."""
    path = tmp_path / "target.png"
    Image.new("RGB", (60, 40), "orange").save(path)
    return str(path)


@pytest.fixture
def started(monkeypatch):
    """The settings, generations and aim of the runs that were started; none of them gets to its first picture."""
    runs = []

    def run(evolution, generations, until, callbacks):
        runs.append((evolution.toolbox.settings, generations, until))
        raise KeyboardInterrupt

    monkeypatch.setattr(Evolution, "run", run)
    return runs


def evolve(out, *arguments):
    return main(["evolve", "--out", str(out), *map(str, arguments)])


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_leaves_picture_drawing_animation_generations_and_checkpoint(tmp_path, target, capsys):
    out = tmp_path / "new" / "out"
    assert evolve(out, *SMALL, "--target", target, "--generations", 7, "--every", 3) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "best.png", "best.svg", "checkpoint.json", "evolution.gif", "generations",
    ]  # fmt: skip
    assert Image.open(out / "best.png").size == (32, 24)
    assert len(ElementTree.parse(out / "best.svg").getroot()) == 1 + 5
    assert [path.name for path in sorted((out / "generations").iterdir())] == [
        "000000.png",
        "000003.png",
        "000006.png",
    ]
    assert Image.open(out / "evolution.gif").is_animated
    assert json.loads((out / "checkpoint.json").read_text())["generation"] == 7
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("generation 7, ")
    assert lines[1].startswith(f"PSNR to {target}: ")
    assert lines[2] == f"0.250000  {out / 'best.png'}"


@pytest.mark.parametrize("strategy", ["climb", "original"])
@pytest.mark.parametrize("shapes", PRIMITIVES)
def test_shapes_and_strategies(tmp_path, target, shapes, strategy):
    chosen = ["--shapes", shapes, "--strategy", strategy, "--generations", 2]
    assert evolve(tmp_path / "out", *SMALL, *chosen, "--target", target) == 0
    about = json.loads((tmp_path / "out" / "checkpoint.json").read_text())["about"]
    assert (about["shapes"], about["strategy"], about["count"]) == (shapes, strategy, 5)
    assert about["corners"] == {"triangles": 3, "polygons": 4}.get(shapes)


@pytest.mark.parametrize(
    "arguments, expected, generations",
    [
        ([], Settings("compact", Circles((256, 256)), 50, 2, seed=0, fitness="NsfwLogit"), 1000),
        (
            ["--shapes", "ellipses"],
            Settings("compact", Ellipses((256, 256)), 100, 2, seed=0, fitness="NsfwLogit"),
            1000,
        ),
        (
            ["--strategy", "original"],
            Settings("original", Circles((256, 256)), 50, 50, seed=0, fitness="NsfwScore"),
            200,
        ),
        (
            ["--strategy", "original", "--shapes", "polygons"],
            Settings("original", Polygons(4, (256, 256)), 100, 100, seed=0, fitness="NsfwScore"),
            200,
        ),
    ],
)
def test_what_is_not_given_has_its_default(tmp_path, started, arguments, expected, generations):
    assert evolve(tmp_path / "out", *arguments) == 130
    assert started == [(expected, generations, float("inf"))]


def test_a_target_is_approached_by_fine_changes_on_the_default_canvas(tmp_path, target, started):
    assert evolve(tmp_path / "out", "--target", target) == 130
    [(settings, generations, until)] = started
    assert (settings.fine, settings.fitness) == (True, Psnr(target, (256, 256)).identity)


def test_a_resumed_run_ends_as_one_that_never_stopped(tmp_path, target):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    same = ["--target", target, "--seed", 5]
    evolve(whole, *SMALL, *same, "--generations", 20)
    evolve(resumed, *SMALL, *same, "--generations", 11)
    assert evolve(resumed, "--resume", "--target", target, "--generations", 20) == 0
    assert contents(resumed) == contents(whole)


def test_nothing_is_overwritten_without_force(tmp_path, target, capsys):
    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 25)
    before = contents(out)
    again = [*SMALL, "--target", target, "--generations", 4, "--seed", 1]
    assert evolve(out, *again) == 2
    assert "exists: --resume goes on from there, --force replaces it" in capsys.readouterr().err
    assert contents(out) == before
    assert evolve(out, *again, "--force") == 0
    fresh = tmp_path / "fresh"
    evolve(fresh, *again)
    assert contents(out) == contents(fresh)


def test_force_replaces_an_animation_of_the_other_format(tmp_path, target):
    out = tmp_path / "out"
    for animation, gone in (("gif", "webp"), ("webp", "gif"), ("gif", "webp")):
        evolve(out, *SMALL, "--target", target, "--generations", 2, "--animation", animation, "--force")
        assert (out / f"evolution.{animation}").exists() and not (out / f"evolution.{gone}").exists()


@pytest.mark.parametrize("error", [OSError("no scheduler"), ImportError("No module named 'distributed'")])
def test_a_cluster_that_cannot_be_had_is_refused_and_nothing_is_removed(tmp_path, target, monkeypatch, capsys, error):
    def fail(address):
        raise error

    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 2)
    before = contents(out)
    monkeypatch.setattr("distributed.Client", fail)
    assert evolve(out, *SMALL, "--target", target, "--force", "--cluster", "tcp://nowhere:1") == 2
    assert str(error) in capsys.readouterr().err
    assert contents(out) == before


def test_force_removes_nothing_before_there_is_a_picture(tmp_path, target, monkeypatch):
    def interrupt(self, pictures):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 2)
    before = contents(out)
    monkeypatch.setattr(Psnr, "__call__", interrupt)
    assert evolve(out, *SMALL, "--target", target, "--force") == 130
    assert contents(out) == before


@pytest.mark.parametrize("callback", ["Snapshots", "Checkpoint"])
def test_force_removes_nothing_before_the_new_run_is_saved(tmp_path, target, monkeypatch, callback, capsys):
    def fail(self, evolution):
        raise OutputError("cannot be written: File too large")

    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 12)
    before = contents(out)
    module = "callbacks" if callback == "Snapshots" else "checkpoint"
    with monkeypatch.context() as patched:
        patched.setattr(f"nsfw_experiments.evolution.{module}.{callback}.__call__", fail)
        assert evolve(out, *SMALL, "--target", target, "--seed", 1, "--force") == 74
    after = contents(out)
    if callback == "Checkpoint":
        first = "000000.png"
        assert after.pop(first) != before.pop(first)
    assert after == before
    assert evolve(out, "--target", target, "--resume", "--generations", 13) == 0


def test_force_that_is_interrupted_at_its_first_picture_leaves_nothing_of_the_earlier_run(
    tmp_path, target, monkeypatch
):
    def interrupt(self, evolution):
        raise KeyboardInterrupt

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    evolve(out, *SMALL, "--target", target, "--generations", 12, "--animation", "webp")
    with monkeypatch.context() as patched:
        patched.setattr("nsfw_experiments.evolution.callbacks.Snapshots.__call__", interrupt)
        for folder in out, fresh:
            assert evolve(folder, *SMALL, "--target", target, "--seed", 1, "--force") == 130
    assert contents(out) == contents(fresh)
    assert evolve(out, "--target", target, "--resume", "--generations", 1) == 0


def test_a_lost_worker_process_is_told_and_the_best_so_far_saved(tmp_path, target, monkeypatch, capsys):
    def die(self, progress_bar):
        raise BrokenProcessPool("a child process terminated abruptly")

    out = tmp_path / "out"
    monkeypatch.setattr("nsfw_experiments.evolution.callbacks.ProgressBar.__call__", die)
    assert evolve(out, *SMALL, "--target", target) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == "open-nsfw evolve: a worker process died; --resume goes on from the last generation"
    assert Image.open(out / "best.png").size == (32, 24)
    monkeypatch.undo()
    monkeypatch.setattr(open_nsfw, "nsfw_score", lambda picture: 0.25)
    assert evolve(out, "--resume", "--target", target, "--generations", 3) == 0


def test_polygons_of_three_corners_are_triangles(tmp_path, target):
    same = [*SMALL, "--target", target, "--shapes", "polygons", "--corners", 3]
    assert evolve(tmp_path / "out", *same, "--generations", 2) == 0
    assert evolve(tmp_path / "out", *same, "--generations", 3, "--resume") == 0


@pytest.mark.parametrize("shapes", ["rectangles", "ellipses"])
def test_a_resumed_run_of_every_shape_ends_as_one_that_never_stopped(tmp_path, target, shapes):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    same = [*SMALL, "--target", target, "--shapes", shapes]
    evolve(whole, *same, "--generations", 12)
    evolve(resumed, *same, "--generations", 5)
    assert evolve(resumed, "--resume", "--target", target, "--generations", 12) == 0
    assert contents(resumed) == contents(whole)


@pytest.mark.parametrize("name", ["best.png", "best.svg", "evolution.gif", "evolution.webp", "generations/000010.png"])
def test_somebody_else_s_file_is_left_alone(tmp_path, target, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    assert evolve(tmp_path / "out", *SMALL, "--target", target, "--generations", 2) == 2
    assert contents(tmp_path / "out") == {path.name: b"precious"}


@pytest.mark.parametrize("name", ["best.png", "generations/000010.png"])
def test_the_target_is_not_among_what_is_replaced(tmp_path, name, capsys):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 32)).save(path)
    before = path.read_bytes()
    assert evolve(tmp_path, *SMALL, "--target", path, "--force") == 2
    assert f"{path}: is read, too; expected another file to be written" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_ctrl_c_saves_the_best_so_far(tmp_path, target, monkeypatch, capsys):
    measure, calls = Psnr._psnr, []

    def measure_until_interrupted(self, picture):
        calls.append(picture)
        if len(calls) == 300:  # some generations after the start
            raise KeyboardInterrupt
        return measure(self, picture)

    monkeypatch.setattr(Psnr, "_psnr", measure_until_interrupted)
    out = tmp_path / "out"
    assert evolve(out, *SMALL, "--target", target, "--generations", 500) == 130
    generation = json.loads((out / "checkpoint.json").read_text())["generation"]
    assert 0 < generation < 100
    assert capsys.readouterr().out.startswith(f"generation {generation}, ")
    monkeypatch.undo()
    monkeypatch.setattr(open_nsfw, "nsfw_score", lambda picture: 0.25)
    never_interrupted = tmp_path / "whole"
    evolve(never_interrupted, *SMALL, "--target", target, "--generations", generation)
    assert contents(out) == contents(never_interrupted)


def test_ctrl_c_before_the_first_picture_leaves_nothing(tmp_path, target, monkeypatch, capsys):
    def interrupt(self, pictures):
        raise KeyboardInterrupt

    monkeypatch.setattr(Psnr, "__call__", interrupt)
    assert evolve(tmp_path / "out", *SMALL, "--target", target) == 130
    assert "interrupted before there was a picture" in capsys.readouterr().err
    assert contents(tmp_path / "out") == {}


def test_it_stops_when_the_picture_is_good_enough(tmp_path, target):
    assert evolve(tmp_path / "out", *SMALL, "--target", target, "--until", 5, "--generations", 5000) == 0
    assert json.loads((tmp_path / "out" / "checkpoint.json").read_text())["generation"] < 5000


@pytest.mark.parametrize("text, size", [("1", [1, 1]), ("64", [64, 64]), ("1x2", [1, 2]), ("256x192", [256, 192])])
def test_a_canvas_has_a_width_and_a_height(text, size):
    assert canvas_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "x5", "5x", "5x0", "0", "5x5x5", "-1", "5X5"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected a whole number of at least 1"):
        canvas_size(text)


def test_what_was_reached_is_printed(tmp_path, target, capsys):
    assert evolve(tmp_path / "out", *SMALL, "--target", target, "--generations", 3) == 0
    state = json.loads((tmp_path / "out" / "checkpoint.json").read_text())
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"generation 3, {state['evaluations']} evaluations, \d+\.\d s", first)
    painted, wanted = (Image.open(path).convert("RGB") for path in (tmp_path / "out" / "best.png", target))
    error = np.subtract(painted, wanted.resize((32, 24), Image.BILINEAR), dtype=float)
    assert re.fullmatch(rf"PSNR to {target}: \d+\.\d\d dB", second)
    assert float(second.split()[-2]) == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)), abs=0.05)


def test_the_work_is_spread_over_a_cluster_that_is_left_afterwards(tmp_path, target, monkeypatch):
    steps = []

    class Client:
        def __init__(self, address):
            steps.append(address)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            steps.append("left")

    def cluster_map(client, function, *iterables):
        steps.append(type(client))
        return map(function, *iterables)

    monkeypatch.setattr("distributed.Client", Client)
    monkeypatch.setattr("nsfw_experiments.evolution.parallel.cluster_map", cluster_map)
    same = [*SMALL, "--target", target, "--generations", 2]
    assert evolve(tmp_path / "cluster", *same, "--cluster", "tcp://here:8786") == 0
    assert steps[0] == "tcp://here:8786" and steps[-1] == "left" and set(steps[1:-1]) == {Client}
    assert evolve(tmp_path / "here", *same) == 0
    assert contents(tmp_path / "cluster") == contents(tmp_path / "here")


def test_a_worker_that_is_lost_before_there_is_a_picture_leaves_nothing(tmp_path, target, monkeypatch, capsys):
    def die(self, pictures):
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(Psnr, "__call__", die)
    assert evolve(tmp_path / "out", *SMALL, "--target", target) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "open-nsfw evolve: a worker process died; there is nothing to --resume yet",
        "interrupted before there was a picture",
    ]
    assert contents(tmp_path / "out") == {}


def test_an_animation_may_be_webp(tmp_path, target):
    evolve(tmp_path / "out", *SMALL, "--target", target, "--generations", 30, "--animation", "webp")
    animation = Image.open(tmp_path / "out" / "evolution.webp")
    assert animation.format == "WEBP" and animation.is_animated


def test_processes_paint_the_same_picture(tmp_path, target):
    same = [*SMALL, "--target", target, "--generations", 3]
    evolve(tmp_path / "serial", *same)
    evolve(tmp_path / "processes", *same, "--processes", 2)
    assert contents(tmp_path / "processes") == contents(tmp_path / "serial")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--count", "0"], "expected a whole number of at least 1, got '0'"),
        (["--count", "many"], "expected a whole number of at least 1, got 'many'"),
        (["--size", "0x5"], "expected a whole number of at least 1, got '0'"),
        (["--size", "5x"], "expected a whole number of at least 1, got ''"),
        (["--generations", "-1"], "expected a whole number of at least 1, got '-1'"),
        (["--population", "0"], "expected a whole number of at least 1, got '0'"),
        (["--until", "nan"], "expected a number, got 'nan'"),
        (["--until", "soon"], "expected a number, got 'soon'"),
        (["--shapes", "squares"], "invalid choice: 'squares'"),
        (["--resume", "--force"], "not allowed with"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_code:
        evolve(tmp_path / "out", *arguments)
    assert exit_code.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--target", "{folder}/none.png"], "none.png: no such file"),
        (["--target", "{folder}/text.png"], "text.png: not a picture of a supported format"),
        (["--shapes", "circles", "--corners", "5"], "corners: got 5, expected none for circles"),
        (["--shapes", "polygons", "--corners", "2"], "corners: got 2, expected a whole number of at least 3"),
        (["--resume"], "checkpoint.json: cannot be read as a checkpoint"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(tmp_path, capsys, arguments, message):
    (tmp_path / "text.png").write_text("not a picture")
    assert evolve(tmp_path / "out", *(argument.format(folder=tmp_path) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--shapes", "triangles"], "--shapes: got triangles, the saved run has circles"),
        (["--count", "6"], "--count: got 6, the saved run has 5"),
        (["--size", "33x24"], "--size: got [33, 24], the saved run has [32, 24]"),
        (["--strategy", "original"], "--strategy: got original, the saved run has least-squares"),
        (["--seed", "1"], "--seed: got 1, the saved run has 0"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, target, capsys, arguments, message):
    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 2)
    before = contents(out)
    assert evolve(out, "--resume", "--target", target, *arguments) == 2
    assert message in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda state: {**state, "version": 99}, "version: got 99, expected 1"),
        (lambda state: {**state, "about": {"size": [32, 24]}}, "the saved one None"),
        (lambda state: {**state, "about": {**state["about"], "size": 5}}, "is damaged"),
        (lambda state: {**state, "population": None}, "checkpoint.json"),
        (lambda state: {name: state[name] for name in state if name != "about"}, "checkpoint.json: is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, target, capsys, damage, message):
    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 2)
    checkpoint = out / "checkpoint.json"
    checkpoint.write_text(json.dumps(damage(json.loads(checkpoint.read_text()))))
    before = contents(out)
    assert evolve(out, "--resume", "--target", target) == 2
    assert message in capsys.readouterr().err
    assert contents(out) == before


def test_a_run_for_one_picture_does_not_go_on_for_another(tmp_path, target, capsys):
    out = tmp_path / "out"
    evolve(out, *SMALL, "--target", target, "--generations", 2)
    other = tmp_path / "other.png"
    Image.new("RGB", (60, 40), "blue").save(other)
    messages = {("--target", other): "fitness: this run has", (): "--target: got none, expected the picture that"}
    for arguments, message in messages.items():
        assert evolve(out, "--resume", *arguments) == 2
        assert message in capsys.readouterr().err


def test_the_score_that_is_printed_is_that_of_the_saved_picture(tmp_path, capsys):
    out = tmp_path / "out"
    assert evolve(out, "--count", 8, "--population", 2, "--generations", 2) == 0
    printed = float(capsys.readouterr().out.splitlines()[-1].split()[0])
    assert printed == pytest.approx(open_nsfw.nsfw_score(out / "best.png"), abs=1e-6)
    state = json.loads((out / "checkpoint.json").read_text())
    [logit] = state["hall_of_fame"][0]["fitness"]
    assert printed == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
