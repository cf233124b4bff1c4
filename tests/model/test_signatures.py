"""What is no picture, or no file of a model, is called what it is."""

import base64
import shutil
import time

import numpy as np
import pytest

from nsfw_model import ModelFileError, signatures
from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.preprocess import PictureError, read_picture
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.weights import WeightsError, load_weights
from open_nsfw import nsfw_scores

ROCKET = "img/rocket.jpg"


def refuse(img, message):
    with pytest.raises(PictureError, match=message) as caught:
        read_picture(img)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\n<!DOCTYPE html><html>...", "a web page"),
        (b"<html><body>404", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="...">', "an SVG"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "an HEIC picture"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a film"),
        (b"RIFF\0\0\0\0AVI LIST", "a film"),
        (b"\x1a\x45\xdf\xa3\x01", "a film"),
        (b"PK\x03\x04...", "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:...", "a pointer of Git LFS"),
    ],
)
def test_other_files_are_called_what_they_are(data, kind):
    refuse(data, f"not a picture of a supported format .*: it looks like {kind}")


def test_texts_that_are_no_paths_are_called_what_they_are_and_not_repeated():
    with open(ROCKET, "rb") as file:
        encoded = base64.b64encode(file.read())
    refuse(encoded, "looks like base64; base64.b64decode gives the file")
    message = refuse(encoded.decode(), "looks like base64")
    assert len(message) < 300
    refuse("data:image/jpeg;base64," + encoded.decode(), "looks like a data URL")
    refuse("https://example.org/cat.jpg", "https://example.org/cat.jpg: no such file; it is an address: fetch what")
    refuse("", "the empty name: no such file")


def test_an_empty_file_and_one_of_floats_are_told(tmp_path):
    (tmp_path / "empty.jpg").touch()
    refuse(tmp_path / "empty.jpg", "empty.jpg: is empty")
    refuse(b"", "is empty")
    refuse(
        b"II*\0\x08\0\0\0\0\0\0\0\0\0", "a TIFF of a kind that Pillow does not read, such as samples of floating point"
    )


@pytest.mark.parametrize(
    "array, hint",
    [
        (np.zeros((3, 20, 30), np.uint8), "its channels come first"),
        (np.zeros((20, 30), np.uint8), "it is grey"),
        (np.zeros((20, 30, 1), np.uint8), "it is grey"),
        (np.zeros((20, 30, 4), np.uint8), "it has an alpha channel"),
        (np.zeros((2, 20, 30, 3), np.uint8), "it is a batch"),
        (np.zeros((20, 30, 3), np.float32), "its values are floats"),
        (np.zeros((3, 20, 30), np.float64), "its channels come first .* and its values are floats"),
        (np.zeros((20, 30, 3), np.int64), "its values are int64"),
    ],
)
def test_arrays_of_other_layouts_are_called_what_they_look_like(array, hint):
    refuse(array, f"expected an array of dtype uint8 and shape .*; it looks as if {hint}")


def test_the_type_of_an_array_is_not_repeated_at_length():
    fields = np.dtype([(f"field{i}", "u1") for i in range(20_000)])
    with pytest.raises(PictureError) as refused:
        read_picture(np.zeros((2, 2, 3), fields))
    assert len(str(refused.value)) < 300


def test_an_array_above_the_limit_is_refused_before_it_is_copied():
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (100_000, 10_000, 3))  # 3 GB, were it copied
    refuse(huge, "10000x100000 is 1000000000 pixels, more than PIL.Image.MAX_IMAGE_PIXELS")


def test_a_file_whose_read_is_to_be_awaited_is_told():
    class UploadFile:
        """As FastAPI's."""

        async def read(self, size=-1):
            return b""

    with pytest.raises(TypeError, match=r"got UploadFile, whose read\(\) has to be awaited; .* such as its .file"):
        read_picture(UploadFile())


def test_a_text_file_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with open(tmp_path / "a.txt") as file:
        refuse(file, r"its read\(\) gives str, expected bytes: open it as 'rb'")


def test_files_of_a_model_in_each_others_place_are_called_what_they_are(tmp_path):
    with pytest.raises(PrototxtError, match="nsfw.pkl: .*looks like a pickle, such as nsfw.pkl, the weights"):
        read_prototxt("nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a prototxt, the architecture"):
        load_weights("nsfw_model/deploy.prototxt")
    with pytest.raises(ModelFileError, match="looks like a pickle"):
        read_caffemodel("nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a picture"):
        load_weights(ROCKET)


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
        (b"<!DOCTYPE html><title>Not found</title>", "a web page"),
    ],
)
def test_what_downloads_bring_instead_is_called_what_it_is(data, kind, tmp_path):
    path = tmp_path / "net"
    path.write_bytes(data)
    for read in load_weights, read_caffemodel, read_prototxt:
        with pytest.raises(ModelFileError, match=f"net(:1)?: .*looks like {kind}"):
            read(path)


