"""Names of files as UTF-8 can hold them, and back: no two names become one, and most stay as they are."""

from __future__ import annotations

import re

#: What UTF-8 cannot hold, or text that looks like its escape, with the backslashes before it.
_UNSAFE = re.compile(r"(\\*)([\ud800-\udfff])|(\\+)(ud[89a-f][0-9a-f]{2})")
_ESCAPE = re.compile(r"(\\+)(ud[89a-f][0-9a-f]{2})")


def escaped(text: str) -> str:
    r"""Give what UTF-8 cannot hold as a backslash escape, such as ``\udcff`` for the byte 255.

    Backslashes are doubled only before such an escape, and before what looks like one; all others stay as they are.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> [escaped(name) for name in ("\udcff.jpg", r"\udcff.jpg", r"C:\users\a.jpg")]
    ['\\udcff.jpg', '\\\\udcff.jpg', 'C:\\users\\a.jpg']
    """

    def escape(found: re.Match[str]) -> str:
        backslashes, surrogate, looking, like = found.groups()
        return backslashes * 2 + f"\\u{ord(surrogate):04x}" if surrogate else looking * 2 + like

    return _UNSAFE.sub(escape, text)


def unescaped(text: str) -> str:
    r"""Give back what `escaped` was given.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> unescaped(r"\udcff.jpg") == "\udcff.jpg", unescaped(r"\\udcff.jpg") == r"\udcff.jpg"
    (True, True)
    """

    def restore(found: re.Match[str]) -> str:
        backslashes, code = found.groups()
        half = "\\" * (len(backslashes) // 2)
        return half + (chr(int(code[1:], 16)) if len(backslashes) % 2 else code)

    return _ESCAPE.sub(restore, text)
