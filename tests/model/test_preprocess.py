"""From any picture to network input: Yahoo's preprocessing, and what happens to pictures that cannot be scored."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nsfw_model import preprocess
from nsfw_model.preprocess import (
    CENTRE,
    CHANNEL_MEANS,
    CROPPED,
    RESIZED,
    PictureError,
    centre,
    compress,
    crop,
    deprocess,
    make_jpg,
    prepare,
    process,
    read_picture,
    resize_image,
)

IMG = Path(__file__).parents[2] / "img"
ROCKET = IMG / "rocket.jpg"


def encoded(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.fixture
def gradient():
    """A colourful 40x30 picture."""
    y, x = np.mgrid[:30, :40]
    return Image.fromarray(np.stack([x * 6, y * 8, (x + y) * 3], axis=-1).astype(np.uint8))


class TestSteps:
    def test_every_kind_of_argument_means_the_same_picture(self):
        expected = prepare(str(ROCKET))
        assert expected.shape == (3, 224, 224) and expected.dtype == np.float32
        with open(ROCKET, "rb") as opened:
            same = [ROCKET, ROCKET.read_bytes(), bytearray(ROCKET.read_bytes()), opened, Image.open(ROCKET)]
            same.append(np.asarray(Image.open(ROCKET)))
            for img in same:
                np.testing.assert_array_equal(prepare(img), expected)

    def test_the_steps_are_yahoos_in_yahoos_order(self):
        """Written out once more with Pillow and NumPy alone, after classify_nsfw.py and Caffe's Transformer."""
        resized = Image.open(ROCKET).convert("RGB").resize((256, 256), resample=Image.BILINEAR)
        buffer = io.BytesIO()
        resized.save(buffer, format="JPEG")
        pixels = np.asarray(Image.open(buffer)).astype(np.float32)
        cropped = pixels[16:240, 16:240]
        blue, green, red = cropped[..., 2] - 104, cropped[..., 1] - 117, cropped[..., 0] - 123
        np.testing.assert_array_equal(prepare(ROCKET), [blue, green, red])

    def test_jpeg_changes_the_picture(self, gradient):
        resized = resize_image(gradient)
        assert np.any(np.asarray(compress(Image.fromarray(resized))) != resized)

    @given(arrays(np.uint8, (5, 7, 3)))
    def test_deprocess_undoes_process(self, pixels):
        np.testing.assert_array_equal(deprocess(process(pixels)), pixels)

    @given(arrays(np.uint8, (4, 4, 3)), st.floats(-0.4375, 0.4375, width=32))
    def test_deprocess_rounds_to_the_nearest(self, pixels, shift):
        np.testing.assert_array_equal(deprocess(process(pixels) + np.float32(shift)), pixels)

    def test_deprocess_clips(self):
        assert deprocess(np.full((1, 3, 1, 1), 1e4)).tolist() == [[[255, 255, 255]]]
        assert deprocess(np.full((1, 3, 1, 1), -1e4)).tolist() == [[[0, 0, 0]]]

    def test_crop_is_the_centre(self):
        pixels = np.arange(256 * 256).reshape(1, 1, 256, 256)
        assert crop(pixels)[0, 0, 0, 0] == 16 * 256 + 16
        assert crop(pixels).shape == (1, 1, 224, 224)

    def test_make_jpg_takes_a_picture_or_network_input(self):
        resized = resize_image(ROCKET, convert_to_array=False)
        np.testing.assert_array_equal(make_jpg(resized), make_jpg(process(np.asarray(resized))))

    def test_resize_image_takes_another_size(self, gradient):
        assert resize_image(gradient, (20, 10)).shape == (10, 20, 3)
        assert resize_image(gradient, (20, 10), convert_to_array=False).size == (20, 10)

    @pytest.mark.parametrize(
        "function, shape",
        [(process, (3, 4)), (deprocess, (3, 4, 4)), (deprocess, (2, 3, 4, 4)), (crop, (1, 3, 224, 224))],
    )
    def test_wrong_shapes_are_named(self, function, shape):
        with pytest.raises(ValueError, match="expected shape .*got .*" + str(shape[-1])):
            function(np.zeros(shape))

    @pytest.mark.parametrize("function", [deprocess, make_jpg])
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_no_pixel_is_made_of_what_is_not_finite(self, function, bad):
        x = np.zeros((1, 3, 8, 8), np.float32)
        x[0, 2, 5, 7] = bad
        with pytest.raises(ValueError, match=rf"network input: got {bad} at \[0, 2, 5, 7\] .*expected finite numbers"):
            function(x)

    @pytest.mark.parametrize(
        "function, shape", [(process, (8, 8, 3)), (deprocess, (1, 3, 8, 8)), (crop, (1, 3, 256, 256))]
    )
    def test_what_is_masked_or_no_real_number_is_no_pixel(self, function, shape):
        array = np.zeros(shape)
        for other in array + 1j, array.astype("M8[s]"), array.astype("m8[s]"), array.astype(str), array.astype(object):
            with pytest.raises(ValueError, match=f"got values of type {re.escape(str(other.dtype))}, expected real"):
                function(other)
        masked = np.ma.masked_array(array, mask=np.arange(array.size).reshape(shape) == 7)
        with pytest.raises(ValueError, match="got 1 masked values, expected none"):
            function(masked)
        np.testing.assert_array_equal(function(np.ma.masked_array(array)), function(array))


