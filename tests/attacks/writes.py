"""Outputs whose writing is cut short: by a full disk, by an error of the disk, by a kill at any step."""

import contextlib
import errno
import io
import os
import re
import resource
import shutil
import sys

import numpy as np
from attack import Attack, limit
from commands import ROCKET
from PIL import Image

from nsfw_command.main import main
from nsfw_experiments.evolution.callbacks import save_animation
from nsfw_model import outputs
from nsfw_model.outputs import save_picture, sole_writer, write_text
from nsfw_model.schema import NetParameter
from nsfw_model.weights import save_weights

ATTACKS = []
NOISE = Image.effect_noise((90, 90), 9).convert("RGB")


def _caffemodel():
    net = NetParameter(name="net", input=["data"], input_dim=[1, 3, 8, 8])
    layer = net.layer.add(name="fc", type="InnerProduct", bottom=["data"], top=["fc"])
    layer.inner_product_param.num_output = 9
    layer.blobs.add(data=[0.5] * 9 * 192).shape.dim.extend([9, 192])
    layer.blobs.add(data=[0.5] * 9).shape.dim.extend([9])
    return net.SerializeToString()


def _convert(path):
    path.with_name("net.caffemodel").write_bytes(_caffemodel())
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(["convert", str(path.with_name("net.caffemodel")), "-o", str(path), "--force"])
    path.with_name("net.caffemodel").unlink()
    if code:
        raise outputs.OutputError(f"{said.getvalue().strip()} (exit code {code})")


#: Each writes the file of its name anew.
WRITERS = {
    "nsfw.pkl": lambda path: save_weights(path, [("fc", [np.ones((50, 50), "float32")])]),
    "best.png": lambda path: save_picture(NOISE, path),
    "best.bmp": lambda path: save_picture(NOISE, path),
    "evolution.gif": lambda path: save_animation([NOISE, NOISE.rotate(90)], path),
    "evolution.webp": lambda path: save_animation([NOISE, NOISE.rotate(90)], path),
    "best.svg": lambda path: write_text(path, "x" * 10_000),
    "converted.pkl": _convert,
}
OLD = b"old" * 1000


def _state(path):
    """What is at a path, and whether anything is beside it."""
    content = path.read_bytes()
    there = "old" if content == OLD else "new"
    beside = sorted(other.name for other in path.parent.iterdir() if other != path)
    return f"{there}, beside it {beside}"


def _tried(path, write):
    """What came of writing, and what is there afterwards."""
    try:
        write(path)
        came = "written"
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
    return f"{_state(path)}; {came}"


def _full(name, size):
    def carry_out(folder):
        path = folder / name
        path.write_bytes(OLD)
        if name == "converted.pkl":  # its model is made before the disk is full
            path.with_name("net.caffemodel").write_bytes(_caffemodel())
            said = io.StringIO()
            limit(resource.RLIMIT_FSIZE, size)
            with contextlib.redirect_stderr(said):
                code = main(["convert", str(path.with_name("net.caffemodel")), "-o", str(path), "--force"])
            path.with_name("net.caffemodel").unlink()
            return f"{_state(path)}; OutputError: {said.getvalue().strip()} (exit code {code})"
        limit(resource.RLIMIT_FSIZE, size)
        return _tried(path, WRITERS[name])

    return carry_out


def _failing(name, function, number):
    """A step of writing fails with this error."""

    def carry_out(folder):
        path = folder / name
        path.write_bytes(OLD)

        def fail(*arguments, **keywords):
            raise OSError(number, os.strerror(number))

        if function == "write":
            plain = open

            class Failing(io.FileIO):
                write = fail

            outputs.open = lambda path, mode, **options: (Failing if "x" in mode else plain)(path, mode, **options)
        else:
            setattr(os, function, fail)
        return _tried(path, WRITERS[name])

    return carry_out


def _killed(name):
    """Killed at the first step, at the second, and so on, until all of it is written."""

    def carry_out(folder):
        path = folder / name
        steps = last = 0

        def at_each_step(event, arguments=()):
            nonlocal steps
            if last and event.split(".")[0] in ("open", "os", "shutil"):
                steps += 1
                if steps == last:
                    os._exit(77)

        sys.addaudithook(at_each_step)
        plain = os.fsync
        os.fsync = lambda *arguments: (at_each_step("os.fsync"), plain(*arguments))
        for step in range(1, 200):
            path.write_bytes(OLD)
            child = os.fork()
            if not child:
                last = step
                WRITERS[name](path)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            content = path.read_bytes()
            if content != OLD and (len(content) < 500 or content.startswith(b"old")):
                return f"half a file at step {step}"
            if code == 0:
                return f"whole after {step - 1 >= 4} kills: {content != OLD}"
        return "never written"

    return carry_out


