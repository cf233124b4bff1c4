"""``open-nsfw explain``: a picture for a picture, an animation for an animation; a bad one does not stop the others."""

import os

import numpy as np
import pytest
from PIL import Image

from nsfw_command.explain import METHODS
from nsfw_command.main import main
from nsfw_experiments import explanation
from open_nsfw import nsfw_score

COFFEE, ROCKET = "img/coffee.jpg", "img/rocket.jpg"


def run(*arguments):
    return main(["explain", *map(str, arguments)])


@pytest.fixture
def animation(tmp_path):
    """Three frames of different lengths, of which the second has the highest score."""
    frames = [Image.open(path).convert("RGB").resize((90, 60)) for path in (ROCKET, "img/evolved_circles.png", COFFEE)]
    path = tmp_path / "animation.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 250, 400], lossless=True)
    return path


def test_the_command_knows_the_methods_without_importing_them():
    assert list(explanation.METHODS) == list(METHODS)


def test_a_picture_becomes_a_file_with_the_picture_and_its_overlay(tmp_path, capsys):
    out = tmp_path / "why.png"
    assert run(ROCKET, "--out", out) == 0
    assert capsys.readouterr().out == f"{nsfw_score(ROCKET):.6f}  {out}\n"
    written, expected = Image.open(out), explanation.explain(ROCKET).side_by_side()
    np.testing.assert_array_equal(written, expected)


def test_the_method_and_its_layer_are_what_was_asked_for(tmp_path):
    out, layer = tmp_path / "why.png", "relu_stage2_block5"
    assert run(ROCKET, "--out", out, "--method", "grad-cam", "--layer", layer) == 0
    expected = explanation.explain(ROCKET, "grad-cam", layer=layer).side_by_side()
    np.testing.assert_array_equal(Image.open(out), expected)


def test_several_pictures_go_to_a_folder_and_a_bad_one_is_a_line(tmp_path, capsys):
    assert run(ROCKET, "none.jpg", COFFEE, "--out", tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coffee.png", "rocket.png"]
    printed = capsys.readouterr()
    assert printed.err == "open-nsfw explain: none.jpg: no such file\n" and printed.out.count("\n") == 2


@pytest.mark.parametrize("name", ["out.gif", "out.webp"])
def test_an_animation_becomes_one_with_the_same_times(name, animation, tmp_path, capsys):
    assert run(animation, "--out", tmp_path / name) == 0
    scores = [explanation.explain(frame).score for frame in frames_of(animation)]
    assert capsys.readouterr().out == f"{max(scores):.6f}  {tmp_path / name}\n"
    frames, durations = frames_of(tmp_path / name), durations_of(tmp_path / name)
    assert len(frames) == 3 and frames[0].width > 320
    # How long its last frame stays is not told by the times at which frames begin
    assert durations[:2] == [100, 250]


def test_an_animation_goes_on_for_ever_and_its_last_frame_stays_as_the_one_before(animation, tmp_path):
    assert run(animation, "--out", tmp_path / "out.gif") == 0
    assert durations_of(tmp_path / "out.gif") == [100, 250, 250]
    assert Image.open(tmp_path / "out.gif").info["loop"] == 0


def test_all_frames_have_the_colours_of_the_strongest(animation, tmp_path):
    assert run(animation, "--out", tmp_path / "out.webp") == 0
    found = [explanation.explain(frame) for frame in frames_of(animation)]
    limit = max(each.limit for each in found)
    for written, each in zip(frames_of(tmp_path / "out.webp"), found):
        difference = np.subtract(written, each.side_by_side(limit), dtype=float)
        assert np.abs(difference).mean() < 6, "as lossy as WebP"


def frames_of(path):
    with Image.open(path) as opened:
        found = []
        for number in range(opened.n_frames):
            opened.seek(number)
            found.append(opened.convert("RGB"))
        return found


def durations_of(path):
    with Image.open(path) as opened:
        found = []
        for number in range(opened.n_frames):
            opened.seek(number)
            opened.load()
            found.append(opened.info["duration"])
        return found


def test_in_a_folder_an_animation_is_a_gif_and_as_a_still_it_is_its_first_frame(animation, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert run(animation, "--out", folder) == 0
    assert len(frames_of(folder / "animation.gif")) == 3
    assert run(animation, "--out", tmp_path / "still.png") == 0
    first = explanation.explain(animation).side_by_side()
    np.testing.assert_array_equal(Image.open(tmp_path / "still.png").convert("RGB"), first)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([ROCKET, "--out", "why.bmp"], "why.bmp: expected a folder, or a name ending in .png"),
        ([ROCKET, "--out", "nowhere/why.png"], "there is no folder nowhere"),
        ([ROCKET, COFFEE, "--out", "why.png"], "why.png: there is no such folder; several pictures need one"),
        ([ROCKET, "other/rocket.png", "--out", "."], "several pictures named rocket"),
        (
            [ROCKET, "--out", "out.png", "--layer", "conv_1"],
            "got parameter 'layer', expected none; it is one of grad-cam",
        ),
        ([ROCKET, "--out", "out.png", "--method", "grad-cam", "--layer", "conv1"], "grad-cam: layer: got 'conv1'"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(arguments, message, capsys):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_unknown_method_is_refused_with_those_that_there_are(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run(ROCKET, "--out", tmp_path / "why.png", "--method", "saliency")
    assert ended.value.code == 2 and "occlusion" in capsys.readouterr().err


def test_a_file_in_the_way_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "rocket.png").write_bytes(b"precious")
    assert run(ROCKET, "none.jpg", COFFEE, "--out", tmp_path) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"open-nsfw explain: {tmp_path}/rocket.png: exists; --force overwrites it",
        "open-nsfw explain: none.jpg: no such file",
    ]
    assert (tmp_path / "rocket.png").read_bytes() == b"precious" and (tmp_path / "coffee.png").exists()


@pytest.mark.parametrize("out", [".", "a.png", "./link.png"])
def test_the_picture_itself_is_never_overwritten(out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save("a.png")
    os.link("a.png", "link.png")
    before = (tmp_path / "a.png").read_bytes()
    assert run("a.png", "--out", out, "--force") == 2
    assert "is read, too; expected another file" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("name", ["why.png", ""])
def test_an_existing_file_is_kept_without_force(name, tmp_path, capsys):
    path = tmp_path / (name or "rocket.png")
    path.write_bytes(b"precious")
    assert run(ROCKET, "--out", tmp_path / name) == 2
    assert "--force" in capsys.readouterr().err and path.read_bytes() == b"precious"
    assert run(ROCKET, "--out", tmp_path / name, "--force") == 0
    assert Image.open(path).format == "PNG"


@pytest.mark.parametrize(
    ("out", "problem"), [("a.png", "is read, too"), ("there.png", "exists; --force overwrites it")]
)
def test_what_cannot_be_written_is_said_before_anything_is_computed(out, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "a.png", "there.png":
        Image.new("RGB", (64, 64), "red").save(name)
    monkeypatch.setattr("nsfw_experiments.explanation.explain", None)
    assert run("a.png", "--out", out) == 2
    assert problem in capsys.readouterr().err