class TestModes:
    """The colours are those that Pillow's conversion to RGB gives, as in Yahoo's code."""

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "La", "RGBa"])
    def test_any_mode_is_converted(self, gradient, mode):
        steps = {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode])
        picture = gradient
        for step in steps:
            picture = picture.convert(step)
        straight = {"La": "LA", "RGBa": "RGBA"}.get(mode)
        expected = (picture.convert(straight) if straight else picture).convert("RGB")
        np.testing.assert_array_equal(np.asarray(read_picture(picture)), np.asarray(expected))

    def test_alpha_is_dropped(self, gradient):
        transparent = gradient.copy()
        transparent.putalpha(0)
        np.testing.assert_array_equal(np.asarray(read_picture(encoded(transparent))), np.asarray(gradient))

    @pytest.mark.filterwarnings("error")
    def test_a_palette_with_transparency_gives_its_colours_without_a_warning(self, gradient):
        palette = gradient.quantize(16)
        content = encoded(palette, transparency=bytes(range(16)))
        np.testing.assert_array_equal(np.asarray(read_picture(content)), np.asarray(palette.convert("RGB")))

    def test_16_bit_grey_is_scaled_not_clipped(self):
        deep = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16))
        assert deep.mode == "I;16"
        for img in (deep, encoded(deep), encoded(deep, "TIFF")):
            assert np.asarray(read_picture(img))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]

    def test_16_bit_grey_is_scaled_where_pillow_opens_it_as_32_bits(self):
        content = b"P5 3 1 65535\n" + np.array([0, 0x8000, 0xFFFF], ">u2").tobytes()
        assert Image.open(io.BytesIO(content)).mode == "I"
        assert np.asarray(read_picture(content))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]

    @pytest.mark.parametrize("mode", ["I", "F"])
    def test_a_mode_without_a_white_is_refused(self, gradient, mode):
        with pytest.raises(PictureError, match=f"mode {mode} has no defined white"):
            read_picture(gradient.convert(mode))

    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_an_animation_is_its_first_frame(self, gradient, format):
        black = Image.new("RGB", gradient.size)
        animation = encoded(black, format, save_all=True, append_images=[gradient])
        assert Image.open(io.BytesIO(animation)).n_frames == 2
        assert np.asarray(read_picture(animation)).max() <= 2

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
    def test_tiny_and_thin_pictures_can_be_prepared(self, size):
        red_left = prepare(Image.new("RGB", size, (200, 10, 30)))[:, 112, 112]
        assert np.allclose(red_left, [30 - 104, 10 - 117, 200 - 123], atol=2)  # JPEG moves flat colours a little


