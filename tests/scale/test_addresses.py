"""Addresses: fetched in order, some at a time, and one kind of error where that fails."""

import io
import sys
import threading

import fsspec
import pytest

from nsfw_model.picture import PictureError
from nsfw_scale import addresses
from nsfw_scale.addresses import fetch, fetched, is_address
from open_nsfw import nsfw_score


@pytest.fixture
def put():
    """Write a file that is in no folder, and give its address."""

    def write(name, content):
        address = f"memory://test_addresses/{name}"
        with fsspec.open(address, "wb") as file:
            file.write(content)
        return address

    yield write
    fsspec.filesystem("memory").rm("/test_addresses", recursive=True)


@pytest.mark.parametrize("text", ["s3://bucket/a.jpg", "https://example.org/?a=b", "simplecache::gs://bucket/a.jpg"])
def test_texts_with_a_protocol_are_addresses(text):
    assert is_address(text)


@pytest.mark.parametrize("name", ["a.jpg", "/a/b.jpg", "C:/a.jpg", "C:\\a.jpg", "a://b.jpg", "", b"s3://bucket/a.jpg"])
def test_names_of_files_are_none(name):
    assert not is_address(name)


def test_a_file_is_read_as_a_whole(put):
    content = bytes(range(256)) * 5000
    assert fetch(put("a.jpg", content)) == content


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(PictureError, match=r"^memory://test_addresses/none\.jpg: no such file$"):
        fetch("memory://test_addresses/none.jpg")


def test_an_unknown_protocol_is_an_error_of_the_picture():
    with pytest.raises(PictureError, match=r"^gopher://a\.jpg: cannot be fetched: Protocol not known: gopher"):
        fetch("gopher://a.jpg")


def test_the_error_that_was_met_is_the_cause():
    with pytest.raises(PictureError) as raised:
        fetch("memory://test_addresses/none.jpg")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(put, monkeypatch):
    monkeypatch.setattr("nsfw_model.picture.MAX_FILE_BYTES", 10)
    assert fetch(put("small.jpg", bytes(10))) == bytes(10)
    with pytest.raises(PictureError, match="large.jpg: is larger than 10 bytes"):
        fetch(put("large.jpg", bytes(11)))


@pytest.mark.parametrize(
    "error, reason",
    [(OSError("a\n  b"), "a b"), (OSError(), "OSError"), (ValueError("x" * 5000), "x" * 300)],
    ids=["lines", "nothing", "much"],
)
def test_why_it_cannot_be_fetched_is_a_line(error, reason, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("fsspec.open", fail)
    with pytest.raises(PictureError, match=f"^s3://a/b.jpg: cannot be fetched: {reason}$"):
        fetch("s3://a/b.jpg")


def test_of_a_file_that_is_too_large_a_byte_too_many_is_read(monkeypatch):
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            asked.append(size)
            return bytes(size)

    asked = []
    monkeypatch.setattr("nsfw_model.picture.MAX_FILE_BYTES", 10)
    monkeypatch.setattr("fsspec.open", lambda address, mode: Endless())
    with pytest.raises(PictureError, match="is larger than 10 bytes"):
        fetch("s3://a/b.jpg")
    assert asked == [11]


def test_a_missing_fsspec_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"^s3://a/b\.jpg: .*pip install 'open-nsfw-theano\[cluster\]'"):
        fetch("s3://a/b.jpg")


def test_what_a_protocol_lacks_stops_everything(monkeypatch):
    """All pictures at that protocol would fail, for a reason that is none of theirs."""

    def lacking(*arguments):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.open", lacking)
    with pytest.raises(ImportError, match=r"^s3://a/b\.jpg: Install s3fs to access S3$"):
        list(fetched(["a.jpg", "s3://a/b.jpg"]))


def test_files_come_in_order_among_other_pictures(put):
    images = ["a.jpg", put("1", b"one"), b"bytes", put("2", b"two"), "memory://test_addresses/none", put("3", b"three")]
    *pictures, last = list(fetched(images, ahead=2))
    assert pictures[:4] == ["a.jpg", b"one", b"bytes", b"two"]
    assert isinstance(pictures[4], PictureError)
    assert last == b"three"


def test_no_more_files_are_taken_than_are_fetched_ahead():
    taken = []
    coming = fetched((taken.append(number) or b"" for number in range(100)), ahead=3)
    next(coming)
    assert len(taken) == 3


def test_files_are_fetched_at_the_same_time(monkeypatch):
    together = threading.Barrier(3, timeout=10)  # breaks, unless three wait for it at once
    monkeypatch.setattr(addresses, "fetch", lambda address: (together.wait(), address)[1])
    assert list(fetched([f"s3://{n}" for n in range(6)], ahead=3)) == [f"s3://{n}" for n in range(6)]


def test_a_service_that_scores_a_text_fetches_nothing(put):
    with pytest.raises(PictureError, match="it is an address: fetch what is there, and give its bytes"):
        nsfw_score(put("a.jpg", b""))
