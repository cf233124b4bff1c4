"""The program ``open-nsfw``, also ``python -m nsfw_command``: begins so early that Ctrl-C is never a traceback."""

import signal
import sys


def main() -> int:
    """Run the command line, see `nsfw_command.main.main`.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main()  # doctest: +SKIP
    """
    # Until a subcommand runs there is nothing to be kept. Who is told to ignore Ctrl-C goes on doing so
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nsfw_command.main import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