def test_a_caffemodel_is_told_from_nothing_but_its_first_bytes(tmp_path, yahoo_files):
    shutil.copy(yahoo_files[1], tmp_path / "nsfw.pkl")
    with pytest.raises(WeightsError, match="looks like a caffemodel, which open-nsfw convert makes nsfw.pkl of"):
        load_weights(tmp_path / "nsfw.pkl")


def test_an_unterminated_string_takes_no_longer_than_any_other(tmp_path):
    """64 KB of escaped quotes took 37 s, by a search for the end from each of them."""
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'name: "' + b'\\"' * (1 << 20))
    began = time.process_time()
    with pytest.raises(PrototxtError):
        read_prototxt(path)
    assert time.process_time() - began < 20


class TestScoresBeforeAnError:
    """What was scored before an error is not lost with its batch."""

    def test_of_the_iterator(self):
        def pictures():
            yield ROCKET
            yield ROCKET
            raise OSError("the network is gone")

        scores = nsfw_scores(pictures(), batch_size=8)
        assert [round(next(scores), 6), round(next(scores), 6)] == [0.000463, 0.000463]
        with pytest.raises(OSError, match="the network is gone"):
            next(scores)

    @pytest.mark.parametrize("on_error", ["raise", "return"])
    def test_for_what_is_no_picture(self, on_error):
        scores = nsfw_scores([ROCKET, None, ROCKET], on_error=on_error)
        assert round(next(scores), 6) == 0.000463
        with pytest.raises(TypeError, match="got NoneType"):
            next(scores)


