"""What strangers left in the working directory, and where compiled code is kept."""

import json
import os
import stat
import struct
import tempfile
import zlib

from attack import Attack, Attacks
from commands import EVOLVE, ROCKET, run

from nsfw_model import snapshot
from open_nsfw import model_files
from theano_compat import settings

ATTACKS = Attacks()
MODULES = (
    "pickle numpy PIL random socket json theano lasagne open_nsfw nsfw_command sitecustomize usercustomize".split()
)


def _hostile(folder):
    """A folder of modules that leave a mark when they are run, and of a network."""
    (folder / "here").mkdir()
    for name in MODULES:
        (folder / "here" / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})\n")
    (folder / "here" / "nsfw.pkl").write_bytes(b"\x80\x04cposix\nsystem\n\x8c\x04trueq\0\x85R.")
    (folder / "here" / "deploy.prototxt").write_text("layer { }")
    (folder / "here" / "nsfw_model").mkdir()
    (folder / "here" / "nsfw_model" / "deploy.prototxt").write_text("layer { }")
    (folder / "here" / "nsfw_model" / "__init__.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('it')\n")
    (folder / "here" / ".theanorc").write_text("[global]\ncxx = /bin/false\n")
    return folder / "here"


def _there(*arguments):
    def carry_out(folder):
        here = _hostile(folder)
        code, said = run(*arguments, folder=here)
        ran = (folder / "ran").read_text() if (folder / "ran").exists() else "nothing"
        return f"exit code {code}, {ran} ran: {said}"

    return carry_out


COMMANDS = {
    "score": (("score", ROCKET), "0.000463  "),
    "info": (("info",), ".*weights"),
    "evolve": ((*EVOLVE, "--out", "out", "--generations", 2), ".*PSNR|.*dB"),
    "evolve of two processes": ((*EVOLVE, "--out", "out", "--generations", 2, "--processes", 2), ".*PSNR|.*dB"),
}
for name, (arguments, said) in COMMANDS.items():
    expected = f"exit code 0, nothing ran: ({said})"
    ATTACKS.append(Attack("folder", f"{name} where strangers left modules", _there(*arguments), expected, None))


@ATTACKS.on("folder", "the usual settings", memory=None)
def settings_in_a_folder_called_like_a_home_where_none_is_known(folder):
    (folder / "~").mkdir()
    (folder / "~" / ".theanorc").write_text("[global]\nfloatX = float64\n")
    os.environ.update(HOME="~", TMPDIR=str(folder), THEANO_FLAGS="")  # what expanduser gives where it knows none
    import theano

    return "the usual settings" if theano.config.floatX == "float32" else f"floatX {theano.config.floatX}"


# Where compiled code is kept


def _chosen(folder, home):
    """The folder that is taken with this home, which is this user's alone; in place of the folder's name, a word."""
    os.environ["HOME"] = home
    tempfile.tempdir = str(folder / "temporary")
    (folder / "temporary").mkdir(exist_ok=True)
    chosen = settings.writable_base_compiledir()
    found = os.stat(chosen)
    alone = found.st_uid == os.getuid() and not found.st_mode & 0o022 and not os.path.islink(chosen)
    where = "home" if chosen.startswith(os.path.join(home or "/", ".theano")) else "elsewhere"
    return f"{where}, {'alone' if alone else 'open to others'}"


def prepared(name, expected):
    def add(prepare):
        def carry_out(folder):
            (folder / "home").mkdir()
            home = prepare(folder / "home")
            return _chosen(folder, str(folder / "home") if home is None else home)

        ATTACKS.append(Attack("compiled", name, carry_out, expected))
        return prepare

    return add


for mode in 0o777, 0o707, 0o702, 0o1777:

    @prepared(f"a folder of rights {mode:o}", "elsewhere, alone")
    def _open_to_others(home, mode=mode):
        (home / ".theano").mkdir()
        (home / ".theano").chmod(mode)


@prepared("a folder that its group may write to", "(home|elsewhere), alone")
def _group(home):
    """It is taken where the group has no other members."""
    (home / ".theano").mkdir()
    (home / ".theano").chmod(0o775)


for mode in 0o777, 0o757, 0o1777:

    @prepared(f"a folder in which there is one of rights {mode:o}", "elsewhere, alone")
    def _open_within(home, mode=mode):
        inner = home / ".theano" / "compiledir_1" / "theano_cpu_onednn"
        inner.mkdir(parents=True)
        inner.chmod(mode)


@prepared("a folder with a module that anybody may write to", "elsewhere, alone")
def _open_module(home):
    (home / ".theano" / "compiledir_1").mkdir(parents=True)
    (home / ".theano" / "compiledir_1" / "m.so").touch()
    (home / ".theano" / "compiledir_1" / "m.so").chmod(0o666)


@prepared("a umask of 0", "home, alone")
def _umask(home):
    os.umask(0)


@prepared("a file in the folder's place", "elsewhere, alone")
def _file(home):
    (home / ".theano").touch()


