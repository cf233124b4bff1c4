"""Corrections of what Python's compiler warns of in the source texts of Theano and Lasagne, and will refuse one day.

The files stay as they are: what is compiled is a corrected text with the same lines. That happens only where Python
compiles a module at all, and not where its bytecode is cached. `theano_compat.import_hook` imports this module when the
compiler complains of one, and not before, for it takes Python's parser along.
"""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator

Position = tuple[int, int]
"""Line, counted from 1, and column, counted from 0, as tokenize has it."""

# The Python Language Reference, "Escape sequences"
_BYTES_ESCAPES = "\n\\'\"abfnrtv01234567x"
_TEXT_ESCAPES = _BYTES_ESCAPES + "NuU"


def double_invalid_escapes(source: str) -> str:
    r"""Python is to refuse a backslash that begins no escape sequence: it is doubled before the text is compiled

    Parameters
    ----------
    source : str
        Of a module, with ``\n`` at the ends of its lines. F-strings are left alone: Theano and Lasagne have none.

    Returns
    -------
    str
        With the same strings.

    Raises
    ------
    SyntaxError
        It is no Python.

    Examples
    --------
    >>> print(double_invalid_escapes(r"pattern = '\s\n'"))
    pattern = '\\s\n'
    """
    strings = [token for token in _tokens(source) if token.type == tokenize.STRING]
    return _replaced(source, [(token.start, token.end, _with_valid_escapes(token.string)) for token in strings])


def _with_valid_escapes(literal: str) -> str:
    prefix = re.split("['\"]", literal, maxsplit=1)[0].lower()
    if "r" in prefix:
        return literal
    valid = _BYTES_ESCAPES if "b" in prefix else _TEXT_ESCAPES
    return re.sub(r"(?s)\\(.)", lambda found: found[0] if found[1] in valid else "\\" + found[0], literal)


def compare_literals_by_value(source: str) -> str:
    r"""Python is to refuse `is` with a number or a string: the text is compiled with `==`, which was meant

    Parameters
    ----------
    source : str
        Of a module, with ``\n`` at the ends of its lines.

    Returns
    -------
    str

    Raises
    ------
    SyntaxError
        It is no Python.

    Examples
    --------
    >>> compare_literals_by_value("shape is 'auto' or shape is not None")
    "shape == 'auto' or shape is not None"
    """
    words = [token for token in _tokens(source) if token.type == tokenize.NAME]
    replacements = []
    for start, end in _operators_at_literals(source):
        word, *negation = (word for word in words if start <= word.start < end)
        replacements.append((word.start, word.end, "!=" if negation else "=="))
        replacements.extend((word.start, word.end, "") for word in negation)
    return _replaced(source, replacements)


def _operators_at_literals(source: str) -> Iterator[tuple[Position, Position]]:
    """Where the left operand ends and the right one begins, of each `is` and `is not` with a literal."""
    lines = source.split("\n")

    def position(line: int | None, utf8_column: int | None) -> Position:
        assert line is not None  # only nodes that programs make lack it
        return line, len(lines[line - 1].encode()[:utf8_column].decode())

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators):
                if isinstance(operator, ast.Is | ast.IsNot) and (_is_literal(left) or _is_literal(right)):
                    end_of_left = position(left.end_lineno, left.end_col_offset)
                    yield end_of_left, position(right.lineno, right.col_offset)


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float, complex, str, bytes)


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source).readline)


def _replaced(source: str, replacements: Iterable[tuple[Position, Position, str]]) -> str:
    """Put each text where something else stands between two positions."""
    starts = [0, *itertools.accumulate(len(line) + 1 for line in source.split("\n"))]
    for (line, column), (last_line, last_column), text in sorted(replacements, reverse=True):
        source = source[: starts[line - 1] + column] + text + source[starts[last_line - 1] + last_column :]
    return source


Correction = Callable[[str], str]

CORRECTIONS: tuple[Correction, ...] = (double_invalid_escapes, compare_literals_by_value)
"""The first line of each docstring is its reason."""


def correct(source: str) -> tuple[str, list[Correction]]:
    r"""Apply all corrections.

    Parameters
    ----------
    source : str
        Of a module, with ``\n`` at the ends of its lines.

    Returns
    -------
    (str, list of callable)
        The corrected text, and the corrections that changed it. What is no Python comes back as it is.

    Examples
    --------
    >>> correct("shape is 'auto'")
    ("shape == 'auto'", [<function compare_literals_by_value at 0x...>])
    """
    text, made = source, []
    try:
        for correction in CORRECTIONS:
            corrected = correction(text)
            if corrected != text:
                made.append(correction)
            text = corrected
    except (SyntaxError, tokenize.TokenError):
        return source, []
    return text, made
