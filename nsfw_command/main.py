"""``open-nsfw SUBCOMMAND ...``: parse the arguments and run the subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import open_nsfw
from nsfw_command import convert, evolve, info, inverse, score, warm_up
from nsfw_model import ModelFileError
from theano_cpu import TheanoEnvironmentError

SUBCOMMANDS = (score, inverse, evolve, convert, info, warm_up)


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
    parser = argparse.ArgumentParser(prog="open-nsfw", description="Yahoo's Open NSFW in Theano and Lasagne.")
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
        The exit code: 0 for success, 1 if something could not be done, 2 for wrong arguments;
        subcommands may define more.

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
    args = make_parser().parse_args(argv)
    try:
        return args.run(args)
    except (FileNotFoundError, ModelFileError, TheanoEnvironmentError, NotImplementedError) as error:
        print(f"open-nsfw: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
