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


def part(filename="a.gif", data=b"GIF", headers=b""):
    return b'--B\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n%s\r\n%s\r\n' % (
        filename.encode(),
        headers,
        data,
    )


END = b"--B--\r\n"


def refused(chunks, content_type=FORM, **limits):
    with pytest.raises(Problem) as caught:
        uploads(chunks, content_type, **limits)
    return caught.value.kind, caught.value.message


class TestLimits:
    def test_a_body_may_have_as_many_bytes_as_the_limit(self):
        assert uploads([b"12345", b"67890"], "", body_bytes=10) == [Upload(None, b"1234567890")]
        assert refused([b"12345", b"67890", b"1"], "", body_bytes=10) == (
            "too_large",
            "the body has more than 10 bytes",
        )

    def test_what_is_too_large_is_not_admitted(self):
        async def stream():
            yield bytes(10)
            yield bytes(1)

        admitted = []
        with pytest.raises(Problem):
            asyncio.run(read_uploads("", stream(), Limits(body_bytes=10), admitted.append))
        assert admitted == [10]

    @pytest.mark.parametrize("in_form", [False, True])
    def test_a_picture_may_have_as_many_bytes_as_the_limit(self, in_form):
        def sent(size):
            return ([part(data=bytes(size)) + END], FORM) if in_form else ([bytes(size - 1), bytes(1)], "")

        assert [len(it.data) for it in uploads(*sent(10), picture_bytes=10)] == [10]
        assert refused(*sent(11), picture_bytes=10) == ("too_large", "a picture has more than 10 bytes")

    def test_each_picture_has_its_own_bytes(self):
        assert len(uploads([part(data=bytes(10)) * 3 + END], picture_bytes=10)) == 3

    def test_there_may_be_as_many_pictures_as_the_limit(self):
        assert len(uploads([part() * 3 + END], files=3)) == 3
        assert refused([part() * 4 + END], files=3) == ("too_large", "more than 3 pictures")

    def test_there_may_be_twice_as_many_parts(self):
        field = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
        assert len(uploads([part() * 3 + field * 3 + END], files=3)) == 3
        assert refused([field * 7 + END], files=3) == ("too_large", "multipart/form-data: more than 6 parts")

    def test_fields_that_are_no_files_may_be_larger_than_a_picture(self):
        field = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n' % bytes(100)
        assert uploads([field + part() + END], picture_bytes=10) == [Upload("a.gif", b"GIF")]

    @pytest.mark.parametrize("length, taken", [(1, True), (70, True), (71, False)])
    def test_a_boundary_has_1_to_70_characters(self, length, taken):
        """RFC 2046, 5.1.1."""
        boundary = "B" * length
        body = part().replace(b"--B", b"--" + boundary.encode(), 1) + f"--{boundary}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={boundary}"
        if taken:
            assert uploads([body], content_type) == [Upload("a.gif", b"GIF")]
        else:
            assert refused([body], content_type) == (
                "bad_request",
                "multipart/form-data: got no boundary of 1 to 70 characters",
            )

    @pytest.mark.parametrize("count, taken", [(15, True), (16, False)])
    def test_a_part_has_so_many_headers(self, count, taken):
        body = [part(headers=b"X: y\r\n" * count) + END]
        assert uploads(body) if taken else refused(body)[0] == "bad_request"

    def test_a_name_is_cut(self):
        [upload] = uploads([part("n" * 300) + END])
        assert upload.name == "n" * 255


class TestForms:
    def test_names_that_are_not_utf8_are_readable(self):
        [upload] = uploads([part().replace(b"a.gif", b"caf\xe9.gif") + END])
        assert upload.name == "caf\ufffd.gif"

    def test_a_file_may_have_an_empty_name_and_no_bytes(self):
        assert uploads([part("", b"") + END]) == [Upload("", b"")]

    def test_headers_are_known_by_any_case(self):
        body = part().replace(b"Content-Disposition", b"CONTENT-disposition")
        assert uploads([body + END]) == [Upload("a.gif", b"GIF")]

    def test_a_part_without_a_disposition_has_not_that_of_the_last_one(self):
        assert uploads([part() + b"--B\r\nX: y\r\n\r\nGIF\r\n" + END]) == [Upload("a.gif", b"GIF")]

    def test_what_is_behind_the_end_is_not_read(self):
        assert uploads([part() + END, part(), b"--nothing--"]) == [Upload("a.gif", b"GIF")]

    @pytest.mark.parametrize(
        "body, message",
        [
            (part(), "multipart/form-data: ends before its last boundary"),
            (b"", "multipart/form-data: ends before its last boundary"),
            (
                b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' + END,
                "multipart/form-data: got no part with a file's name, expected a picture",
            ),
        ],
    )
    def test_a_form_without_an_end_or_a_picture_is_refused(self, body, message):
        assert refused([body]) == ("bad_request", message)

    def test_an_empty_body_is_refused(self):
        assert refused([], "image/gif") == (
            "bad_request",
            "the body is empty, expected a picture, or multipart/form-data with pictures",
        )
