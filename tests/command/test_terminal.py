"""Text of strangers on a terminal: seen, and never obeyed."""

import io
import sys

import pytest

from nsfw_command.terminal import complain, encodable, printable, visible


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a b.jpg", "a b.jpg"),
        ("é 図 🏳", "é 図 🏳"),
        ("\U0001f3f3\u200d\U0001f308", "\U0001f3f3\u200d\U0001f308"),  # a joiner, within a flag
        ("\u200c", "\u200c"),  # the other one, as in Persian
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[2J\x07\x7f\x85", r"\x1b[2J\x07\x7f\x85"),
        ("\u202e\u2066\u200b\u2028", r"\u202e\u2066\u200b\u2028"),
        ("\xa0", r"\xa0"),
        ("\udce9", r"\udce9"),
    ],
)
def test_what_is_not_seen_or_moves_something_is_an_escape(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    "encoding, errors, text, shown",
    [
        ("utf-8", "strict", "é\n図", "é\n図"),
        ("utf-8", "strict", "caf\udce9", r"caf\udce9"),
        ("ascii", "strict", "é図", r"\xe9\u56f3"),
        ("latin-1", "strict", "é図", r"é\u56f3"),
        ("ascii", "replace", "é", "é"),  # which the stream does by itself
        ("utf-8", "surrogateescape", "caf\udce9", "caf\udce9"),
    ],
)
def test_what_standard_output_cannot_encode_is_an_escape(encoding, errors, text, shown, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding, errors))
    assert encodable(text) == shown


def test_a_stream_that_does_not_say_its_encoding_has_utf8(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert encodable("é\udce9") == r"é\udce9"


def test_both_are_done_for_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert printable("é\n\u202e") == r"\xe9\n\u202e"


def test_a_complaint_is_a_line_on_standard_error(capsys):
    complain(ValueError("a\nb"))
    complain("c", "open-nsfw evolve")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "open-nsfw: a\\nb\nopen-nsfw evolve: c\n")
