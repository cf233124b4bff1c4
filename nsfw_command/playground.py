"""``open-nsfw playground``: open a page in the browser on which pictures are scored, explained and changed."""

from __future__ import annotations

from argparse import Namespace

from nsfw_command.arguments import port
from nsfw_command.terminal import complain

HOST, PORT = "127.0.0.1", 8866
FAILED, INTERRUPTED = 1, 130


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    """
    parser = subparsers.add_parser(
        "playground",
        help="open a page to play with: score, why, change, paint",
        description="Open a page in the browser: a picture's score, why it has it, and what becomes of both. All is"
        " computed on this computer. Ctrl-C ends it.",
        epilog=f"exit code: {INTERRUPTED} ended by Ctrl-C, {FAILED} there is no page, such as where the port is in use",
    )
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help=f"where to listen (default: {HOST}, this computer only; others who can reach it may use it, too)",
    )
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help=f"default: {PORT}")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.
    """
    import webbrowser

    from nsfw_experiments.playground.server import ServerError, serving

    try:
        with serving(args.host, args.port) as (address, process):
            print(f"{address}  Ctrl-C ends it", flush=True)
            if not args.no_browser:
                webbrowser.open(address)
            process.wait()
            complain(f"Voila ended with exit code {process.returncode}", "open-nsfw playground")
    except (ServerError, ModuleNotFoundError) as error:
        complain(error, "open-nsfw playground")
    return FAILED
