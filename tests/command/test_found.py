"""Every file of a folder is found, in one order, and none is read or waited for."""

import io
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nsfw_command.found import Found, find_files, read_names

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and names of POSIX")


def made(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(folder):
    return [os.path.relpath(found.file, folder) for found in find_files([str(folder)])]


def test_every_file_is_found_hidden_ones_too(tmp_path):
    made(tmp_path, "b.png", "notes.txt", ".hidden", "no_extension", ".folder/a")
    assert names(tmp_path) == [".folder/a", ".hidden", "b.png", "no_extension", "notes.txt"]


def test_the_order_is_that_of_the_parts_of_paths(tmp_path):
    made(tmp_path, "a/z", "a b/y", "a.jpg", "B", "a/b/c")
    assert names(tmp_path) == ["B", "a/b/c", "a/z", "a b/y", "a.jpg"]


def test_names_stay_as_they_were_given(tmp_path, monkeypatch):
    made(tmp_path, "a/b")
    monkeypatch.chdir(tmp_path)
    assert [found.file for found in find_files(["./a", "a/", "a/../a/b", "gone"])] == [
        "./a/b",
        "a/b",
        "a/../a/b",
        "gone",
    ]


def test_only_what_was_given_is_named(tmp_path):
    made(tmp_path, "a", "folder/b")
    found = find_files([str(tmp_path / "a"), str(tmp_path / "folder")])
    assert [it.named for it in found] == [True, False]


def test_a_file_has_its_size_and_time_and_what_is_gone_has_none(tmp_path):
    made(tmp_path, "a")
    os.utime(tmp_path / "a", ns=(5, 1_234_567_890_123_456_789))
    a, gone = find_files([str(tmp_path / "a"), str(tmp_path / "gone")])
    assert (a.size, a.modified_ns) == (1, 1_234_567_890_123_456_789)
    assert (gone.size, gone.modified_ns) == (None, None)


@pytest.mark.parametrize("lay", [lambda: made(Path(), "-"), lambda: made(Path(), "-/a")])
def test_standard_input_is_no_file_or_folder_of_its_name(lay, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay()
    assert list(find_files(["-"])) == [Found("-", True)]
    assert [found.file[:3] for found in find_files(["./-", "."])] == ["./-", "./-"]


def test_a_folder_that_holds_nothing_stands_for_itself(tmp_path):
    assert [found.file for found in find_files([str(tmp_path)])] == [str(tmp_path)]


@posix
def test_links_to_folders_pipes_and_devices_are_passed_over(tmp_path):
    made(tmp_path, "folder/a")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "to_a").symlink_to(tmp_path / "folder/a")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == ["folder/a", "gone", "to_a"]


@posix
def test_folders_may_lie_deeper_than_python_calls_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = ["/".join(["a"] * depth) for depth in range(1, 1501)]
    for folder in folders:
        os.mkdir(folder)
    deep = f"{folders[-1]}/b"
    with open(deep, "w"):
        pass
    assert [found.file for found in find_files(["a"])] == [deep]
    os.unlink(deep)
    os.removedirs(folders[-1])  # or pytest would call itself as often


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\n\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        (b"caf\xe9.jpg\n", [os.fsdecode(b"caf\xe9.jpg")]),
        (b"", []),
    ],
)
def test_a_list_has_a_file_per_line_or_between_zero_bytes(content, expected, tmp_path, monkeypatch):
    (tmp_path / "list").write_bytes(content)
    assert read_names(str(tmp_path / "list")) == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert read_names("-") == expected


def test_a_list_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="^none.txt: the list of files cannot be read: No such file"):
        read_names("none.txt")


@pytest.mark.slow
def test_a_hundred_thousand_files_are_listed_within_three_seconds(tmp_path):
    for folder in range(100):
        made(tmp_path, *(f"{folder}/{number}.jpg" for number in range(1000)))
    began = time.perf_counter()
    assert sum(1 for _ in find_files([str(tmp_path)])) == 100_000
    assert time.perf_counter() - began < 3
