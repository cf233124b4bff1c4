"""Mutations of Python source: one small change each, as a slip of a programmer's would be.

The operators are the usual ones of mutation testing (R. A. DeMillo, R. J. Lipton, F. G. Sayward, "Hints on test data
selection: help for the practicing programmer", IEEE Computer 11 (4), 1978). Texts are left alone: messages, docstrings,
annotations, and what only makes a message.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
ARITHMETIC = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "//",
    ast.Pow: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "&",
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


@dataclass(frozen=True)
class Mutation:
    """One change of one file.

    Attributes
    ----------
    line : int
        The first line that is changed, from 1.
    start, end : int
        The bytes of the UTF-8 source that are replaced.
    replacement : str
        What comes in their place.
    """

    line: int
    start: int
    end: int
    replacement: str

    def applied(self, source: bytes) -> bytes:
        """Return the source with this change."""
        return source[: self.start] + self.replacement.encode() + source[self.end :]


def mutations(source: bytes) -> list[Mutation]:
    """Return the mutations of a source, in their order there.

    Few of them may be no Python, or the same program: `is_another_program` tells.

    Examples
    --------
    >>> source = b"def f(a, b=1):\\n    return a < b"
    >>> for mutation in mutations(source):
    ...     print(mutation.applied(source).decode().replace("\\n", ""))
    def f(a, b=2):    return a < b
    def f(a, b=1):    return None
    def f(a, b=1):    return a <= b
    def f(a, b=1):    return a >= b
    """
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found = [Mutation(*place) for place in _Places(source, offsets).of(ast.parse(source))]
    return sorted(found, key=lambda mutation: (mutation.start, mutation.end, mutation.replacement))


def is_another_program(source: bytes, mutation: Mutation) -> bool:
    """Tell whether a mutation leaves Python, and not just other brackets or blanks."""
    try:
        mutated = ast.parse(mutation.applied(source))
    except SyntaxError:
        return False
    return ast.dump(mutated) != ast.dump(ast.parse(source))


class _Places:
    """Walk a tree and say where what could be replaced."""

    def __init__(self, source: bytes, offsets: list[int]):
        self.source = source
        self.offsets = offsets

    def of(self, node: ast.AST) -> Iterator[tuple[int, int, int, str]]:
        if _is_for_people(node):
            return
        yield from getattr(self, f"of_{type(node).__name__}", self.of_other)(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self.of(child)

    def span(self, node: ast.AST) -> tuple[int, int]:
        return self.offsets[node.lineno - 1] + node.col_offset, self.offsets[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def instead_of(self, node: ast.AST, replacement: str) -> tuple[int, int, int, str]:
        return (node.lineno, *self.span(node), replacement)

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[tuple[int, int, int, str]]:
        """Replace an operator, which stands among blanks and brackets of two operands."""
        start, end = self.span(left)[1], self.span(right)[0]
        at = self.source[start:end].find(old.encode())
        if at >= 0:
            yield right.lineno, start + at, start + at + len(old.encode()), new

    def of_other(self, node):
        yield from ()

    def of_Compare(self, node):
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        old = _SYMBOLS[type(operator)]
        for new in COMPARISONS[type(operator)]:
            yield from self.between(left, right, old, new)

    def of_BinOp(self, node):
        if not (_is_text(node.left) or _is_text(node.right)):
            yield from self.between(node.left, node.right, _SYMBOLS[type(node.op)], ARITHMETIC.get(type(node.op), "@"))

    def of_BoolOp(self, node):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield from self.between(node.values[0], node.values[1], old, new)

    def of_UnaryOp(self, node):
        if isinstance(node.op, (ast.Not, ast.USub)):
            yield self.instead_of(node, f"({self.text(node.operand)})")

    def of_Constant(self, node):
        if isinstance(node.value, bool):
            yield self.instead_of(node, str(not node.value))
        elif isinstance(node.value, (int, float)):
            yield self.instead_of(node, repr(node.value + 1))

    def of_If(self, node):
        yield self.instead_of(node.test, f"(not ({self.text(node.test)}))")
        yield self.instead_of(node.test, "False")

    def of_IfExp(self, node):
        yield self.instead_of(node.test, f"(not ({self.text(node.test)}))")

    def of_While(self, node):
        yield self.instead_of(node.test, "False")

    def of_Return(self, node):
        if node.value is not None and not _is_text(node.value):
            yield self.instead_of(node.value, "None")

    def of_Expr(self, node):
        if isinstance(node.value, ast.Call):
            yield self.instead_of(node, "pass")

    def of_Break(self, node):
        yield self.instead_of(node, "continue")

    def of_Continue(self, node):
        yield self.instead_of(node, "break")

    def of_AugAssign(self, node):
        symbol = _SYMBOLS[type(node.op)]
        if not _is_text(node.value):
            yield from self.between(node.target, node.value, f"{symbol}=", f"{ARITHMETIC.get(type(node.op), '@')}=")

    def of_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield self.instead_of(node.func, NAMES[node.func.id])
        commutes = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
        if (
            len(node.args) >= 2
            and not commutes
            and not any(isinstance(argument, ast.Starred) for argument in node.args[:2])
        ):
            first, second = node.args[:2]
            start, end = self.span(first)[0], self.span(second)[1]
            between = self.source[self.span(first)[1] : self.span(second)[0]].decode()
            yield node.lineno, start, end, f"{self.text(second)}{between}{self.text(first)}"
        yield from self.dropped_keywords(node)

    def dropped_keywords(self, node):
        arguments = sorted([*node.args, *node.keywords], key=self.span)
        for before, argument, after in zip([None, *arguments], arguments, [*arguments[1:], None]):
            if not isinstance(argument, ast.keyword) or argument.arg is None or _is_text(argument.value):
                continue
            start, end = self.span(argument)
            if before is not None:
                start = self.span(before)[1]
            elif after is not None:
                end = self.span(after)[0]
            yield argument.lineno, start, end, ""


_SYMBOLS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.MatMult: "@",
}


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def _is_for_people(node: ast.AST) -> bool:
    """Whether a node only makes words for people, or names for a checker of types."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "warn"
    return isinstance(node, ast.Raise) or _is_text(node)


def runs_on_import(source: bytes, line: int) -> bool:
    """Tell whether a line runs when its module is imported, and not when a function of it is called.

    Parameters
    ----------
    source : bytes
        A module of Python.
    line : int
        From 1.

    Returns
    -------
    bool
    """
    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return not any(node.body[0].lineno <= line <= (node.end_lineno or line) for node in functions)
