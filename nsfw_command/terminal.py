"""Text for a terminal: names of files come from strangers, and may hold what a terminal obeys."""

from __future__ import annotations

import sys

#: Joiners within emoji and scripts, which do nothing else; all other invisible characters are escaped.
_HARMLESS = " \u200c\u200d"


def printable(text: str) -> str:
    """Give a text as one line in which nothing is obeyed, moved or hidden.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        With backslash escapes for control characters, line ends, marks that change the direction of writing, and what
        standard output cannot encode, such as a file name that is not UTF-8.

    Examples
    --------
    >>> printable("rocket.jpg"), printable("a\\n0.000001  b\\x1b[2J")
    ('rocket.jpg', 'a\\\\n0.000001  b\\\\x1b[2J')
    """
    return encodable(visible(text))


def visible(text: str) -> str:
    """Give a text as `printable` does, for where everything can be encoded.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> print(visible("a\\nb"))
    a\\nb
    """
    return "".join(letter if letter.isprintable() or letter in _HARMLESS else ascii(letter)[1:-1] for letter in text)


def encodable(text: str) -> str:
    """Give what standard output would refuse as backslash escapes, and all else as it is.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> encodable("a\\n")
    'a\\n'
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding, sys.stdout.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def complain(message: object, command: str = "open-nsfw") -> None:
    """Write one line on standard error.

    Parameters
    ----------
    message : object
    command : str
        Who speaks.

    Examples
    --------
    >>> complain("no such file")
    """
    print(f"{command}: {printable(str(message))}", file=sys.stderr)
