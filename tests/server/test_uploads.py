"""Bodies of requests, whole and torn."""

import asyncio

import pytest

pytest.importorskip("python_multipart")

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem
from nsfw_server.uploads import Upload, read_uploads

FORM = "multipart/form-data; boundary=B"
BODY = (
    b'--B\r\nContent-Disposition: form-data; name="comment"\r\n\r\nunsafe?\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.gif"\r\nContent-Type: image/gif\r\n\r\n'
    b"GIF\r\n\x00\r\n"
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="b.gif"\r\n\r\n--B\r\n--B--\r\n'
)
PICTURES = [Upload("a.gif", b"GIF\r\n\x00"), Upload("b.gif", b"--B")]


def uploads(chunks, content_type=FORM, **limits):
    async def stream():
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_uploads(content_type, stream(), Limits(**limits)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_pictures_are_the_same_however_the_body_is_cut(size):
    assert uploads(BODY[start : start + size] for start in range(0, len(BODY), size)) == PICTURES


def test_a_body_that_ends_anywhere_before_its_last_boundary_is_refused():
    for end in range(len(BODY) - 2):
        with pytest.raises(Problem) as caught:
            uploads([BODY[:end]])
        assert caught.value.status == 400


def test_bytes_that_are_changed_give_pictures_or_a_problem_and_nothing_else():
    for place in range(len(BODY)):
        for byte in b"\x00\r\n-B\xff":
            try:
                assert uploads([BODY[:place] + bytes([byte]) + BODY[place + 1 :]])
            except Problem as problem:
                assert problem.status in (400, 413)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'B' * 71}"],
)
def test_a_form_without_a_boundary_is_refused(content_type):
    with pytest.raises(Problem, match="boundary"):
        uploads([BODY], content_type)


@pytest.mark.parametrize("content_type", ["", "image/gif", ";;=", "multipart", "\xff", "multipart/mixed; boundary=B"])
def test_any_other_type_is_that_of_a_picture(content_type):
    assert uploads([b"GIF", b"89a"], content_type) == [Upload(None, b"GIF89a")]


def test_headers_of_a_part_are_counted():
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(100))
    with pytest.raises(Problem, match="eader"):
        uploads([b"--B\r\n" + many + b"\r\n\r\n--B--\r\n"])
    with pytest.raises(Problem, match="eader"):
        uploads([b"--B\r\nX: " + b"x" * 10**6])


def test_parts_without_a_file_are_counted_too():
    part = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
    with pytest.raises(Problem, match="parts"):
        uploads([part * 9 + b"--B--\r\n"], files=4)


def test_bytes_are_admitted_before_they_are_kept():
    async def stream():
        yield b"GIF"
        yield b"89a"

    admitted = []
    asyncio.run(read_uploads("", stream(), Limits(), admitted.append))
    assert admitted == [3, 3]
