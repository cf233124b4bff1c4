"""The program ``open-nsfw``, also ``python -m nsfw_command``: begins so early that Ctrl-C is never a traceback."""

import os
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
    open_standard_streams()
    # Until a subcommand runs there is nothing to be kept. Who is told to ignore Ctrl-C goes on doing so
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nsfw_command.main import main

    return main()


def open_standard_streams() -> None:
    """Put something in the place of standard streams that are closed, or the next files that are opened would be there.

    Standard input is empty then and what is said on standard error is lost, but not what is to be printed: a device
    that cannot be written to makes an error of it.

    Examples
    --------
    >>> open_standard_streams()
    """
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)


if __name__ == "__main__":
    sys.exit(main())
