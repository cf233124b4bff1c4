"""``open-nsfw serve``: score pictures over HTTP."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields

from nsfw_command.arguments import number, port, processes
from nsfw_command.terminal import complain

HOST, PORT = "127.0.0.1", 8000
DONE, REFUSED = 0, 2


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    """
    from nsfw_server.limits import Limits, variable

    parser = subparsers.add_parser(
        "serve",
        help="score pictures over HTTP",
        description="Score pictures over HTTP: POST /v1/score; /docs describes it. SIGTERM and Ctrl-C end it, behind"
        " what it has accepted.",
        epilog=f"exit code: {DONE} ended as it was told, {REFUSED} it cannot be started",
    )
    parser.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"where to listen (default: {HOST})")
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help=f"default: {PORT}")
    parser.add_argument(
        "--workers",
        type=processes,
        default=1,
        metavar="N",
        help="processes, each with a network of its own (default: 1)",
    )
    parser.add_argument("--json-logs", action="store_true", help="make each line of the log an object of JSON")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info"
    )
    group = parser.add_argument_group(
        "limits", "of each process; also set by environment variables, such as OPEN_NSFW_QUEUE"
    )
    for each in fields(Limits):
        default = each.default if each.type == "int" else f"{each.default:g}"
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=_whole if each.type == "int" else number,
            metavar="N",
            help=f"{each.metadata['what']} (default: {default}; {variable(each.name)})",
        )
    parser.set_defaults(run=run, refuse=parser.error)


def _whole(text: str) -> int:
    return int(text)


def run(args: Namespace) -> int:
    """Serve until a signal ends it.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.
    """
    from nsfw_server.limits import Limits

    if not args.host.strip():  # it would be every address that this machine has
        args.refuse("--host: got nothing, expected an address")
    try:
        args.host.encode("idna")
    except UnicodeError as error:  # of what no name of a host can be
        args.refuse(f"--host: got {args.host!r:.100}, expected an address: {error}")
    told = {each.name: getattr(args, each.name) for each in fields(Limits)}
    try:
        limits = Limits.from_environment(**{name: value for name, value in told.items() if value is not None})
    except ValueError as error:
        args.refuse(str(error))
    try:
        from nsfw_server import workers
        import uvicorn, fastapi, prometheus_client, python_multipart  # noqa: E401, F401
    except ModuleNotFoundError as error:
        complain(f"error: the service needs {error.name}: pip install 'open-nsfw-theano[server]'")
        return REFUSED
    try:
        workers.run(args.host, args.port, args.workers, limits, args.json_logs, args.log_level)
    except SystemExit as ended:  # uvicorn has told why, such as a port that is taken
        return REFUSED if ended.code else DONE
    except KeyboardInterrupt:  # which uvicorn raises again when all is answered
        pass
    return DONE