@prepared("a link to nothing", "elsewhere, alone")
def _link(home):
    (home / ".theano").symlink_to("/dev/null/nowhere")


@prepared("a link to what anybody may write to", "elsewhere, alone")
def _link_to_open(home):
    (home / "open").mkdir()
    (home / "open").chmod(0o777)
    (home / ".theano").symlink_to(home / "open")


@prepared("a home that cannot be written", "elsewhere, alone")
def _no_home(home):
    return "/dev/null/nowhere"


@prepared("a home that is relative", "elsewhere, alone")
def _relative_home(home):
    return "home"


for kind in "a link", "a file", "open to others", "somebody else's":

    @prepared(f"a temporary folder that is {kind}", "elsewhere, alone")
    def _prepared_temporary_folder(home, kind=kind):
        temporary = home.parent / "temporary"
        temporary.mkdir()
        trap = temporary / f"theano-{os.getuid()}"
        if kind == "a link":
            (temporary / "elsewhere").mkdir()
            trap.symlink_to(temporary / "elsewhere")
        elif kind == "a file":
            trap.touch()
        else:
            trap.mkdir()
            trap.chmod(0o777 if kind == "open to others" else stat.S_IRWXU)
            if kind == "somebody else's" and os.getuid() == 0:
                os.chown(trap, 12345, 12345)
        return "/dev/null/nowhere"


@ATTACKS.on("compiled", "elsewhere, alone|home, alone")
def a_folder_of_somebody_else(folder):
    """Only root can give one away; another user's attack finds nothing to be taken."""
    (folder / "home" / ".theano").mkdir(parents=True)
    if os.getuid() == 0:
        os.chown(folder / "home" / ".theano", 12345, 12345)
    return _chosen(folder, str(folder / "home"))


@ATTACKS.on("compiled", "not the root of all files")
def a_home_that_is_empty(folder):
    os.environ["HOME"] = ""
    chosen = settings.writable_base_compiledir()
    return "not the root of all files" if not chosen.startswith("/.theano") else chosen


# What is left in a snapshot's place

FACTS = {"input_shape": [3, 224, 224], "weights": "0"}
HEADER = {"native": "trap.so", "constants": [], "results": [], "checksum": 0, "facts": FACTS}
TEXT = json.dumps(HEADER).encode()
MAGIC = b"theano_cpu program 1\n"
TRAP = MAGIC + struct.pack("<QI", len(TEXT), zlib.crc32(TEXT)) + TEXT
TRAP += bytes(-len(TRAP) % 64)
ELSEWHERE = "elsewhere"


def _owned_by_another(path):
    """Only root can give one away; another user's attack is open to others instead."""
    if os.getuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        path.chmod(0o777)


def _led_elsewhere(path):
    """A link to what somebody else has left."""
    there = path.with_name(ELSEWHERE)
    path.rename(there)
    _owned_by_another(there)
    path.symlink_to(there)


def _replaced(make):
    def prepare(path):
        path.unlink()
        make(path)

    return prepare


SNAPSHOTS = {
    "that anybody may write to": lambda path: path.chmod(0o666),
    "that its group may write to": lambda path: path.chmod(0o660),
    "of somebody else": _owned_by_another,
    "in a folder that anybody may write to": lambda path: path.parent.chmod(0o777),
    "in a folder of somebody else": lambda path: _owned_by_another(path.parent),
    "that is a link to somebody else's": _led_elsewhere,
    "that is a pipe": _replaced(os.mkfifo),
    "that is a device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "that is a folder": _replaced(os.mkdir),
    "that is cut": lambda path: path.write_bytes(TRAP[: len(MAGIC) + 20]),
    "whose header is of exabytes": lambda path: path.write_bytes(MAGIC + struct.pack("<QI", 1 << 62, 0)),
    "whose header is damaged": lambda path: path.write_bytes(TRAP.replace(b"trap", b"TRAP")),
    "that is empty": lambda path: path.write_bytes(b""),
}


def _left(folder):
    """The place of a snapshot that seems to be of the network."""
    os.environ["THEANO_FLAGS"] = f"base_compiledir={folder}"
    os.environ.pop("OPEN_NSFW_SNAPSHOT", None)
    path = snapshot._path(*model_files(), "float32")
    path.parent.mkdir(mode=0o700)
    path.write_bytes(TRAP)
    path.chmod(0o600)
    assert snapshot.find(*model_files(), "float32") is not None  # or nothing is attacked
    return path


def _taken(tamper):
    def carry_out(folder):
        tamper(_left(folder))
        return "not taken" if snapshot.find(*model_files(), "float32") is None else "taken"

    return carry_out


for name, tamper in SNAPSHOTS.items():
    ATTACKS.append(Attack("compiled", f"a snapshot {name}", _taken(tamper), "not taken"))


@ATTACKS.on("compiled", "not taken")
def a_snapshot_of_weights_that_have_changed_since(folder):
    """Of the same name, for their size and time are the same."""
    _left(folder)
    return "not taken" if snapshot.find(*model_files(), "float32").function() is None else "taken"
