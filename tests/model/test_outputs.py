"""Files are whole or not there, wherever their writing is cut short."""

import contextlib
import errno
import os
import re
import stat
import textwrap

import pytest
from fresh_python import fresh_python
from PIL import Image

from nsfw_model import outputs
from nsfw_model.outputs import OutputError, replacing, save_picture, sole_writer, write_text

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    path = tmp_path / "out"
    write_text(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_what_was_there(error, tmp_path):
    path = tmp_path / "out"
    write_text(path, "old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["out"]


@posix
def test_permissions_and_links_stay(tmp_path):
    path, link = tmp_path / "out", tmp_path / "link"
    write_text(path, "old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_text(link, "new")
    assert link.is_symlink() and path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "fresh", "")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


@posix
@pytest.mark.parametrize("through", ["its name", "a link", "a descriptor"])
def test_a_pipe_is_written_to_as_it_is(through, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link").symlink_to(pipe)
    unnamed_reader, unnamed_writer = os.pipe()
    try:
        write_text({"its name": pipe, "a link": tmp_path / "link"}.get(through, f"/dev/fd/{unnamed_writer}"), "all")
        assert os.read(unnamed_reader if through == "a descriptor" else reader, 100) == b"all"
    finally:
        for descriptor in reader, unnamed_reader, unnamed_writer:
            os.close(descriptor)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=f"^{tmp_path}/none/out: cannot be written: No such file or directory$"):
        write_text(tmp_path / "none" / "out", "")
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        write_text(tmp_path, "")
    with pytest.raises(ValueError, match="extension of no picture format"):
        save_picture(Image.new("RGB", (1, 1)), tmp_path / "out.xyz")


# Each writes a file, whose name is its argument, anew
WRITERS = {
    "weights": """
        import numpy as np
        from nsfw_model.weights import save_weights
        save_weights(path, [("fc", [np.ones((50, 50), "float32")])])
    """,
    "picture": """
        from PIL import Image
        from nsfw_model.outputs import save_picture
        save_picture(Image.effect_noise((90, 90), 9), path)
    """,
    "picture without compression": """
        from PIL import Image
        from nsfw_model.outputs import save_picture
        save_picture(Image.effect_noise((90, 90), 9), path)
    """,
    "animation": """
        from PIL import Image
        from nsfw_experiments.evolution.callbacks import save_animation
        save_animation([Image.effect_noise((90, 90), 9).convert("RGB") for _ in range(3)], path)
    """,
    "text": """
        from nsfw_model.outputs import write_text
        write_text(path, "x" * 10000)
    """,
}
EXTENSIONS = {"picture": ".png", "picture without compression": ".bmp", "animation": ".gif"}


def run(kind, path, script):
    """Run a script in a process of its own, where write() writes the file `path` anew."""
    write = textwrap.indent(textwrap.dedent(WRITERS[kind]), "    ")
    return fresh_python(f"path = {str(path)!r}\ndef write():\n{write}\n{textwrap.dedent(script)}").stdout


@posix
@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_error_that_leaves_the_old_file(kind, tmp_path):
    """A limit on the size of files stands for the disk: the same writes fail."""
    path = tmp_path / f"out{EXTENSIONS.get(kind, '')}"
    script = """
        import resource
        write()
        whole = open(path, "rb").read()
        from nsfw_model.outputs import OutputError
        for limit in 0, 1, 1000, len(whole) // 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write()
            except OutputError as error:
                assert str(error).startswith(path + ": cannot be written: "), error
            else:
                raise AssertionError(limit)
            assert open(path, "rb").read() == whole
    """
    run(kind, path, script)
    assert os.listdir(tmp_path) == [path.name]


@posix
@pytest.mark.parametrize("kind", WRITERS)
def test_a_process_that_is_killed_at_any_step_leaves_the_old_file_or_the_new_one(kind, tmp_path):
    """Steps are what Python tells of (audit events) from one opening of a file to the next, and each fsync."""
    path = tmp_path / f"out{EXTENSIONS.get(kind, '')}"
    script = """
        import os, sys
        write()
        old = b"old" * 1000
        steps, last = 0, None
        def at_each_step(event, arguments):
            global steps
            if last is not None and event.split(".")[0] in ("open", "os", "shutil"):
                steps += 1
                if steps == last:
                    os._exit(77)
        sys.addaudithook(at_each_step)
        plain = os.fsync
        os.fsync = lambda *arguments: (at_each_step("os.fsync", ()), plain(*arguments))
        killed = 0
        for last_step in range(1, 100):
            open(path, "wb").write(old)
            child = os.fork()
            if child == 0:
                last = last_step
                write()
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            content = open(path, "rb").read()
            assert content == old or len(content) > 100 and content[:3] != b"old", (last_step, content[:10])
            if code == 0:
                break
            assert code == 77, code
            killed += 1
        assert content != old
        print(killed)
    """
    assert int(run(kind, path, script)) >= 4


@posix
def test_one_process_writes_to_a_folder_and_clears_away_what_killed_ones_left(tmp_path):
    (tmp_path / "sub").mkdir()
    for left in tmp_path / ".out.0123456789ab.part", tmp_path / "sub" / ".a.ba9876543210.part":
        left.write_text("half")
    mine = ["out.part", ".out.part", ".out.0123.part", ".out.0123456789ab.part.jpg", ".report.html.0123456789ab.part"]
    for name in mine:
        (tmp_path / name).write_text("no temporary file of ours")
    names = ["out", "sub/*"]
    with sole_writer(tmp_path, names):
        assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([*mine, "sub"])
        with pytest.raises(BlockingIOError, match="another process is writing there"), sole_writer(tmp_path, names):
            pass
    with sole_writer(tmp_path, names):
        pass


def test_a_file_that_others_made_meanwhile_is_overwritten_only_if_it_may_be(tmp_path):
    path = tmp_path / "out"
    for overwrite, expected in (False, "theirs"), (True, "mine"):
        with contextlib.suppress(OutputError), replacing(path, overwrite=overwrite) as file:
            file.write(b"mine")
            path.write_text("theirs")
        assert path.read_text() == expected and os.listdir(tmp_path) == ["out"]
    with pytest.raises(OutputError, match="out: cannot be written: File exists"), replacing(path, overwrite=False):
        pass
    with replacing(tmp_path / "new", overwrite=False) as file:
        file.write(b"mine")
    assert (tmp_path / "new").read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["new", "out"]


def test_where_there_are_no_hard_links_nothing_is_overwritten_either(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with replacing(tmp_path / "out", overwrite=False) as file:
        file.write(b"mine")
    with pytest.raises(OutputError, match="File exists"), replacing(tmp_path / "out", overwrite=False):
        pass
    assert (tmp_path / "out").read_text() == "mine" and os.listdir(tmp_path) == ["out"]


@posix
def test_what_is_not_finished_has_the_permissions_of_what_it_replaces(tmp_path):
    path = tmp_path / "out"
    for mode in 0o600, 0o666, 0o440:
        path.touch()
        path.chmod(mode)
        with replacing(path) as file:
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["\u5b57" * 83 + ".txt", "a" * 255, "a" + "\U0001f600" * 63, "\udcff" * 255])
def test_a_name_may_be_as_long_as_the_system_takes_it(name, tmp_path):
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("no such names here")
    write_text(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new" and os.listdir(tmp_path) == [name]


@posix
def test_all_is_on_the_disk_before_a_file_takes_its_place_and_its_name_after(tmp_path, monkeypatch):
    """A power cut between two steps leaves the old file or the new one."""
    steps = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(("fsync", os.fstat(descriptor).st_size)))
    plain = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append(("replace", paths[1].name)) or plain(*paths))
    monkeypatch.setattr(outputs, "sync", lambda folder: steps.append(("sync", folder)))
    write_text(tmp_path / "out", "12345")
    assert steps == [("fsync", 5), ("replace", "out"), ("sync", tmp_path)]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    def sync(folder):
        raise PermissionError

    monkeypatch.setattr(outputs, "sync", sync)
    write_text(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "new"


def test_what_is_not_finished_is_beside_its_place_by_a_name_of_its_own(tmp_path):
    long = "x" * 150
    for name, kept in ("out", "out"), (long, long[:100]):
        with replacing(tmp_path / name), replacing(tmp_path / name):
            names = [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]
            assert len(set(names)) == 2
            assert all(re.fullmatch(rf"\.{kept}\.[0-9a-f]{{12}}\.part", each) for each in names)


def test_texts_are_in_utf_8(tmp_path):
    write_text(tmp_path / "out", "Grüße\n")
    assert (tmp_path / "out").read_bytes() == "Grüße\n".encode()


def test_pictures_have_the_format_of_their_extension_and_its_options(tmp_path):
    picture = Image.linear_gradient("L")
    save_picture(picture, tmp_path / "a.JPG", quality=10)
    save_picture(picture, tmp_path / "b.jpeg", quality=95)
    with Image.open(tmp_path / "a.JPG") as opened:
        assert opened.format == "JPEG"
    assert (tmp_path / "a.JPG").stat().st_size < (tmp_path / "b.jpeg").stat().st_size
    with pytest.raises(OutputError, match="a.JPG: cannot be written: File exists"):
        save_picture(picture, tmp_path / "a.JPG", overwrite=False)
    with pytest.raises(ValueError, match=f"^{tmp_path}/noextension: got an extension of no picture format$"):
        save_picture(picture, tmp_path / "noextension")


def test_an_error_that_says_nothing_of_the_system_is_told_as_it_is(tmp_path):
    with pytest.raises(OutputError, match=f"^{tmp_path}/out: cannot be written: strange$"), replacing(tmp_path / "out"):
        raise OSError("strange")
    inner = OutputError("other: cannot be written: full")
    with pytest.raises(OutputError) as caught, replacing(tmp_path / "out"):
        raise inner
    assert caught.value is inner and os.listdir(tmp_path) == []


@posix
def test_what_is_not_finished_is_never_open_to_more_people(tmp_path, monkeypatch):
    """Nor between its making and the change of its permissions."""
    path, seen = tmp_path / "out", []
    path.touch()
    path.chmod(0o600)
    monkeypatch.setattr(os, "chmod", lambda name, mode: seen.append((stat.S_IMODE(os.stat(name).st_mode), mode)))
    write_text(path, "secret")
    assert seen == [(0o600, 0o600)]
