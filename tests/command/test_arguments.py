"""Types of arguments: the last values that are taken, and the first that are not."""

import argparse
import math
import os
import threading
from pathlib import Path

import pytest

from nsfw_command import arguments
from nsfw_command.arguments import also_read, checked, file_path, nonempty, number, port, positive, probability, seconds

MOST = 2**31 - 1
WHOLE = "expected a whole number of at least 1"


def refused(read, text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "read, most",
    [(positive, MOST), (arguments.threads, 4096), (arguments.processes, 1024), (port, 65535)],
)
def test_whole_numbers_are_taken_from_1_to_the_largest(read, most):
    assert [read(text) for text in ("1", "2", str(most - 1), str(most))] == [1, 2, most - 1, most]
    assert refused(read, str(most + 1)) == f"{WHOLE} and at most {most}, got '{most + 1}'"
    for text in "0", "-1", "1.0", "x", "":
        assert refused(read, text) == f"{WHOLE}, got {text!r}"


def test_the_largest_may_be_another():
    assert positive("5", most=5) == 5
    assert refused(lambda text: positive(text, 5), "6") == f"{WHOLE} and at most 5, got '6'"


@pytest.mark.parametrize("text", ["0", "1", "0.5", "-0.0", "1e-300"])
def test_probabilities_are_from_0_to_1(text):
    assert probability(text) == float(text)


@pytest.mark.parametrize("text", ["-1e-9", "1.0000001", "inf", "-inf", "2", "-1"])
def test_what_is_beyond_is_none(text):
    assert refused(probability, text) == f"expected a number from 0 to 1, got {text!r}"


@pytest.mark.parametrize("read", [number, probability, seconds])
@pytest.mark.parametrize("text", ["nan", "x", "", "1,5"])
def test_what_is_no_number_is_refused(read, text):
    assert refused(read, text) == f"expected a number, got {text!r}"


def test_numbers_may_be_infinite_and_below_0():
    assert [number(text) for text in ("inf", "-inf", "-3", "0")] == [math.inf, -math.inf, -3, 0]


def test_seconds_are_above_0_and_no_limit_where_no_clock_counts_so_far():
    longest = threading.TIMEOUT_MAX
    assert [seconds(text) for text in ("1e-9", "60", str(longest))] == [1e-9, 60, longest]
    assert [seconds(text) for text in ("inf", "1e300", str(math.nextafter(longest, math.inf)))] == [None] * 3
    for text in "0", "-0.0", "-1", "-inf":
        assert refused(seconds, text) == f"expected a number above 0, or inf, got {text!r}"


@pytest.mark.parametrize("read", [positive, number, probability, seconds])
def test_a_long_text_is_not_repeated(read):
    assert len(refused(read, "x" * 5000)) < 200


def test_names_have_a_character_at_least():
    assert nonempty(" ") == " " and file_path("a/b") == Path("a/b")
    assert refused(nonempty, "") == refused(file_path, "") == "expected a name, got ''"


def test_a_check_keeps_its_message_and_other_errors_are_no_arguments():
    def check(text):
        if text == "other":
            raise ZeroDivisionError
        raise ValueError(f"{text}: is none")

    assert refused(checked(check), "a") == "a: is none"
    with pytest.raises(ZeroDivisionError):
        checked(check)("other")


class TestFilesThatAreReadToo:
    def test_files_are_the_same_by_any_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("a").touch()
        Path("link").symlink_to("a")
        os.link("a", "hard")
        for name in "a", "./a", tmp_path / "a", "link", "hard":
            assert (
                also_read(["b", name], [None, "c", "a"]) == f"{name}: is read, too; expected another file to be written"
            )
        assert also_read(["b"], ["a"]) is None and also_read([], ["a"]) is None and also_read(["a"], []) is None

    def test_files_that_are_not_there_yet_are_told_by_their_places(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("link").symlink_to("none")
        for name in "./none", tmp_path / "none", "link":
            assert also_read([name], ["none"]) is not None
        assert also_read(["none"], ["other"]) is None

    def test_a_name_that_no_file_has_is_the_same_as_itself_only(self):
        assert also_read(["a\0b"], ["a\0b"]) is not None
        assert also_read(["a\0b"], ["a\0c", "a"]) is None


class TestFilesThatCannotBeWritten:
    def test_a_folder_has_to_be_there(self, tmp_path):
        (tmp_path / "file").touch()
        for folder in tmp_path / "none", tmp_path / "file":
            assert arguments.unwritable(folder / "a.png", True) == f"{folder}/a.png: there is no folder {folder}"

    def test_what_is_there_is_overwritten_only_if_told(self, tmp_path):
        path = tmp_path / "a.png"
        assert arguments.unwritable(path, False) is None
        path.touch()
        assert arguments.unwritable(path, False) == f"{path}: exists; --force overwrites it"
        assert arguments.unwritable(path, True) is None

    def test_what_may_not_be_written_is_told_before_anything_is_computed(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))  # nothing binds root
        path = tmp_path / "a.png"
        assert arguments.unwritable(path, True) == f"{path}: {tmp_path} cannot be written to"
        path.touch()
        assert arguments.unwritable(path, True) == f"{path}: {path} cannot be written to"
        assert asked == [(tmp_path, os.W_OK), (path, os.W_OK)]
