"""Files of strangers' names and kinds, given to ``open-nsfw score`` in all its layouts."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import socket
from pathlib import Path

from attack import Attack, Attacks

from nsfw_command.main import main
from open_nsfw import nsfw_score

ROCKET = Path(__file__).resolve().parents[2] / "img" / "rocket.jpg"
ATTACKS = Attacks()


def prepare():
    """Compile once what all attacks call."""
    nsfw_score(ROCKET)


def command(*arguments):
    """Exit code and standard output and error of the command."""
    # As a terminal's, where what is not UTF-8 was an error of its own
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["score", "--quiet", *map(str, arguments)])
        except SystemExit as error:
            code = error.code
    return code, *(stream.buffer.getvalue().decode() for stream in (out, err))


#: What a terminal obeys, or what moves or hides text; line ends of every kind.
OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0001-\U000e007f]"
)

NAMES = {
    "a line end and a forged row": "a\n0.000001  innocent",
    "a carriage return": "0.99\r0.000001  a",
    "an escape sequence that clears": "a\x1b[2J\x1b[H",
    "an escape sequence that sets the title": "a\x1b]0;b\x07",
    "an escape sequence of eight bits": "a\x9b2Jb",
    "a backspace": "0.9\b\b\b0.1",
    "a vertical tab, a form feed": "a\x0bb\x0cc",
    "a bell": "a\x07",
    "a tab": "a\tb",
    "a delete": "a\x7f",
    "marks of direction": "gpj.\u202egnp\u202c",
    "isolates": "a\u2066b\u2069",
    "a mark of Arabic": "a\u061cb",
    "line and paragraph separators": "a\u2028b\u2029c",
    "a next line": "a\x85b",
    "a byte order mark": "\ufeffa",
    "nothing to be seen": "\u200b\u2060",
    "tags": "a\U000e0041\U000e007f",
    "bytes that are no UTF-8": os.fsdecode(b"a\xff\xfe\xe9"),
    "a comma, quotes": 'a,"0.1",b',
    "a formula": "=cmd|'calc'!A1",
    "a percent sign": "%s%n%x",
    "braces": "{0.__class__}",
    "markup of a terminal": "[bold red]a",
    "the length of 255 bytes": "a" * 251,
    "an option": "-v",
    "a longer option": "--nsfw-pkl=a",
    "an option's end": "--",
    "a tilde and a variable": "~$HOME`id`",
    "an address": "https:",
    "spaces": "   ",
    "a backslash": "a\\n0.1  b",
}


def _folder(folder, name):
    (folder / "pictures").mkdir()
    shutil.copy(ROCKET, os.path.join(folder, "pictures", f"{name}.jpg"))
    (folder / "pictures" / "broken.jpg").write_text("no picture")
    return folder / "pictures"


def _table(name):
    def carry_out(folder):
        code, out, err = command(_folder(folder, name))
        rows = out.split("\n")[:-1]
        found = OBEYED.search(out + err)
        forms = [re.match(r"(0\.000463|   ERROR)  ", row) is not None for row in rows]
        return (
            f"exit code {code}, {len(rows)} rows, {forms.count(True)} of the form, obeyed: {found and ascii(found[0])}"
        )

    return carry_out


def _program(name, layout):
    def carry_out(folder):
        given = _folder(folder, name)
        code, out, _ = command(layout, given)
        if layout == "--json":
            rows = [(row["file"], row["score"]) for row in json.loads(out)]
        else:
            rows = [(file, score) for file, score, *_ in csv.reader(io.StringIO(out, newline=""))][1:]
        expected = os.path.join(given, f"{name}.jpg")
        shown = expected.encode("utf-8", "backslashreplace").decode() if layout == "--csv" else expected
        names = [file for file, score in rows if score]
        return f"exit code {code}, {len(rows)} rows, the name is {'as it was' if names == [shown] else ascii(names)}"

    return carry_out


for what, name in NAMES.items():
    ATTACKS.append(
        Attack("names", f"{what}, in a table", _table(name), "exit code 1, 2 rows, 2 of the form, obeyed: None", None)
    )
    for layout in "--json", "--csv":
        outcome = "exit code 1, 2 rows, the name is as it was"
        ATTACKS.append(Attack("names", f"{what}, in {layout}", _program(name, layout), outcome, None))


def _rows_of_two(extension):
    """Two files of one size and time, of which one is called as the other is written."""

    def carry_out(folder):
        (folder / "pictures").mkdir()
        names = {rb"\udcff.jpg": ROCKET, b"\xff.jpg": ROCKET.with_name("coffee.jpg")}
        for name, picture in names.items():
            path = os.path.join(b"pictures", name)
            with open(path, "wb") as file:
                file.write(picture.read_bytes().ljust(1 << 20, b"\0"))
            os.utime(path, (10**9, 10**9))
        command("pictures", "--out", f"rows.{extension}")
        _, out, _ = command("pictures", "--out", f"rows.{extension}", "--resume", "--json")
        scores = {row["file"]: round(row["score"], 4) for row in json.loads(out)}
        return [scores[os.path.join("pictures", os.fsdecode(name))] for name in names]

    return carry_out


for extension in "csv", "jsonl":
    what = f"a name that another is written as, in {extension}"
    ATTACKS.append(Attack("names", what, _rows_of_two(extension), r"\[0\.0005, 0\.0129\]", None))

# Names that are given, and what is no file


def row(message):
    return rf"\(1, ['\"]   ERROR  [^\n]*({message})[^\n]*\\n['\"], ''\)"


def named(name, message, **limits):
    def add(make):
        def carry_out(folder):
            made = make(folder)
            return command(*(made if isinstance(made, tuple) else (made,)))

        ATTACKS.append(Attack("names", name, carry_out, row(message), None))
        return make

    return add


@named("the empty name", "the empty name: no such file")
def _empty(folder):
    return ""


@named("a name with a zero byte", "null byte|null character")
def _zero(folder):
    return "a\0.jpg"


@named("a name of 3000 letters", "File name too long")
def _long(folder):
    return "a" * 3000


@named("a lone surrogate", "surrogates not allowed")
def _surrogate(folder):
    return "\ud800.jpg"


@named("a pipe", "is a pipe or a device, not a file")
def _pipe(folder):
    os.mkfifo(folder / "a.jpg")
    return folder / "a.jpg"


@named("a socket", "No such device or address|is a pipe or a device")
def _socket(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("a.jpg")
    return folder / "a.jpg"


for device in "/dev/zero", "/dev/null", "/dev/urandom", "/dev/full", "/dev/tty", "/proc/self/fd/0", "/dev/stdin":
    named(device, "is a pipe or a device, not a file|No such device or address|no such file")(
        lambda folder, it=device: it
    )
named("a file of /proc that has no size", "not a picture|is empty")(lambda folder: "/proc/self/status")
named("the memory of the process", "cannot be read")(lambda folder: "/proc/self/mem")


@named("an empty folder called a.jpg", "is a folder, not a picture")
def _folder_called_a_picture(folder):
    (folder / "a.jpg").mkdir()
    return folder / "a.jpg"


@named("a link to itself", "Too many levels of symbolic links")
def _link_to_itself(folder):
    (folder / "a.jpg").symlink_to("a.jpg")
    return folder / "a.jpg"


@named("a link to nothing", "no such file")
def _link_to_nothing(folder):
    (folder / "a.jpg").symlink_to("gone")
    return folder / "a.jpg"


@named("a link to a pipe", "is a pipe or a device, not a file")
def _link_to_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    (folder / "a.jpg").symlink_to("pipe")
    return folder / "a.jpg"


@named("a file as a folder", "Not a directory")
def _below_a_file(folder):
    (folder / "a.jpg").touch()
    return folder / "a.jpg" / "b.jpg"


@named("a file of a terabyte", "is larger than 536870912 bytes")
def _sparse(folder):
    with open(folder / "a.jpg", "wb") as file:
        file.truncate(1 << 40)
    return folder / "a.jpg"


@named("options behind --", "-v.*no such file")
def _option(folder):
    return "--", "-v"


@ATTACKS.on("names", r"\(0, '0\.000463  [^\n]*rocket.jpg\\n', ''\)", memory=None)
def a_folder_with_all_that_is_no_file(folder):
    """What is no file is passed over there, and links to folders are not followed."""
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(".")
    (folder / "loop.jpg").symlink_to(".")
    shutil.copy(ROCKET, folder / "rocket.jpg")
    return command(folder)


@ATTACKS.on("names", r"\(0, '0\.000463  ", memory=None)
def a_folder_a_hundred_deep(folder):
    deep = folder.joinpath(*["a" * 30] * 100)
    deep.mkdir(parents=True)
    shutil.copy(ROCKET, deep / "rocket.jpg")
    return command(folder)
