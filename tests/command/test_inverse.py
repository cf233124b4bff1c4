"""``open-nsfw inverse``: checks first, then searches, writes, and scores what was written."""

import errno
import inspect
import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nsfw_command.inverse import NOT_REACHED
from nsfw_command.main import main, make_parser
from nsfw_experiments.inverse import inverse
from open_nsfw import nsfw_score

CHELSEA = "img/chelsea.png"


def run(*arguments):
    return main(["inverse", *map(str, arguments)])


def test_it_writes_a_picture_with_the_score_asked_for(tmp_path, capsys):
    out = tmp_path / "result.png"
    # So few iterations hit a wide tolerance on any processor; a tight one depends on how it rounds.
    assert run(CHELSEA, "--target", 0.9, "--tolerance", 0.05, "--out", out, "--iterations", 16) == 0
    score = nsfw_score(out)
    assert abs(score - 0.9) <= 0.05 < abs(nsfw_score(CHELSEA) - 0.9)
    printed = capsys.readouterr().out
    assert "PSNR" in printed and f"scored again: {score:.6f}" in printed


def test_a_target_that_is_not_reached_has_its_own_exit_code(tmp_path, capsys):
    out = tmp_path / "result.png"
    assert run(CHELSEA, "--target", "nsfw", "--out", out, "--iterations", 2) == NOT_REACHED == 3
    assert out.exists() and "NOT reached" in capsys.readouterr().out


@pytest.fixture
def no_search(monkeypatch):
    """Anything that is computed before all checks are through fails the test."""

    def inverse(*args, **kwargs):
        pytest.fail("the search was started")

    monkeypatch.setattr("nsfw_experiments.inverse.inverse", inverse)


@pytest.mark.parametrize(
    "name, problem",
    [
        ("result.jpg", "saving as JPEG would undo the change"),
        ("result.webp", "expected a name ending in .png"),
        ("result", "expected a name ending in .png"),
        ("nowhere/result.png", "there is no folder"),
    ],
)
def test_output_paths_that_will_not_do_are_refused(no_search, tmp_path, capsys, name, problem):
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / name) == 2
    assert problem in capsys.readouterr().err


def test_an_existing_output_is_kept_without_force(no_search, tmp_path, capsys):
    out = tmp_path / "result.png"
    out.write_bytes(b"precious")
    assert run(CHELSEA, "--target", 0.9, "--out", out) == 2
    assert "--force" in capsys.readouterr().err and out.read_bytes() == b"precious"


def test_the_picture_itself_is_never_overwritten(no_search, tmp_path, capsys):
    picture, link = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (64, 64)).save(picture)
    link.symlink_to(picture)
    for out in picture, link:
        assert run(picture, "--target", 0.9, "--out", out, "--force") == 2
        assert f"{out}: is read, too; expected another file to be written" in capsys.readouterr().err