# Files that are no longer than what they are known by
KINDS = {
    "png": [b"\x89PNG\r\n\x1a\n"],
    "jpeg": [b"\xff\xd8\xff"],
    "gif": [b"GIF87a", b"GIF89a"],
    "webp": [b"RIFF....WEBP"],
    "bmp": [b"BM....\0\0\0\0"],
    "ico": [b"\0\0\1\0\1\0", b"\0\0\1\0\xff\0"],
    "pcx": [b"\x0a\0\1\1", b"\x0a\5\1\x08", b"\x0a\2\1\2", b"\x0a\3\1\4"],
    "ppm": [b"P0 ", b"P1\n", b"P6\t", b"Pf ", b"Py "],
    "jpeg2000": [b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"],
    "cr2": [b"II*\0\x10\0\0\0CR"],
    "rw2": [b"IIU\0"],
    "orf": [b"IIRO", b"IIRS", b"MMOR"],
    "raf": [b"FUJIFILMCCD-RAW"],
    "x3f": [b"FOVb"],
    "mrw": [b"\0MRM"],
    "tiff": [b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"],
    "pdf": [b"%PDF-"],
    "svg": [b"<svg", b"\xef\xbb\xbf \n<svg", b"<?xml version='1.0'?>\n<!-- a --><svg"],
    "html": [b"<!DOCTYPE html", b"<html", b" <HEAD", b"<body", b"\xef\xbb\xbf\n<!-- a\nb -->\n<html"],
    "xml": [b"<?xml", b"\xef\xbb\xbf\n<?xml"],
    "avif": [b"....ftypavif", b"....ftypavis", b"....ftypmif1....avif", b"....ftypmsf1....heicavis"],
    "heic": [b"....ftyphe" + end for end in (b"ic", b"ix", b"im", b"is", b"vc", b"vx")]
    + [b"....ftypmif1", b"....ftypmsf1", b"....ftypmiaf"],
    "cr3": [b"....ftypcrx "],
    "m4a": [b"....ftypM4A ", b"....ftypM4B "],
    "mp4": [b"....ftyp", b"....ftypisom", b"....mdat"]
    + [b"\0..." + kind for kind in (b"moov", b"wide", b"pnot", b"free", b"skip")],
    "jxl": [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"],
    "avi": [b"RIFF....AVI "],
    "wav": [b"RIFF....WAVE"],
    "mkv": [b"\x1a\x45\xdf\xa3"],
    "wmv": [b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"],
    "flv": [b"FLV\1"],
    "mpeg": [b"\0\0\1\xba"],
    "mpv": [b"\0\0\1\xb3"],
    "ts": [(b"\x47" + bytes(187)) * 2 + b"\x47", b"abcd" + (b"\x47" + bytes(191)) * 2 + b"\x47"],
    "ogg": [b"OggS"],
    "mp3": [b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"],
    "aac": [b"\xff\xf1", b"\xff\xf9"],
    "flac": [b"fLaC"],
    "aiff": [b"FORM....AIFF", b"FORM....AIFC"],
    "midi": [b"MThd"],
    "psd": [b"8BPS"],
    "postscript": [b"%!PS", b"\xc5\xd0\xd3\xc6"],
    "xcf": [b"gimp xcf"],
    "epub": [b"PK\3\4" + bytes(26) + b"mimetypeapplication/epub"],
    "opendocument": [b"PK\3\4" + bytes(26) + b"mimetypeapplication/vnd.oasis"],
    "office": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
    + [
        b"PK\3\4" + bytes(26) + name
        for name in (b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/")
    ],
    "rtf": [b"{\\rtf"],
    "zip": [b"PK\3\4", b"PK\5\6"],
    "gzip": [b"\x1f\x8b"],
    "bzip2": [b"BZh1", b"BZh9"],
    "xz": [b"\xfd7zXZ\0"],
    "zstd": [b"\x28\xb5\x2f\xfd"],
    "rar": [b"Rar!"],
    "7z": [b"7z\xbc\xaf"],
    "tar": [bytes(257).replace(b"\0", b"a") + b"ustar"],
    "program": [b"\x7fELF", b"MZ"],
    "sqlite": [b"SQLite format 3\0"],
    "hdf5": [b"\x89HDF\r\n"],
    "npy": [b"\x93NUMPY"],
    "lfs": [b"version https://git-lfs"],
    "text": [b"data:image/svg+xml;base64,", b"/9j/" + b"A" * 40, b"iVBORw0KGgo" + b"+" * 40 + b"==\n"]
    + [b"R0lGOD" + b"/" * 40 + b"=", b"UklGR" + b"0\n" * 20, b"Qk012345" + b"z" * 40],
}
FILMS = {"mp4", "avi", "mkv", "wmv", "flv", "mpeg", "mpv", "ts", "ogg"}
RAW = {"cr2", "cr3", "rw2", "orf", "raf", "x3f", "mrw"}
PICTURES = {"png", "jpeg", "gif", "webp", "bmp", "ico", "pcx", "ppm", "jpeg2000", "tiff", "svg", "avif", "heic", "jxl"}
PICTURES |= {"psd", "xcf"}


@pytest.mark.parametrize("noun", KINDS)
def test_a_kind_of_file_is_known_by_its_signature(noun):
    role = "film" if noun in FILMS else "raw" if noun in RAW else "picture" if noun in PICTURES else "other"
    for data in KINDS[noun]:
        for kind in signatures.kind_of(data), signatures.kind_of(data + b"\n"):
            assert (kind.noun, kind.role) == (noun, role)


def test_all_kinds_have_a_file():
    assert {kind.noun for _, kind in signatures._COMPILED} == set(KINDS)


@pytest.mark.parametrize("length", [1, 4095, 4096, 5000])
def test_no_more_than_the_beginning_of_a_file_is_looked_at(length):
    assert signatures.BEGINNING == 4096
    assert signatures.is_text(b"a" * length + b"\0") is (length >= 4096)
    base64 = b"/9j/" + b"A" * (length - 4) if length > 4 else b"A"
    kind = signatures.kind_of(base64 + b"\0")
    assert (kind is not None) is (length >= 4096)


@pytest.mark.parametrize("character", [*range(32), 0x7F, 0x85, 0xFFFD])
def test_texts_have_few_control_characters(character):
    """Tabs, line ends of all sorts, form feeds and escapes."""
    allowed = character in (*range(0x09, 0x0E), 0x1B, 0x85)
    assert signatures.is_text(f"a{chr(character)}b".encode()) is allowed
    assert signatures.is_text(f"a{chr(character)}b".encode("utf-16")) is allowed


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"\x80\x02", "a pickle, such as nsfw.pkl, the weights"),
        (b"\x80\x05", "a pickle, such as nsfw.pkl, the weights"),
        (b"\x80\x06", None),
        (b"\x80\x01", None),
        (b"(lp0", "a pickle, such as nsfw.pkl, the weights"),
        (b"(dp1", "a pickle, such as nsfw.pkl, the weights"),
        (b"]q\0", "a pickle, such as nsfw.pkl, the weights"),
        (b"# a\n\n # b\nname: 'net'", "a prototxt, the architecture"),
        (b"layer {", "a prototxt, the architecture"),
        (b"layers{", "a prototxt, the architecture"),
        (b"input_dim: 1", "a prototxt, the architecture"),
        (b"force_backward : true", "a prototxt, the architecture"),
        (b"layout {", None),
        (b"\n\x03net\xa2\x06", "a caffemodel, which open-nsfw convert makes nsfw.pkl of"),
        (b"\n\x03net\x12", "a caffemodel, which open-nsfw convert makes nsfw.pkl of"),
        (b"\xa2\x06\x00", "a caffemodel, which open-nsfw convert makes nsfw.pkl of"),
        (b"\n\x03net\x13", None),
        (b"\xff\xd8\xff", "a picture"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"GIF89a", "a picture"),
        (b"RIFF\n\n\n\nWEBP", "a picture"),
        (b"BM" + bytes(12), "a picture"),
        (b"%PDF-1", "a PDF"),
        (b"8BPS", "a Photoshop document"),
        (b"", None),
    ],
)
def test_files_in_the_place_of_a_models_are_named(data, kind, tmp_path):
    assert signatures.model_file_kind(data) == kind
    (tmp_path / "net").write_bytes(data)
    told = f"; it looks like {kind}" if kind else ""
    assert signatures.mistaken_for(tmp_path / "net", "checkpoint") == told
    if kind:
        assert signatures.mistaken_for(tmp_path / "net", kind.split()[1].rstrip(",")) == ""
