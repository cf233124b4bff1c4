"""What is taken for a picture, what it is called, and the one error for whatever goes wrong."""

import io
import os
import re
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from made_pictures import encoded
from PIL import Image

from nsfw_model import picture
from nsfw_model.picture import (
    FORMATS,
    NotAPictureError,
    PictureError,
    check_kind,
    check_pixels,
    explained,
    open_picture,
    opened_file,
    picture_name,
    read_file,
    read_picture,
    shortened,
    to_rgb,
)

PNG = encoded(Image.new("RGB", (2, 3), "teal"), "PNG")
FORMAT_NAMES = "AVIF, BMP, GIF, ICO, JPEG, JPEG2000, MPO, PCX, PNG, PPM, TGA, TIFF, WEBP, HEIF, JXL"
NOT_SUPPORTED = f"not a picture of a supported format ({FORMAT_NAMES})"


def refuse(img, message, error=PictureError):
    with pytest.raises(error, match=f"^{re.escape(message)}$") as caught:
        read_picture(img)
    assert type(caught.value) is error
    return caught.value


class Stream:
    """What can be read once, and not be set back."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size=-1):
        return self._file.read(size)


class TestExplained:
    """Every error is one, names the picture, and keeps its cause."""

    @pytest.mark.parametrize(
        "error, message",
        [
            (FileNotFoundError(2, "No such file"), "a.jpg: no such file"),
            (IsADirectoryError(21, "Is a directory"), "a.jpg: is a folder, not a picture"),
            (MemoryError(), "a.jpg: cannot be read as a picture: there is not enough memory for it"),
            (
                PermissionError(13, "Permission denied", "/secret/a"),
                "a.jpg: cannot be read as a picture: Permission denied",
            ),
            (OSError("image file is truncated"), "a.jpg: cannot be read as a picture: image file is truncated"),
            (ValueError("two\n\t lines "), "a.jpg: cannot be read as a picture: two lines"),
            (SyntaxError(""), "a.jpg: cannot be read as a picture: SyntaxError"),
            (ValueError(" \n"), "a.jpg: cannot be read as a picture: ValueError"),
            (ValueError("x" * 300), "a.jpg: cannot be read as a picture: " + "x" * 300),
            (ValueError("x" * 301), "a.jpg: cannot be read as a picture: " + "x" * 300),
            (Image.DecompressionBombWarning("large"), "a.jpg: cannot be read as a picture: large"),
            (Image.DecompressionBombError("larger"), "a.jpg: cannot be read as a picture: larger"),
        ],
    )
    def test_errors_are_explained(self, error, message):
        with pytest.raises(PictureError, match=f"^{re.escape(message)}$") as caught, explained("a.jpg"):
            raise error
        assert type(caught.value) is PictureError and caught.value.__cause__ is error

    @pytest.mark.parametrize("error", [PictureError("b.jpg: empty"), NotAPictureError("b.pdf: a PDF", "pdf")])
    def test_what_is_explained_already_stays_so(self, error):
        with pytest.raises(PictureError) as caught, explained("a.jpg"):
            raise error
        assert caught.value is error

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, UserWarning])
    def test_what_is_none_goes_on(self, error):
        expected = PictureError if error is UserWarning else error
        with pytest.raises(expected), explained("a.jpg"):
            raise error

    @pytest.mark.parametrize(
        "name, hint",
        [
            ("s3://bucket/a.jpg", "; it is an address: fetch what is there, and give its bytes"),
            ("HTTP2+x.y-z://a", "; it is an address: fetch what is there, and give its bytes"),
            ("c://a.jpg", ""),
            ("a s3://b", ""),
            ("1s://b", ""),
            ("%PDF-1.7", "; it looks like a PDF"),
            ("A" * 60 + "... (400 characters)", "; it looks like base64; base64.b64decode gives the file"),
            ("A" * 59 + "-... (400 characters)", ""),
            ("A" * 59 + "... (400 characters)", ""),
            ("GIF89a", ""),
            ("\ud800", ""),
        ],
    )
    def test_a_name_that_is_none_is_called_what_it_looks_like(self, name, hint):
        for error, told in (FileNotFoundError, "no such file"), (ValueError, "cannot be read as a picture: ValueError"):
            with pytest.raises(PictureError) as caught, explained(name):
                raise error
            assert str(caught.value) == f"{name}: {told}{hint}"


class TestNames:
    @pytest.mark.parametrize("length", [1, 299, 300])
    def test_short_texts_are_whole(self, length):
        assert shortened("a" * length) == "a" * length
        assert shortened("a" * length, length) == "a" * length

    def test_of_long_texts_a_fifth_of_what_may_be_shown_is(self):
        assert shortened("a" * 60 + "b" * 241) == "a" * 60 + "... (301 characters)"
        assert shortened("abcdefghijk", 10) == "ab... (11 characters)"

    @pytest.mark.parametrize(
        "img, name",
        [
            ("a.jpg", "a.jpg"),
            (Path("folder/a.jpg"), "folder/a.jpg"),
            (Path("."), "."),
            ("", "the empty name"),
            ("a" * 301, "a" * 60 + "... (301 characters)"),
            (b"abc", "<3 bytes>"),
            (bytearray(5), "<5 bytes>"),
            (np.zeros((2, 3), np.int16), "<array int16 (2, 3)>"),
            (io.BytesIO(), "<BytesIO>"),
            (Image.new("L", (1, 1)), "<Image>"),
        ],
    )
    def test_are_those_of_files_or_of_kinds(self, img, name):
        assert picture_name(img) == name

    def test_of_open_files_are_those_they_were_opened_by(self, tmp_path):
        (tmp_path / "a.png").write_bytes(PNG)
        with open(tmp_path / "a.png", "rb") as file:
            assert picture_name(file) == str(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as opened:
            assert picture_name(opened) == str(tmp_path / "a.png")
        with tempfile.TemporaryFile() as file:  # whose name is a number
            assert picture_name(file) == f"<{type(file).__name__}>"

    def test_a_long_name_of_a_type_is_shortened(self):
        fields = np.dtype([(f"field{number}", "u1") for number in range(99)])
        assert picture_name(np.zeros(2, fields)) == f"<array {shortened(str(fields))} (2,)>"


class TestKinds:
    @pytest.mark.parametrize(
        "img", ["a", Path("a"), b"", bytearray(), np.zeros(3), Image.new("L", (1, 1)), io.BytesIO(), Stream(b"")]
    )
    def test_that_are_taken(self, img):
        check_kind(img)

    @pytest.mark.parametrize("img", [None, 5, ["a.jpg"], memoryview(b""), object()])
    def test_others_are_named(self, img):
        message = f"expected a path, bytes, a binary file, an array or a PIL image, got {type(img).__name__}"
        for function in check_kind, open_picture, read_picture:
            with pytest.raises(TypeError, match=f"^{message}$"):
                function(img)


class TestOpening:
    def test_a_picture_that_is_given_is_copied_or_converted_and_stays(self):
        given = Image.new("RGB", (2, 3), "teal")
        read = read_picture(given)
        assert read is not given and read.tobytes() == given.tobytes()
        assert open_picture(given) is given
        with Image.open(io.BytesIO(PNG)) as lazy:
            assert open_picture(lazy) is lazy and lazy.im is not None

    def test_a_file_is_read_from_its_beginning_and_stays_open(self):
        file = io.BytesIO(b"abcdef")
        file.seek(4)
        with opened_file(file) as opened:
            assert opened is file and opened.read() == b"abcdef"
        assert not file.closed

    def test_a_name_is_opened_and_closed(self, tmp_path):
        (tmp_path / "a").write_bytes(b"abc")
        for name in tmp_path / "a", str(tmp_path / "a"):
            with opened_file(name) as opened:
                assert opened.read() == b"abc"
            assert opened.closed

    def test_a_name_that_messages_shorten_is_opened_in_full(self, tmp_path):
        folder = tmp_path.joinpath(*["a" * 100] * 4)
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(PNG)
        assert read_picture(folder / "a.png").size == (2, 3)
        refuse(folder, f"{shortened(str(folder))}: is a folder, not a picture")

    @pytest.mark.parametrize("data", [b"abc", bytearray(b"abc")])
    def test_bytes_are_a_file(self, data):
        with opened_file(data) as opened:
            assert opened.read() == b"abc"

    def test_what_cannot_be_set_back_is_read_once(self):
        assert read_file(Stream(PNG)) == PNG
        assert read_picture(Stream(PNG)).size == (2, 3)
        with pytest.raises(NotAPictureError, match="^<Stream>: not a picture .*: it looks like a PDF$"):
            read_file(Stream(b"%PDF-1.7"))

    def test_a_folder_or_pipe_is_none(self, tmp_path):
        error = refuse(tmp_path, f"{tmp_path}: is a folder, not a picture")
        assert isinstance(error.__cause__, IsADirectoryError)
        os.mkfifo(tmp_path / "pipe")
        refuse(tmp_path / "pipe", f"{tmp_path / 'pipe'}: is a pipe or a device, not a file")

    def test_a_file_may_have_half_a_gigabyte(self, monkeypatch):
        assert picture.MAX_FILE_BYTES == 512 << 20
        monkeypatch.setattr(picture, "MAX_FILE_BYTES", len(PNG))
        for img in PNG, io.BytesIO(PNG), Stream(PNG):
            assert read_file(img) == PNG
        for img in PNG + b".", io.BytesIO(PNG + b"."), Stream(PNG + b"."):
            with pytest.raises(PictureError, match=f": is larger than {len(PNG)} bytes$"):
                read_file(img)

    def test_an_empty_one_is_a_broken_one_if_its_name_says_so(self, tmp_path):
        for name, error in ("a.jpg", PictureError), ("a.txt", NotAPictureError):
            (tmp_path / name).touch()
            refuse(tmp_path / name, f"{tmp_path / name}: is empty", error)
        assert refuse(b"", "<0 bytes>: is empty", NotAPictureError).kind == "empty"
        assert NotAPictureError("what").kind == "unknown"

    def test_one_that_is_opened_as_text_is_told(self):
        refuse(io.StringIO("text"), "<StringIO>: its read() gives str, expected bytes: open it as 'rb'")


class TestOthers:
    @pytest.mark.parametrize(
        "data",
        [
            b"II*\0" + struct.pack("<I16x", 8),
            b"MM\0*" + struct.pack(">I16x", 8),
            b"II+\0" + struct.pack("<HHQ16x", 8, 0, 16),
            b"MM\0+" + struct.pack(">HHQ16x", 8, 0, 16),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_a_tiff_that_pillow_does_not_read(self, data):
        refuse(
            data,
            f"<{len(data)} bytes>: a TIFF of a kind that Pillow does not read, such as samples of floating point or "
            "more than 4 channels: convert it to 8 bits a channel first",
        )

    def test_a_picture_of_another_format_is_no_other_kind_of_file(self):
        refuse(b"8BPS" + bytes(20), f"<24 bytes>: {NOT_SUPPORTED}, or damaged: it looks like a Photoshop document")
        refuse(b"GIF89a", f"<6 bytes>: {NOT_SUPPORTED}, or damaged: it looks like a GIF")

    def test_a_text_and_what_is_unknown(self, tmp_path):
        kinds = (b"hello", "it looks like text", "text"), (b"\1\2\3\4\5", None, "unknown")
        for data, told, kind in kinds:
            message = f"{NOT_SUPPORTED}: {told}" if told else f"{NOT_SUPPORTED}, or damaged"
            assert refuse(data, f"<5 bytes>: {message}", NotAPictureError).kind == kind
            (tmp_path / "a.webp").write_bytes(data)
            refuse(tmp_path / "a.webp", f"{tmp_path / 'a.webp'}: {message}")

    def test_a_film_is_told_of_what_scores_it_and_nothing_else_is(self):
        message = f"<9 bytes>: {NOT_SUPPORTED}: it looks like a film (FLV), which frame_scores and frames='max' score"
        assert refuse(b"FLV\1\5\0\0\0\x09", message, NotAPictureError).kind == "flv"
        refuse(b"fLaC\0\0\0\x22.", f"<9 bytes>: {NOT_SUPPORTED}: it looks like a sound (FLAC)", NotAPictureError)

    def test_a_raw_picture_is_one(self):
        message = "a camera's raw picture (RW2): export it as JPEG first"
        refuse(b"IIU\0" + bytes(20), f"<24 bytes>: {message}")

    def test_only_the_decoder_of_what_a_file_is_looks_at_it(self, monkeypatch):
        asked = []
        original = Image.open
        monkeypatch.setattr(
            Image, "open", lambda *args, **options: asked.append(options["formats"]) or original(*args, **options)
        )
        read_picture(PNG)
        with pytest.raises(PictureError):
            read_picture(b"\1\2\3\4\5")
        assert asked[0] == ["PNG"]
        there = [name for name in FORMATS if name in Image.OPEN]
        assert asked[1] == there and set(FORMATS) - set(there) <= {"AVIF", "MPO"}  # one is a JPEG at first


class TestPixels:
    @pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
    def test_none_are_no_picture(self, size):
        with pytest.raises(PictureError, match=f"^a: has no pixels \\({size[0]}x{size[1]}\\)$"):
            check_pixels(*size, "a")
        monochrome = Image.new("1", size)
        refuse(monochrome, f"<Image>: has no pixels ({size[0]}x{size[1]})")

    def test_are_limited(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6)
        check_pixels(2, 3, "a")
        message = "2x4 is 8 pixels, more than PIL.Image.MAX_IMAGE_PIXELS = 6"
        with pytest.raises(PictureError, match=f"^a: {message}$"):
            check_pixels(2, 4, "a")
        refuse(Image.new("RGB", (2, 4)), f"<Image>: {message}")
        refuse(np.zeros((4, 2, 3), np.uint8), f"<array uint8 (4, 2, 3)>: {message}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            data = encoded(Image.new("RGB", (2, 4)), "PNG")
            refuse(data, f"<{len(data)} bytes>: {message}")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        check_pixels(1 << 30, 1 << 30, "a")


class TestModes:
    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
    def test_of_16_bits_keep_their_high_byte(self, mode):
        values = [0, 255, 256, 0x1234, 0x7FFF, 0x80FF, 0xFFFF]
        data = np.array(values, ">u2" if mode.endswith("B") else "<u2").tobytes()
        read = to_rgb(Image.frombytes(mode, (len(values), 1), data), "a")
        assert read.mode == "RGB"
        assert np.asarray(read)[0].tolist() == [[value // 256] * 3 for value in values]

    @pytest.mark.parametrize("format, readable", [("PNG", True), ("PPM", True), ("TIFF", False), (None, False)])
    def test_of_32_bits_are_16_where_pillow_has_no_other(self, format, readable):
        deep = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.int32))
        deep.format = format
        if readable:
            assert np.asarray(to_rgb(deep, "a"))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
        else:
            with pytest.raises(PictureError, match="^a: mode I has no defined white; convert the picture to 8 bits a"):
                to_rgb(deep, "a")

    def test_of_floats_have_no_white_in_any_format(self):
        floats = Image.new("F", (1, 1))
        floats.format = "PNG"
        with pytest.raises(PictureError, match="^a: mode F has no defined white; convert the picture to 8 bits a"):
            to_rgb(floats, "a")

    def test_a_picture_of_rgb_is_itself(self):
        rgb = Image.new("RGB", (2, 2), "teal")
        assert to_rgb(rgb, "a") is rgb


class TestArrays:
    @pytest.mark.parametrize(
        "array, hint",
        [
            (np.zeros((3, 20, 30), np.uint8), "its channels come first (array.transpose(1, 2, 0))"),
            (np.zeros((3, 20, 4), np.uint8), "its channels come first (array.transpose(1, 2, 0))"),
            (np.zeros((3, 20, 1), np.uint8), "its channels come first (array.transpose(1, 2, 0))"),
            (np.zeros((20, 30, 4), np.uint8), "it has an alpha channel (array[:, :, :3])"),
            (np.zeros((20, 30), np.uint8), "it is grey (numpy.dstack([array] * 3))"),
            (np.zeros((20, 30, 1), np.uint8), "it is grey (numpy.dstack([array] * 3))"),
            (np.zeros((2, 20, 30, 3), np.uint8), "it is a batch (nsfw_scores takes several pictures)"),
            (
                np.zeros((3, 30, 3), np.float32),
                "its values are floats (numpy.rint(array * 255).astype(numpy.uint8), if they are in 0..1)",
            ),
            (
                np.zeros((20, 30, 3), np.uint16),
                "its values are uint16 (array.astype(numpy.uint8), if they are in 0..255)",
            ),
            (np.zeros((20, 30, 3), np.int8), "its values are int8 (array.astype(numpy.uint8), if they are in 0..255)"),
            (np.zeros((20, 30, 2), np.uint8), None),
            (np.zeros((20, 30, 5), np.uint8), None),
            (np.zeros((4, 20, 30), np.uint8), None),
            (np.zeros(30, np.uint8), None),
            (np.zeros((20, 30, 3), bool), None),
            (np.zeros((20, 30, 3), complex), None),
        ],
    )
    def test_of_another_layout_are_called_what_they_look_like(self, array, hint):
        expected = "expected an array of dtype uint8 and shape (height, width, 3)"
        refuse(array, f"{picture_name(array)}: {expected}{f'; it looks as if {hint}' if hint else ''}")

    def test_may_be_two_things_at_once(self):
        with pytest.raises(PictureError, match=r"as if it is grey \(.*\) and its values are floats \(.*\)$"):
            read_picture(np.zeros((20, 30), np.float32))

    @pytest.mark.parametrize("shape", [(1, 1, 3), (3, 3, 3), (3, 20, 3), (20, 3, 3)])
    def test_of_three_channels_are_read(self, shape):
        pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        np.testing.assert_array_equal(np.asarray(read_picture(pixels)), pixels)