def test_what_another_process_has_written_meanwhile_stays_without_force(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.png"

    def inverse(source, *args, **kwargs):
        out.write_bytes(b"precious")
        return Image.open(source), SimpleNamespace(psnr=40.0, reached=True)

    monkeypatch.setattr("nsfw_experiments.inverse.inverse", inverse)
    assert run(CHELSEA, "--target", 0.9, "--out", out) == 74
    assert "result.png: cannot be written: File exists" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "option, value",
    [
        ("--target", "1.5"),
        ("--target", "nan"),
        ("--target", "unsafe"),
        ("--tolerance", "0"),
        ("--tolerance", "nan"),
        ("--iterations", "0"),
        ("--against", "jpeg,grain"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(no_search, tmp_path, capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        run(CHELSEA, "--target", 0.9, "--out", tmp_path / "result.png", option, value)
    assert ended.value.code == 2
    assert f"got '{value}'" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_or_is_too_small_is_told(no_search, tmp_path, capsys):
    out = tmp_path / "result.png"
    assert run(tmp_path / "nothing.png", "--target", 0.9, "--out", out) == 1
    assert "no such file" in capsys.readouterr().err
    small = tmp_path / "small.png"
    Image.new("RGB", (20, 20)).save(small)
    assert run(small, "--target", 0.9, "--out", out, "--full-resolution") == 1
    assert "expected sides of at least 64" in capsys.readouterr().err
    assert not out.exists()


def test_a_negative_seed_is_refused(no_search, tmp_path, capsys):
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "result.png", "--robust", "--seed", -1) == 2
    assert "seed: got -1, expected a whole number of at least 0" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_before_the_search(no_search, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "result.png") == 2
    assert f"{tmp_path} cannot be written to" in capsys.readouterr().err


def test_a_missing_model_file_is_not_blamed_on_the_output(monkeypatch, tmp_path, capsys):
    def inverse(*args, **kwargs):
        raise FileNotFoundError("nsfw.pkl: no such file")

    monkeypatch.setattr("nsfw_experiments.inverse.inverse", inverse)
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "result.png") == 2
    assert capsys.readouterr().err.endswith("error: nsfw.pkl: no such file\n")


def result(linf=3, interrupted=False, reached=False):
    """What a search gives: a picture, and as much of a record as the command looks at."""
    record = SimpleNamespace(linf=linf, interrupted=interrupted, reached=reached, robustness_grid=None, wild=None)
    return Image.new("RGB", (9, 9)), record


def test_a_failed_write_is_told_by_its_own_exit_code_and_leaves_the_old_file(monkeypatch, tmp_path, capsys):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "result.png"
    out.write_bytes(b"old")
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: result())
    monkeypatch.setattr(os, "fsync", fail)
    assert run(CHELSEA, "--target", 0.9, "--out", out, "--force") == 74
    message = f"open-nsfw: error: {out}: cannot be written: No space left on device\n"
    assert capsys.readouterr().err.endswith(message)
    assert out.read_bytes() == b"old" and os.listdir(tmp_path) == ["result.png"]


@pytest.mark.parametrize("linf", [3, 0])
def test_an_interrupted_search_does_not_replace_a_picture_by_a_worse_one(linf, monkeypatch, tmp_path, capsys):
    out = tmp_path / "result.png"
    out.write_bytes(b"old")
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: result(linf, interrupted=True))
    assert run(CHELSEA, "--target", 0.9, "--out", out, "--force") == 130
    assert out.read_bytes() == b"old"
    out.unlink()
    assert run(CHELSEA, "--target", 0.9, "--out", out) == 130
    assert out.exists() == (linf > 0), "an unchanged picture is no result"


def test_a_picture_that_nothing_brought_closer_is_not_written(monkeypatch, tmp_path, capsys):
    out = tmp_path / "result.png"
    out.write_bytes(b"old")
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: result(linf=0))
    assert run(CHELSEA, "--target", 0.9, "--out", out, "--force") == 3
    assert out.read_bytes() == b"old"
    assert "no change that was tried came closer to the target" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, robust",
    [([], False), (["--robust"], True), (["--against", "crop,jpeg"], ("jpeg", "crop")), (["--robust", CHELSEA], True)],
)
def test_robust_is_against_all_or_the_families_named(options, robust, monkeypatch, tmp_path):
    def inverse(picture, target, **arguments):
        asked.append(arguments["robust"])
        return result()

    asked = []
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", inverse)
    pictures = [] if CHELSEA in options else [CHELSEA]
    run(*pictures, *options, "--target", 0.9, "--out", tmp_path / ("result.jpg" if robust else "result.png"))
    assert asked == [robust]


def test_force_and_robust_allow_what_is_refused_otherwise(monkeypatch, tmp_path):
    called = {}

    def inverse(picture, target, **options):
        called.update(options, target=target)
        from nsfw_experiments.inverse import read_pixels
        from nsfw_experiments.inverse.record import Record

        pixels = read_pixels(picture, False)
        record = Record(
            target=target,
            tolerance=0.01,
            start_score=0.0,
            final_score=nsfw_score(pixels),
            iterations=1,
            evaluations=1,
            first_reached=None,
            l2=0.0,
            linf=0,
            psnr=np.inf,
            ssim=1.0,
            mean_shift=0.0,
            robustness_grid=None,
            history=[],
        )
        return Image.fromarray(pixels), record

    monkeypatch.setattr("nsfw_experiments.inverse.inverse", inverse)
    out = tmp_path / "result.jpg"
    out.write_bytes(b"old")
    assert run(CHELSEA, "--target", "sfw", "--out", out, "--robust", "--force", "--seed", 7) == 0
    assert called["robust"] and called["seed"] == 7 and called["target"] == 0.0
    written = Image.open(out)
    assert written.size == (256, 256)
    # Quality 95 is a tenth, rounded, of T.81's first row: 16 11 10 16 24 40 51 61
    assert written.quantization[0][:8] == [2, 1, 1, 2, 2, 4, 5, 6]


