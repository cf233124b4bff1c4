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
    # What is imported now takes longer than anything else that could be interrupted without being prepared for it
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nsfw_command.main import main

    if before is not signal.SIG_DFL:
        signal.signal(signal.SIGINT, before)
    return main()


if __name__ == "__main__":
    sys.exit(main())
