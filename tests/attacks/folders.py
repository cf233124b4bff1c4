"""What strangers left in the working directory, and where compiled code is kept."""

import os
import stat
import tempfile

from attack import Attack, Attacks
from commands import EVOLVE, ROCKET, run

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


@prepared("a folder that its group may write to", "home, alone")
def _group(home):
    (home / ".theano").mkdir()
    (home / ".theano").chmod(0o775)


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
