"""``open-nsfw SUBCOMMAND ...``: parse the arguments and run the subcommand."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import open_nsfw
from nsfw_command import convert, evolve, explain, info, inverse, playground, score, serve, warm_up
from nsfw_command.arguments import NOT_WRITTEN
from nsfw_command.terminal import complain, printable
from nsfw_model import ModelFileError
from nsfw_model.outputs import OutputError
from nsfw_model.picture import shortened
from theano_cpu import TheanoEnvironmentError

#: How much of a message about wrong arguments is shown, in characters.
LONGEST_MESSAGE = 1000
#: What the system says of names that lead nowhere.
_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP, errno.ENOTDIR}
#: What a device says that takes no more, or nothing at all.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}

SUBCOMMANDS = (score, explain, inverse, evolve, serve, playground, convert, info, warm_up)


class Interrupted(KeyboardInterrupt):
    """A signal that asks for the end: what is done is kept, as after Ctrl-C.

    Parameters
    ----------
    signal_number : int
    """

    def __init__(self, signal_number: int):
        super().__init__()
        self.exit_code = 128 + signal_number


class _Parser(argparse.ArgumentParser):
    """One whose errors quote what was given as it can be shown. Those of subcommands are of this kind, too."""

    def error(self, message: str) -> NoReturn:
        super().error(shortened(printable(message), LONGEST_MESSAGE))


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; each subcommand adds its own part and sets ``run``, a function of the parsed arguments.

    Returns
    -------
    argparse.ArgumentParser

    Examples
    --------
    >>> make_parser().parse_args(["score", "img"]).paths
    ['img']
    """
    parser = _Parser(prog="open-nsfw", description="Yahoo's Open NSFW in Theano and Lasagne.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {open_nsfw.__version__}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; left out, those of the process.

    Returns
    -------
    int
        The exit code: 0 for success, 1 if something could not be done, 2 for wrong arguments, 74 if a file could
        not be written, 128 and the signal's number if one ended it (130 for Ctrl-C); subcommands may define more. Those
        that keep what they have got so far, evolve and inverse, give 130 for every signal.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version``, and for wrong arguments.

    Examples
    --------
    >>> main(["score", "img/rocket.jpg"])
    0.000463  img/rocket.jpg
    0
    """
    return _run(make_parser().parse_args(argv))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise, where they exist and this is the thread that gets them."""
    taken = []
    handlers = {"SIGINT": signal.default_int_handler, "SIGTERM": _interrupt, "SIGHUP": _interrupt}
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            # Who is told to ignore a signal, as by nohup, goes on doing so
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, handler)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(number)


def _run(args: argparse.Namespace) -> int:
    """Run the subcommand; what went wrong is one line on standard error."""
    try:
        with _interruptible():
            code = args.run(args)
            sys.stdout.flush()
            return code
    except OutputError as error:
        complain(f"error: {error}")
        return NOT_WRITTEN
    except (FileNotFoundError, ModelFileError, TheanoEnvironmentError, NotImplementedError) as error:
        complain(f"error: {error}")
        return 2
    except (MemoryError, SystemError) as error:
        # CPython's imports may end in a SystemError where there is no memory for the MemoryError
        if isinstance(error, SystemError) and "without setting an exception" not in str(error):
            raise
        complain("error: out of memory: raise the limit (ulimit -v), or lower --batch-size where there is one")
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.filename is not None and error.errno in _NAME_ERRORS:
            complain(f"error: {shortened(os.fsdecode(error.filename))}: {error.strerror}")
            return 2
        if error.filename is not None or error.errno not in _DISK_ERRORS:
            raise
        # Files that are written raise OutputError
        complain(f"error: standard output cannot be written: {error.strerror}")
        with contextlib.suppress(OSError):
            sys.stdout.close()  # or Python would try it again
        return NOT_WRITTEN
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
