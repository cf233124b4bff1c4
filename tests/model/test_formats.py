"""Formats are found by content, each is read whole or refused, and what is no picture is no broken one."""

import io
import pickle
import struct
import sys

import numpy as np
import pytest
from made_pictures import encoded, tiff_entries
from PIL import Image, TiffImagePlugin

from nsfw_model.camera_raw import raw_format
from nsfw_model.integrity import DamagedError
from nsfw_model.jpeg_xl import JpegXlHeader, jpeg_xl_header
from nsfw_model.picture import FORMATS, NotAPictureError, PictureError, read_picture
from nsfw_model.signatures import BEGINNING, PICTURE_EXTENSIONS, is_text

SIZE = WIDTH, HEIGHT = 150, 100
PLUGINS = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}


@pytest.fixture(scope="module")
def photo():
    """A photograph, small."""
    return Image.open("img/coffee.jpg").convert("RGB").resize(SIZE)


def made(picture, format, **options):
    """A file of a format, some of which need a plugin."""
    if format in PLUGINS:
        plugin = pytest.importorskip(PLUGINS[format])
        if format == "HEIF":
            plugin.register_heif_opener()
    return encoded(picture, format, **options)


def refuse(img, message, error=PictureError):
    with pytest.raises(error, match=message) as caught:
        read_picture(img)
    assert type(caught.value) is error
    return caught.value


