"""The limits that the documentation promises are those that the code has."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from nsfw_server.limits import Limits, variable

DOCS = Path(__file__).parents[2] / "docs"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def number(text):
    """Return the number that "1,024", "2³¹-1" and "2.5 GiB" begin with."""
    if power := re.match(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)(-1)?", text):
        return 2 ** int(power[1].translate(SUPERSCRIPTS)) - bool(power[2])
    digits, unit = re.match(r"([\d,.]+)(?: (\wiB))?", text).groups()
    return float(digits.replace(",", "")) * UNITS.get(unit, 1)


def rows(page):
    """Return the cells of the tables of a page."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def constants(page):
    """Return a page's constants, each with the module that it is in and the text of its number."""
    module = ""
    for _, default, where, *_ in (cells for cells in rows(page) if len(cells) == 3):
        values = re.split("[;,] ", default)
        for place, name in enumerate(re.findall(r"`([\w.]*\bMAX_\w+|\w+_OF_\w+)`", where)):
            module = name.rpartition(".")[0] or module
            value = values[0] if default.endswith(" each") else values[place]
            yield module, name.rpartition(".")[2], value


@pytest.mark.parametrize(
    ("module", "name", "value"), [each for page in ("security.md", "films.md") for each in constants(page)]
)
def test_a_limit_of_reading_is_what_the_documentation_tells(module, name, value):
    of = importlib.import_module("PIL.Image" if module == "PIL.Image" else module)
    assert getattr(of, name) == number(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for option, default, names, *_ in (cells for cells in rows("service.md") if len(cells) == 3)
        for name, value in zip(re.findall("`OPEN_NSFW_([A-Z_]+)`", names), re.split(", ", default))
    ],
)
def test_a_limit_of_the_service_is_what_the_documentation_tells(name, value):
    defaults = {variable(each.name).removeprefix("OPEN_NSFW_"): each.default for each in dataclasses.fields(Limits)}
    assert defaults[name] == (0 if value == "one for each core" else number(value))