class TestOpenFiles:
    """They belong to the caller: they stay open, and are read from their beginning, as often as one likes."""

    @pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP"])
    def test_stay_open_and_can_be_read_again(self, tmp_path, gradient, format):
        path = tmp_path / "picture"
        path.write_bytes(encoded(gradient, format))
        with open(path, "rb") as file:
            first = prepare(file)
            assert not file.closed
            np.testing.assert_array_equal(prepare(file), first)
            assert not file.closed

    @pytest.mark.parametrize("format", ["GIF", "JPEG", "PNG", "TIFF"])
    def test_stay_open_where_they_are_damaged(self, format):
        content = encoded(Image.open(ROCKET), format)
        file = io.BytesIO(content[: len(content) // 2])
        for _ in range(2):
            with pytest.raises(PictureError, match="cannot be read as a picture"):
                prepare(file)
        assert not file.closed


class TestMetadata:
    """What a file says beside its pixels makes no difference, or is a `PictureError`."""

    @pytest.mark.parametrize("format", ["GIF", "PNG"])
    def test_a_long_comment(self, gradient, format):
        text = PngInfo()
        text.add_text("comment", "x" * 70_000)
        options = {"GIF": {"comment": b"x" * 70_000}, "PNG": {"pnginfo": text}}[format]
        expected = prepare(encoded(gradient, format))
        np.testing.assert_array_equal(prepare(encoded(gradient, format, **options)), expected)

    def test_a_callers_comment_stays_out_of_the_jpeg_and_with_the_caller(self, gradient):
        expected = make_jpg(gradient)
        gradient.info["comment"] = b"x" * 70_000
        np.testing.assert_array_equal(make_jpg(gradient), expected)
        assert len(gradient.info["comment"]) == 70_000

    def test_a_text_where_pillow_expects_a_colour(self, gradient):
        text = PngInfo()
        text.add_text("transparency", "none")
        with pytest.raises(PictureError, match="cannot be read as a picture"):
            prepare(encoded(gradient.convert("L"), pnginfo=text))


class TestBadPictures:
    """One exception type that names the picture and keeps the cause."""

    def refuse(self, img, match):
        with pytest.raises(PictureError, match=match) as caught:
            prepare(img)
        return caught.value

    def test_a_name_that_no_file_can_have(self):
        self.refuse("\ud800.jpg", "surrogates not allowed")
        self.refuse("\0.jpg", "null")

    def test_missing_file(self, tmp_path):
        error = self.refuse(tmp_path / "none.jpg", "none.jpg: no such file")
        assert isinstance(error.__cause__, FileNotFoundError)

    def test_folder(self, tmp_path):
        assert isinstance(self.refuse(tmp_path, "is a folder").__cause__, IsADirectoryError)

    @pytest.mark.parametrize("content", [b"not a picture at all", b"%PDF-1.7 ..."])
    def test_no_picture_inside(self, tmp_path, content):
        path = tmp_path / "renamed.jpg"
        path.write_bytes(content)
        self.refuse(path, "renamed.jpg: not a picture of a supported format")
        self.refuse(content, f"<{len(content)} bytes>: not a picture")

    def test_formats_that_run_programs_are_not_opened(self, tmp_path):
        path = tmp_path / "page.jpg"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
        self.refuse(path, "not a picture of a supported format")

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_truncated_files(self, tmp_path, format):
        content = encoded(Image.open(ROCKET), format)
        path = tmp_path / f"half.{format.lower()}"
        path.write_bytes(content[: len(content) // 2])
        assert self.refuse(path, f"half.{format.lower()}: ").__cause__ is not None

    @settings(max_examples=60)
    @given(st.data())
    def test_damaged_files_give_pixels_or_the_one_error(self, data):
        content = bytearray(encoded(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)), "PNG"))
        for _ in range(data.draw(st.integers(1, 5))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        try:
            assert read_picture(bytes(content)).mode == "RGB"
        except PictureError as error:
            assert "bytes>" in str(error)

    def test_decompression_bomb(self, tmp_path):
        """A PNG of a few hundred bytes that says it has 15000x15000 pixels."""

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", 15000, 15000, 8, 2, 0, 0, 0)
        path = tmp_path / "bomb.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
        self.refuse(path, "bomb.png: .*")

    def test_between_pillows_warning_and_error_is_refused_too(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256 * 256)
        content = encoded(Image.new("RGB", (257, 256)))
        with pytest.warns(Image.DecompressionBombWarning):
            self.refuse(content, "257x256 is 65792 pixels, more than PIL.Image.MAX_IMAGE_PIXELS = 65536")
        assert prepare(encoded(Image.new("RGB", (256, 256)))).shape == (3, 224, 224)

    def test_empty_pictures(self):
        self.refuse(Image.new("RGB", (0, 5)), "has no pixels")
        self.refuse(np.zeros((0, 5, 3), np.uint8), "has no pixels")

    @pytest.mark.parametrize("array", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
    def test_other_arrays(self, array):
        self.refuse(array, r"expected an array of dtype uint8 and shape \(height, width, 3\)")

    def test_masked_pixels(self):
        array = np.ma.masked_array(np.zeros((4, 4, 3), np.uint8))
        np.testing.assert_array_equal(np.asarray(read_picture(array)), array)
        array[1, 2] = np.ma.masked
        self.refuse(array, "got masked pixels, expected none")

    @pytest.mark.parametrize("img", [None, 5, ["a.jpg"]])
    def test_other_types(self, img):
        with pytest.raises(TypeError, match="expected a path, bytes, a binary file, an array or a PIL image, got"):
            prepare(img)


class TestCentre:
    """Of a rest that is odd, the smaller half comes first, as in classify_nsfw.py's ``(H - h) / 2`` of Python 2."""

    @pytest.mark.parametrize(
        "size, rows, columns",
        [
            ((224, 224), (16, 240), (16, 240)),
            ((256, 256), (0, 256), (0, 256)),
            ((255, 253), (1, 254), (0, 255)),
            ((1, 2), (127, 129), (127, 128)),
            ((200, 100), (78, 178), (28, 228)),
        ],
    )
    def test_is_in_the_middle(self, size, rows, columns):
        assert centre(size) == (slice(*rows), slice(*columns))
        assert (CROPPED, RESIZED, centre(CROPPED)) == ((224, 224), (256, 256), CENTRE)

    def test_of_another_size_is_what_is_prepared(self):
        whole = prepare(ROCKET, (256, 256))
        rows, columns = centre((30, 51))
        np.testing.assert_array_equal(prepare(ROCKET, (30, 51)), whole[:, rows, columns])

    @pytest.mark.parametrize("size", [(0, 5), (5, 0), (257, 5), (5, 257), (-1, 5)])
    def test_is_within_what_it_is_cut_out_of(self, size, gradient):
        message = re.escape(f"size: got {size}, expected 1 to 256 times 1 to 256 pixels")
        with pytest.raises(ValueError, match=f"^{message}$"):
            prepare(gradient, size)
        assert prepare(gradient, (1, 256)).shape == (3, 256, 1) and prepare(gradient, (256, 1)).shape == (3, 1, 256)


class TestNumbers:
    def test_channels_are_blue_green_red_less_their_means(self):
        """transformer.set_mean and set_channel_swap of classify_nsfw.py."""
        assert CHANNEL_MEANS.ravel().tolist() == [104, 117, 123] and CHANNEL_MEANS.shape == (3, 1, 1)
        processed = process(np.array([[[10, 20, 30], [1, 2, 3]]]))
        assert processed.dtype == np.float32 and processed.shape == (1, 3, 1, 2)
        assert processed[0, :, 0].tolist() == [[30 - 104, 3 - 104], [20 - 117, 2 - 117], [10 - 123, 1 - 123]]

    @pytest.mark.parametrize("function, shape, expected", [
        (process, (2, 3), "(height, width, 3)"),
        (process, (2, 3, 4), "(height, width, 3)"),
        (process, (1, 2, 3, 3), "(height, width, 3)"),
        (deprocess, (3, 4, 4), "(1, 3, height, width)"),
        (deprocess, (1, 4, 4, 4), "(1, 3, height, width)"),
        (deprocess, (2, 3, 4, 4), "(1, 3, height, width)"),
        (crop, (3, 256, 256), "(n, channels, 256, 256)"),
        (crop, (1, 3, 255, 256), "(n, channels, 256, 256)"),
        (crop, (1, 3, 256, 255), "(n, channels, 256, 256)"),
    ])  # fmt: skip
    def test_of_another_shape_are_refused(self, function, shape, expected):
        with pytest.raises(ValueError, match=f"^{re.escape(f'expected shape {expected}, got {shape}')}$"):
            function(np.zeros(shape))

    def test_of_pixels_are_in_memory_one_behind_the_other(self):
        assert deprocess(np.zeros((1, 3, 4, 5))).flags.c_contiguous
        assert crop(np.zeros((2, 7, 256, 256))).shape == (2, 7, 224, 224)


class TestJpeg:
    @pytest.mark.parametrize("quality", [75, 30])
    def test_is_that_of_pillow_at_a_quality(self, gradient, quality):
        expected = encoded(gradient, "JPEG", quality=quality)
        with Image.open(io.BytesIO(expected)) as decoded:
            np.testing.assert_array_equal(np.asarray(compress(gradient, quality)), np.asarray(decoded))
        assert quality != 75 or np.array_equal(np.asarray(compress(gradient)), np.asarray(compress(gradient, 75)))

    def test_size_is_width_and_height(self, gradient):
        resized = resize_image(gradient, (20, 10), convert_to_array=False)
        np.testing.assert_array_equal(np.asarray(resized), resize_image(gradient, (20, 10)))
        np.testing.assert_array_equal(
            np.asarray(resized), np.asarray(gradient.resize((20, 10), Image.Resampling.BILINEAR))
        )

    def test_a_picture_of_rgb_is_not_copied_and_stays_as_it_is(self, gradient):
        before = gradient.tobytes()
        prepare(gradient)
        assert gradient.tobytes() == before
        assert preprocess._rgb(gradient) is gradient
        assert preprocess._rgb(gradient.convert("L")).mode == "RGB"
