"""What Python's compiler warns of in Theano and Lasagne is corrected before it is compiled, and means the same."""

import ast
import warnings
from importlib.util import decode_source, find_spec
from pathlib import Path

import pytest
from fresh_python import fresh_python

import theano_compat  # noqa: F401  # finds Theano and Lasagne where they are not installed
from theano_compat.sources import compare_literals_by_value, correct, double_invalid_escapes

FOLDERS = [Path(find_spec(package).origin).parent for package in ("theano", "lasagne")]


@pytest.mark.parametrize(
    "invalid, valid",
    [
        (r"'\s'", r"'\\s'"),
        (r"'\\s \\\s'", r"'\\s \\\\s'"),
        (r"u'\d' + B'\d' + r'\d' + Rb'\d'", r"u'\\d' + B'\\d' + r'\d' + Rb'\d'"),
        (r"'\a\b\f\n\r\t\v\'\"\0\17\x1f\N{DIGIT ONE}\u0031\U00000031'", None),
        (r"b'\x1f\N{DIGIT ONE}\u0031\U00000031\8'", r"b'\x1f\\N{DIGIT ONE}\\u0031\\U00000031\\8'"),
        ("'''one\\\ntwo\\ three\n\\four'''", "'''one\\\ntwo\\\\ three\n\\four'''"),
        (r"'äöü', '😀\m'; é = '\p'  # not \this", r"'äöü', '😀\\m'; é = '\\p'  # not \this"),
        ("if x:\n    y = '\\_'\n\nz = ('a'\n     '\\:')\n", "if x:\n    y = '\\\\_'\n\nz = ('a'\n     '\\\\:')\n"),
    ],
)
def test_a_backslash_that_begins_no_escape_sequence_is_doubled(invalid, valid):
    assert double_invalid_escapes(invalid) == (invalid if valid is None else valid)


@pytest.mark.parametrize(
    "identity, equality",
    [
        ("x is 'auto'", "x == 'auto'"),
        ("x is not 1.5", "x !=  1.5"),
        ("'is' is x", "'is' == x"),
        ("a is None is not b'c' is d", "a is None !=  b'c' == d"),
        ("'é' is é is\\\n not  0 and is_not is x", "'é' == é !=\\\n   0 and is_not is x"),
        ("((x) is  # this is it\n (1))", "((x) ==  # this is it\n (1))"),
        ("x is None or x is not True or x is ... or x is y", None),
        ("x is 'a' + y or x is (1, 2)", None),
    ],
)
def test_literals_are_compared_by_value(identity, equality):
    assert compare_literals_by_value(identity) == (identity if equality is None else equality)


@pytest.mark.parametrize("source", ["x = '\\s", "x is '\\s' ]", "  x = 1\n y = '\\s'"])
def test_what_is_no_python_is_left_to_the_compiler(source):
    assert correct(source) == (source, [])


class ByValue(ast.NodeTransformer):
    """Compares with literals by value, as the compiler's warning advises."""

    def visit_Compare(self, node):
        self.generic_visit(node)
        operands = [node.left, *node.comparators]
        for place, operator in enumerate(node.ops):
            literals = [
                operand
                for operand in operands[place : place + 2]
                if isinstance(operand, ast.Constant) and not isinstance(operand.value, bool | None | type(...))
            ]
            if literals and isinstance(operator, ast.Is | ast.IsNot):
                node.ops[place] = ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()
        return node


def complaints(source, path):
    """What the compiler says of a source text."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        compile(source, path, "exec", dont_inherit=True)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_compiles_without_a_warning_and_means_the_same(folder):
    corrected = []
    for path in sorted(set(folder.rglob("*.py")) - set(folder.rglob("tests/*.py"))):
        source = decode_source(path.read_bytes())
        if complaints(source, path):
            text, corrections = correct(source)
            assert corrections and not complaints(text, path), path
            assert text.count("\n") == source.count("\n")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert ast.dump(ast.parse(text)) == ast.dump(ByValue().visit(ast.parse(source))), path
            corrected.append(path.relative_to(folder).as_posix())
    expected = {"theano": "tensor/slinalg.py", "lasagne": "nonlinearities.py"}
    assert expected[folder.name] in corrected


PART = r"""
"Docstring of \sigma."
shape = "".join(["au", "to"])
values = [shape is "auto", shape is not "auto", shape is None]
"""

# A Python of the future that refuses what today's Python warns of
IMPORTED = """
import builtins, warnings

def refusing(source, path, *arguments, compile=builtins.compile, **options):
    with warnings.catch_warnings():
        if str(path).endswith("part.py"):
            warnings.simplefilter("error")
        return compile(source, path, *arguments, **options)

builtins.compile = refusing
import theano_compat
from theano import part

print(part.__doc__, *part.values)
print(*(name for name, _ in theano_compat.applied_repairs() if name != "put_back_numpy_names"))
"""


def test_a_module_is_corrected_while_it_is_compiled_and_not_where_its_bytecode_is_cached(tmp_path):
    package = tmp_path / "theano"
    (package / "gof").mkdir(parents=True)  # by which Theano 1.0.5 is known
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(PART)
    meaning = r"Docstring of \sigma. True False False"
    for corrections in ("double_invalid_escapes compare_literals_by_value", ""):
        assert fresh_python(
            IMPORTED, path=[tmp_path], PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=str(tmp_path / "bytecode")
        ).stdout.splitlines() == [meaning, corrections]
    assert (package / "part.py").read_text() == PART