@pytest.mark.parametrize(
    "reached, meets, interrupted, code",
    [
        (True, True, False, 0),
        (True, False, False, 3),
        (False, True, False, 3),
        (False, False, True, 130),
        (True, True, True, 0),
        (True, False, True, 130),
    ],
)
def test_the_exit_code_tells_of_the_picture_that_was_written(reached, meets, interrupted, code, monkeypatch, tmp_path):
    """Its score may be another than that of the search's, as behind a JPEG."""
    picture, record = result(linf=3, reached=reached, interrupted=interrupted)
    asked = []
    record.meets = lambda score: asked.append(score) or meets
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: (picture, record))
    monkeypatch.setattr("open_nsfw.nsfw_score", lambda path: 0.625)
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "a.png") == code
    assert asked == [0.625] * reached


def test_what_a_robust_picture_survives_is_printed(monkeypatch, tmp_path, capsys):
    picture, record = result(reached=True)
    record.meets, record.robustness_grid, record.wild = lambda score: True, ["grid"], ["wild"]
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: (picture, record))
    monkeypatch.setattr("nsfw_experiments.inverse.eot.robustness_table", lambda grid: f"a table of {grid}")
    monkeypatch.setattr("nsfw_experiments.inverse.wild.wild_table", lambda wild: f"another of {wild}")
    monkeypatch.setattr("open_nsfw.nsfw_score", lambda path: 0.625)
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "a.png") == 0
    *_, first, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("a table of ['grid']", "another of ['wild']")
    assert last == f"written     {tmp_path / 'a.png'}, scored again: 0.625000"


def test_how_to_search_is_passed_on(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(
        "nsfw_experiments.inverse.inverse", lambda *args, **kwargs: called.append((args, kwargs)) or result()
    )
    monkeypatch.setattr("open_nsfw.nsfw_score", lambda path: 0.625)
    given = ["--iterations", 7, "--tolerance", 0.25, "--full-resolution", "--seed", 5]
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "a.png", *given) == 3
    [(arguments, options)] = called
    assert arguments == (CHELSEA, 0.9) and callable(options.pop("callback"))
    assert options == dict(iterations=7, tolerance=0.25, full_resolution=True, robust=False, seed=5)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.tiff", "a.ppm", "A.PNG"])
def test_every_format_that_keeps_pixels_keeps_them(name, monkeypatch, tmp_path):
    monkeypatch.setattr("nsfw_experiments.inverse.inverse", lambda *args, **kwargs: result())
    monkeypatch.setattr("open_nsfw.nsfw_score", lambda path: 0.625)
    out = tmp_path / name
    assert run("img/camera.png", "--target", 0.9, "--out", out) == 3
    np.testing.assert_array_equal(Image.open(out), result()[0])


def test_a_folder_is_no_file(no_search, tmp_path, capsys):
    (tmp_path / "a.png").mkdir()
    assert run(CHELSEA, "--target", 0.9, "--out", tmp_path / "a.png", "--force") == 2
    assert capsys.readouterr().err == f"open-nsfw inverse: {tmp_path / 'a.png'}: is a folder\n"


def test_options_that_are_not_given_are_those_of_the_function():
    given = make_parser().parse_args(["inverse", str(CHELSEA), "--target", "0.9", "--out", "out.png"])
    expected = {name: parameter.default for name, parameter in inspect.signature(inverse).parameters.items()}
    for name in "robust", "full_resolution", "iterations", "tolerance", "seed":
        assert getattr(given, name) == expected[name], name