@pytest.mark.parametrize("format", ["AVIF", "HEIF", "JXL", "MPO"])
class TestNewerFormats:
    def test_pixels_are_those_that_the_format_keeps(self, photo, format):
        read = read_picture(made(photo, format, quality=90))
        difference = np.asarray(read, np.int16) - np.asarray(photo, np.int16)
        assert read.size == SIZE and np.abs(difference).mean() < 4

    def test_the_name_of_the_file_does_not_matter(self, photo, format, tmp_path):
        data = made(photo, format)
        (tmp_path / "a.txt").write_bytes(data)
        assert read_picture(tmp_path / "a.txt").tobytes() == read_picture(data).tobytes()

    def test_one_that_is_cut_anywhere_is_refused(self, photo, format):
        whole = made(photo, format)
        for twentieth in range(1, 20):
            refuse(whole[: len(whole) * twentieth // 20], "cannot be read as a picture|or damaged: it looks like")

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_pixels_are_limited(self, photo, format, monkeypatch):
        data = made(photo, format)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
        refuse(data, f"{WIDTH}x{HEIGHT} is 15000 pixels, more than PIL.Image.MAX_IMAGE_PIXELS = 14999")


def test_pictures_behind_the_first_of_an_mpo_are_not_looked_at(photo):
    white = Image.new("RGB", SIZE, "white")
    both = encoded(photo, "MPO", save_all=True, append_images=[white])
    first = read_picture(encoded(photo, "MPO"))
    assert read_picture(both).tobytes() == first.tobytes()
    second = both.rindex(b"\xff\xd8")
    assert read_picture(both[: second + 50]).tobytes() == first.tobytes()


def test_an_mpo_whose_first_picture_ends_early_is_refused(photo):
    both = encoded(photo, "MPO", save_all=True, append_images=[photo])
    scan, second = both.index(b"\xff\xda"), both.rindex(b"\xff\xd8")
    cut = both[: (scan + second) // 2] + b"\xff\xd9"
    refuse(cut + bytes(second - len(cut)) + both[second:], "truncated: got less data than the picture has blocks")


@pytest.mark.parametrize("format, package", [("HEIF", "pillow-heif"), ("JXL", "pillow-jxl-plugin")])
def test_a_plugin_that_is_missing_is_asked_for(photo, format, package, monkeypatch):
    data = made(photo, format)
    monkeypatch.setitem(sys.modules, PLUGINS[format], None)
    refuse(data, rf"a.*picture, which {package} reads: pip install 'open-nsfw-theano\[formats\]'")


@pytest.mark.parametrize("format", ["AVIF", "HEIF", "JPEG"])
def test_orientation_is_not_applied(photo, format):
    orientation = Image.Exif()
    orientation[0x0112] = 6
    assert read_picture(made(photo, format, exif=orientation)).size == SIZE


class TestJpegXlHeader:
    @pytest.mark.parametrize("size", [(8, 8), (16, 9), (123, 45), (300, 200), (2, 3000), (1200, 10)])
    @pytest.mark.parametrize("use_container", [False, True])
    def test_sizes_are_those_that_are_decoded(self, size, use_container):
        data = made(Image.new("RGB", size), "JXL", use_container=use_container)
        assert jpeg_xl_header(data) == (*size, False)

    def test_giants_are_refused_before_they_are_decoded(self):
        # Not small; 30 bits of height - 1; no ratio; 30 bits of width - 1
        bits = 0b11 << 1 | (1 << 30) - 1 << 3 | 0b11 << 36 | (1 << 30) - 1 << 38
        refuse(b"\xff\x0a" + bits.to_bytes(9, "little") + bytes(60), "1073741824x1073741824 is .* pixels, more than")

    def test_an_animation_is_refused(self):
        # 8x8; not all defaults; extra fields; orientation 1; no intrinsic size; no preview; an animation
        bits = 0b1 | 0 << 1 | 1 << 6 | 0 << 9 | 1 << 10 | 0 << 11 | 0 << 14 | 0 << 15 | 1 << 16
        data = b"\xff\x0a" + bits.to_bytes(4, "little") + bytes(60)
        assert jpeg_xl_header(data) == JpegXlHeader(8, 8, True)
        refuse(data, "an animated JPEG XL, of which pillow-jxl-plugin cannot tell the frames")

    @pytest.mark.parametrize(
        "data", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)]
    )
    def test_one_that_ends_early_is_refused(self, data):
        with pytest.raises(DamagedError, match="truncated"):
            jpeg_xl_header(data)


class TestRaw:
    """Pillow reads many of these files, as the preview in them."""

    def tiff(self, photo, **tags):
        directory = TiffImagePlugin.ImageFileDirectory_v2()
        for name, (kind, value) in tags.items():
            tag = {"subfile": 254, "make": 271, "directories": 330, "dng": 50706}[name]
            directory[tag], directory.tagtype[tag] = value, kind
        return encoded(photo, "TIFF", tiffinfo=directory)

    @pytest.mark.parametrize(
        "make, format", [("NIKON CORPORATION", "NEF"), ("SONY", "ARW"), ("Canon", "CR2"), ("Phase One", "raw")]
    )
    def test_a_preview_of_another_picture_is_called_by_the_name_of_its_maker(self, photo, make, format):
        data = self.tiff(photo, subfile=(4, 1), make=(2, make), directories=(4, 8))
        refuse(data, rf"a camera's raw picture \({format}\): export it as JPEG first")

    def test_dng_has_a_tag_of_its_own(self, photo):
        refuse(self.tiff(photo, dng=(1, b"\1\4\0\0")), r"a camera's raw picture \(DNG\): export it as JPEG first")

    def test_compressions_of_cameras_are_recognised(self, photo):
        data = bytearray(self.tiff(photo, make=(2, "NIKON CORPORATION")))
        struct.pack_into("<H", data, tiff_entries(data)[259] + 8, 34713)
        refuse(bytes(data), r"a camera's raw picture \(NEF\)")

    @pytest.mark.parametrize(
        "tags",
        [
            {"make": (2, "NIKON CORPORATION")},
            {"subfile": (4, 0), "make": (2, "EPSON"), "directories": (4, 8)},
            {"subfile": (4, 1), "make": (2, "EPSON")},
        ],
    )
    def test_what_scanners_write_is_no_raw_picture(self, photo, tags):
        assert read_picture(self.tiff(photo, **tags)).tobytes() == photo.tobytes()

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_bytes_have_either_order(self, order):
        head = b"II*\0" if order == "<" else b"MM\0*"
        data = head + struct.pack(order + "IHHHII", 8, 1, 50706, 1, 4, 0x01040000)
        assert raw_format(data) == "DNG" and raw_format(data[:-1]) is None

    def directory(self, *entries, order="<", behind=b""):
        """A TIFF of entries, each a tag, a type, a length and a value."""
        head = b"II*\0" if order == "<" else b"MM\0*"
        data = head + struct.pack(order + "IH", 8, len(entries))
        for tag, kind, length, value in entries:
            of_two = kind == 3 and length == 1
            data += struct.pack(order + "HHI", tag, kind, length) + struct.pack(
                order + ("H2x" if of_two else "I"), value
            )
        return data + bytes(4) + behind

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(
        "compression, raw", [(34713, True), (65535, True), (32770, True), (32767, True), (65000, True), (7, False)]
    )
    def test_compressions_that_only_cameras_use(self, order, compression, raw):
        """Nikon's, Pentax's, Samsung's, Sony's and Kodak's; without a maker's name they have none."""
        assert raw_format(self.directory((259, 3, 1, compression), order=order)) == ("raw" if raw else None)
        assert raw_format(self.directory((259, 4, 1, compression), order=order)) == ("raw" if raw else None)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(
        "make, format",
        [
            (b"Canon", "CR2"),
            (b"NIKON CORPORATION", "NEF"),
            (b"PENTAX Corporation ", "PEF"),
            (b"SAMSUNG TECHWIN", "SRW"),
            (b"SONY            ", "ARW"),
            (b"not SONY", "raw"),
        ],
    )
    def test_a_makers_name_stands_elsewhere(self, order, make, format):
        entries = [(254, 4, 1, 5), (271, 2, len(make), 50), (330, 4, 1, 9)]
        assert raw_format(self.directory(*entries, order=order, behind=make)) == format

    @pytest.mark.parametrize("name, format", [(b"SONY", "ARW"), (b"EPSO", "raw")])
    def test_a_name_of_four_bytes_stands_in_its_entry(self, name, format):
        entries = [(254, 4, 1, 1), (271, 2, 4, int.from_bytes(name, "little")), (330, 4, 1, 9)]
        assert raw_format(self.directory(*entries)) == format

    @pytest.mark.parametrize("subfile, reduced", [(0, False), (1, True), (2, False), (3, True)])
    def test_a_reduced_picture_is_one_by_its_lowest_bit(self, subfile, reduced):
        """TIFF 6.0, section 8: the others are of pages and masks."""
        entries = [(254, 4, 1, subfile), (330, 4, 1, 9)]
        assert raw_format(self.directory(*entries)) == ("raw" if reduced else None)
        assert raw_format(self.directory(entries[0])) is None

    @pytest.mark.parametrize("before, format", [(4095, "DNG"), (4096, None)])
    def test_the_first_4096_entries_tell(self, before, format):
        assert raw_format(self.directory(*[(1000, 4, 1, 0)] * before, (50706, 1, 4, 0x401))) == format

    def test_what_is_no_tiff_is_none(self):
        dng = self.directory((50706, 1, 4, 0x401))
        assert raw_format(dng) == "DNG"
        assert raw_format(b"II+\0" + dng[4:]) is None
        for end in range(len(dng) - 4):
            assert raw_format(dng[:end]) is None

    @pytest.mark.parametrize(
        "data, format",
        [
            (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
            (b"\0\0\0\x18ftypcrx \0\0\0\1", "CR3"),
            (b"IIU\0\x18\0\0\0", "RW2"),
            (b"IIRO\x08\0\0\0", "ORF"),
            (b"FUJIFILMCCD-RAW 0201", "RAF"),
        ],
    )
    def test_other_makers_have_signatures(self, data, format):
        refuse(data + bytes(100), rf"a camera's raw picture \({format}\): export it as JPEG first")


class TestWhatIsNoPicture:
    @pytest.mark.parametrize(
        "data, kind",
        [
            (b"%PDF-1.7\n", "pdf"),
            (b"PK\3\4" + bytes(26), "zip"),
            (b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "office"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "office"),
            (b"PK\3\4" + bytes(26) + b"mimetypeapplication/epub+zip", "epub"),
            (b"PK\3\4" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.text", "opendocument"),
            (b"<!doctype html>", "html"),
            (b"\0\0\0\x20ftypisom\0\0\2\0", "mp4"),
            (b"\0\0\0\x08wide\0\0\0\0mdat", "mp4"),
            (b"RIFF\0\0\0\0AVI LIST", "avi"),
            (b"\x1a\x45\xdf\xa3\x01", "mkv"),
            (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "wmv"),
            (b"FLV\1\5\0\0\0\x09", "flv"),
            (b"\0\0\1\xba\x44", "mpeg"),
            ((b"\x47" + bytes(187)) * 4, "ts"),
            ((bytes(4) + b"\x47" + bytes(187)) * 4, "ts"),
            (b"OggS\0\2", "ogg"),
            (b"ID3\4\0", "mp3"),
            (b"\0\0\0\x20ftypM4A \0\0\0\0", "m4a"),
            (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
            (b"fLaC\0\0\0\x22", "flac"),
            ("Grüße,\r\n\tein Text".encode(), "text"),
            ("Grüße".encode("utf-16"), "text"),
            (bytes(range(256)), "unknown"),
            (b"", "empty"),
        ],
    )
    def test_it_is_called_by_a_noun(self, data, kind):
        assert refuse(data, "not a picture of a supported format|is empty", NotAPictureError).kind == kind

    @pytest.mark.parametrize(
        "data",
        [
            b"8BPS\0\1" + bytes(20),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"gimp xcf v011",
            b"\x89PNG\r\n\x1a\n" + bytes(20),
            b"GIF89a",
            b"\xff\xd8\xff\xe0",
            b"II*\0\x08\0\0\0",
        ],
    )
    def test_pictures_that_are_not_read_are_pictures(self, data):
        refuse(data, "not a picture of a supported format|cannot be read as a picture|a TIFF of a kind")

    @pytest.mark.parametrize("data", [b"", bytes(range(256))])
    def test_a_name_that_promises_a_picture_makes_it_a_broken_one(self, data, tmp_path):
        (tmp_path / "a.JPG").write_bytes(data)
        refuse(tmp_path / "a.JPG", "or damaged|is empty")
        with open(tmp_path / "a.JPG", "rb") as file:
            refuse(file, "or damaged|is empty")

    def test_what_it_is_matters_more_than_its_name(self, tmp_path):
        (tmp_path / "a.jpg").write_bytes(b"%PDF-1.7\n")
        assert refuse(tmp_path / "a.jpg", "it looks like a PDF", NotAPictureError).kind == "pdf"

    def test_a_film_is_told_of_what_scores_it_and_not_read(self):
        class Film(io.BytesIO):
            given = 0

            def read(self, size=-1):
                data = super().read(size)
                self.given += len(data)
                return data

        film = Film(b"\0\0\0\x20ftypisom" + bytes(1 << 20))
        refuse(film, "a film .MP4 or QuickTime., which frame_scores and frames='max' score", NotAPictureError)
        assert film.given <= BEGINNING

    def test_the_error_goes_from_process_to_process(self):
        error = pickle.loads(pickle.dumps(NotAPictureError("a.pdf: ...", "pdf")))
        assert (str(error), error.kind) == ("a.pdf: ...", "pdf")


@pytest.mark.parametrize(
    "data, text",
    [
        (b"plain\n", True),
        (b"a" * (BEGINNING - 1) + "é".encode(), True),  # cut within a character
        (b"\x1b[31mred\x1b[0m", True),
        (b"", False),
        (b"a\0b", False),
        (b"\xe9t\xe9", False),
        (b"\xff\xfe\0\xd8\0\xd8", False),
    ],
)
def test_text_is_utf_8_or_marked_utf_16_without_odd_characters(data, text):
    assert is_text(data) is text


def test_extensions_of_all_formats_promise_pictures():
    Image.init()
    known = {extension for extension, format in Image.EXTENSION.items() if format in FORMATS}
    assert known and known <= PICTURE_EXTENSIONS