REFUSED = r"old, beside it \[\]; OutputError: .*cannot be written: "
for name in WRITERS:
    for size in 0, 1, 1000:
        code = r".*exit code 74" if name == "converted.pkl" else ""
        full = f"{REFUSED}File too large{code}"
        ATTACKS.append(Attack("outputs", f"{name}, a disk with room for {size} bytes", _full(name, size), full))
    for function in "write", "fsync", "replace":
        for number in errno.EIO, errno.ENOSPC, errno.EDQUOT:
            what = f"{name}, {errno.errorcode[number]} at {function}"
            expected = REFUSED + os.strerror(number)
            ATTACKS.append(Attack("outputs", what, _failing(name, function, number), expected))
    ATTACKS.append(Attack("outputs", f"{name}, killed at each step", _killed(name), "whole after True kills: True"))


# What strangers have laid where rows are to be written


def _laid(name, lay):
    def carry_out(folder):
        (folder / "precious").write_bytes(OLD)
        lay(folder / name)
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main(["score", str(ROCKET), "--out", str(folder / "rows.csv"), "--force"])
        return f"exit code {code}, precious {(folder / 'precious').read_bytes() == OLD}: {said.getvalue()}"

    return carry_out


LAID = {
    "a pipe": (lambda path: os.mkfifo(path), "is a pipe, a folder or a device"),
    "a folder": (lambda path: path.mkdir(), "is a pipe, a folder or a device"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe, a folder or a device"),
}
A_LINK = {"a link": (lambda path: path.symlink_to("precious"), "is a link")}
for name, what in {"rows.csv": LAID, "rows.csv.run": LAID | A_LINK}.items():
    for kind, (lay, told) in what.items():
        refused = rf"exit code 2, precious True: .*{re.escape(name)}: {told}"
        ATTACKS.append(Attack("outputs", f"{name}: {kind} lies there", _laid(name, lay), refused, None))


# What is read is to be written


def _source(name, *arguments):
    def carry_out(folder):
        shutil.copy(ROCKET, folder / name)
        (folder / "link.png").symlink_to(name)
        before = (folder / name).read_bytes()
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main([*arguments, "--force"])
        return f"exit code {code}, whole {(folder / name).read_bytes() == before}: {said.getvalue()}"

    return carry_out


for name, arguments in {
    "rows.csv": ["score", "rows.csv", "--out", "rows.csv"],
    "list.csv": ["score", "--files-from", "list.csv", "--out", "list.csv"],
    "page.html": ["score", "link.png", "--report", "page.html"],
    "a.png": ["explain", "a.png", "--out", "."],
    "b.png": ["explain", "link.png", "--out", "b.png"],
    "c.png": ["inverse", "link.png", "--target", "0.5", "--out", "c.png"],
    "d.pkl": ["convert", "link.png", "-o", "d.pkl"],
    "best.png": ["evolve", "--target", "link.png", "--out", "."],
}.items():
    kept = "exit code [12], whole True: .*is read, too; expected another file to be written"
    ATTACKS.append(Attack("outputs", f"{' '.join(arguments)} --force", _source(name, *arguments), kept, None))


def _refused(*arguments):
    def carry_out(folder):
        (folder / "a.pkl").write_bytes(b"garbage")
        codes = []
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            codes.append(main(["score", ROCKET, "--out", "rows.csv"]))
            before = (folder / "rows.csv").read_bytes()
            codes.append(main(["score", ROCKET, "--out", "rows.csv", "--force", *arguments]))
        return f"exit codes {codes}, the rows are there {(folder / 'rows.csv').read_bytes() == before}"

    return carry_out


for arguments in ["--nsfw-pkl", "a.pkl"], ["--cluster", "tcp://127.0.0.1:1"]:
    kept = r"exit codes \[0, 2\], the rows are there True"
    ATTACKS.append(Attack("outputs", f"rows, --force {' '.join(arguments)}", _refused(*arguments), kept, None))


def _beside_a_painting(folder):
    """A hidden file of another program, which is not finished yet."""
    others = [folder / ".mine.part", folder / ".report.html.0123456789ab.part"]
    for path in others:
        path.write_bytes(OLD)
    with sole_writer(folder, ["best.png", "generations/*.png"]):
        return all(path.exists() for path in others)


ATTACKS.append(Attack("outputs", "a hidden file of others is there", _beside_a_painting, "True"))
