"""Frames of an animation are those that a viewer sees, at their times; one that is damaged is named."""

import io
import math
import struct
import time

import numpy as np
import pytest
from made_pictures import chunk, encoded, grey_tiff, tiff_entries, with_chunks
from PIL import Image, ImageDraw

from nsfw_model import animation
from nsfw_model.animation import check_animation
from nsfw_model.integrity import DamagedError, tiff_directories
from nsfw_model.picture import PictureError, read_picture
from nsfw_scale import frames
from nsfw_scale.frames import FrameScore, read_frames, summary

SIZE = 40, 24
GREYS = 0, 60, 120, 180, 240
ANIMATED = ["AVIF", "GIF", "PNG", "TIFF", "WEBP"]


def animated(format, pictures=None, duration=200, **options):
    """An animation, of one grey after the other if no pictures are given."""
    pictures = pictures or [Image.new("RGB", SIZE, (grey, grey, grey)) for grey in GREYS]
    if format == "WEBP":
        options.setdefault("lossless", True)
    return encoded(pictures[0], format, save_all=True, append_images=pictures[1:], duration=duration, **options)


def moments(img, every=None):
    """Times, and the first pixel's red."""
    return [(round(frame.seconds, 3), frame.picture.getpixel((0, 0))[0]) for frame in read_frames(img, every)]


def refuse(img, message, every=None):
    """What was read before the error."""
    read = []
    with pytest.raises(PictureError, match=message):
        read += read_frames(img, every)
    return read


@pytest.mark.parametrize("format", ANIMATED)
class TestFormats:
    def test_frames_come_in_order_with_their_pixels(self, format):
        reds = [red for _, red in moments(animated(format))]
        assert np.abs(np.subtract(reds, GREYS)).max() <= (3 if format == "AVIF" else 0)

    def test_times_are_sums_of_durations(self, format):
        times = [seconds for seconds, _ in moments(animated(format, duration=[100, 200, 300, 400, 500]))]
        assert times == ([0, 1, 2, 3, 4] if format == "TIFF" else [0, 0.1, 0.3, 0.6, 1.0])

    def test_the_first_frame_is_the_picture(self, format):
        data = animated(format)
        first = next(read_frames(data))
        assert first.picture.mode == "RGB" and first.picture.tobytes() == read_picture(data).tobytes()

    def test_frames_are_given_that_are_shown_every_so_often(self, format):
        seconds = [moment for moment, _ in moments(animated(format), every=2.0 if format == "TIFF" else 0.4)]
        assert seconds == ([0, 2, 4] if format == "TIFF" else [0, 0.4, 0.8])

    def test_too_many_frames_are_refused_before_any_is_given(self, format, monkeypatch):
        monkeypatch.setattr(animation, "MAX_FRAMES", 4)
        assert refuse(animated(format), "got more than nsfw_model.animation.MAX_FRAMES = 4 frames") == []

    def test_pixels_of_all_frames_are_limited(self, format, monkeypatch):
        monkeypatch.setattr(frames, "MAX_ANIMATION_PIXELS", 5 * 40 * 24 - 1)
        refuse(
            animated(format), "got 4800 pixels in all frames, more than nsfw_scale.frames.MAX_ANIMATION_PIXELS = 4799"
        )
        monkeypatch.setattr(frames, "MAX_ANIMATION_PIXELS", 5 * 40 * 24)
        assert len(moments(animated(format))) == 5

    def test_one_that_is_cut_anywhere_is_refused(self, format):
        rng = np.random.default_rng(0)
        noise = [Image.fromarray(rng.integers(0, 255, (24, 40, 3), np.uint8)) for _ in range(5)]
        whole = animated(format, noise)
        assert len(moments(whole)) == 5
        for twentieth in range(1, 20):
            refuse(whole[: len(whole) * twentieth // 20], "cannot be read|or damaged|of a kind that")


class TestTimes:
    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
    @pytest.mark.parametrize("duration, seconds", [(0, 0.1), (10, 0.1), (20, 0.02)])
    def test_frames_that_are_shown_for_no_time_are_shown_as_in_browsers(self, format, duration, seconds):
        assert moments(animated(format, duration=duration))[1][0] == seconds

    @pytest.mark.parametrize("format", ["PNG", "WEBP"])
    def test_a_frame_that_is_shown_for_more_than_ten_milliseconds_is_shown_for_as_long(self, format):
        assert moments(animated(format, duration=11))[1][0] == 0.011

    def test_a_moment_is_of_the_frame_that_begins_then(self):
        assert moments(animated("WEBP", duration=100), every=0.2) == [(0, 0), (0.2, 120), (0.4, 240)]
        assert moments(animated("WEBP", duration=100), every=0.25) == [(0, 0), (0.2, 120)]

    def test_each_frame_is_given_once_however_long_it_is_shown(self):
        data = animated("GIF", duration=[5000, 20, 20, 20, 3000])
        assert moments(data, every=1.0) == [(0, 0), (5.0, 60), (5.06, 240)]
        assert moments(data, every=100) == [(0, 0)]

    def test_sums_of_durations_are_not_off_by_rounding(self):
        pictures = [Image.new("L", (4, 4), grey) for grey in range(100)]
        data = animated("WEBP", [picture.convert("RGB") for picture in pictures], duration=100)
        assert [red for _, red in moments(data, every=0.3)] == list(range(0, 100, 3))

    def test_every_may_be_as_small_as_any_number(self):
        assert moments(animated("GIF"), every=5e-324) == moments(animated("GIF"))

    @pytest.mark.parametrize("every", [0, -1.0, math.nan, math.inf])
    def test_every_is_a_number_of_seconds(self, every):
        with pytest.raises(ValueError, match="every: got .*, expected a finite number of seconds above 0"):
            read_frames("img/coffee.jpg", every)


class TestComposition:
    def test_frames_are_drawn_over_those_before(self):
        """A white square moves over black; Pillow writes only what changes."""
        pictures = []
        for left in 0, 10, 20:
            picture = Image.new("RGB", SIZE)
            ImageDraw.Draw(picture).rectangle((left, 5, left + 8, 15), "white")
            pictures.append(picture)
        for format in "GIF", "PNG", "WEBP":
            read = [frame.picture.tobytes() for frame in read_frames(animated(format, pictures))]
            assert read == [picture.tobytes() for picture in pictures], format

    @pytest.mark.parametrize("format, disposal", [("PNG", 2), ("GIF", 3)])
    def test_a_frame_that_is_taken_back_leaves_what_was_there(self, format, disposal):
        square = Image.new("RGBA", SIZE)
        ImageDraw.Draw(square).rectangle((0, 0, 9, 9), (0, 200, 0, 255))
        other = Image.new("RGBA", SIZE)
        ImageDraw.Draw(other).rectangle((20, 0, 29, 9), (0, 0, 200, 255))
        red = Image.new("RGBA", SIZE, (250, 0, 0, 255))
        data = animated(format, [red, square, other], disposal=[0, disposal, 0], blend=1)
        _, second, third = (frame.picture for frame in read_frames(data))
        assert second.getpixel((5, 5)) == (0, 200, 0) and second.getpixel((25, 5)) == (250, 0, 0)
        assert third.getpixel((5, 5)) == (250, 0, 0) and third.getpixel((25, 5)) == (0, 0, 200)

    def test_frames_stay_as_they_are_when_later_ones_are_read(self):
        read = list(read_frames(animated("WEBP")))
        assert [frame.picture.getpixel((0, 0))[0] for frame in read] == list(GREYS)


class TestOneFrame:
    @pytest.mark.parametrize("img", ["img/coffee.jpg", "img/camera.png"])
    def test_a_photograph_is_one_frame(self, img):
        ((seconds, picture),) = read_frames(img)
        assert seconds == 0 and picture.tobytes() == read_picture(img).tobytes()

    def test_further_pictures_of_an_mpo_are_no_frames(self):
        data = encoded(Image.new("RGB", SIZE), "MPO", save_all=True, append_images=[Image.new("RGB", SIZE, "white")])
        assert moments(data) == [(0, 0)]

    def test_arrays_and_pil_images_are_read(self):
        assert moments(np.full((5, 6, 3), 7, np.uint8)) == [(0, 7)]
        assert [red for _, red in moments(Image.open(io.BytesIO(animated("GIF"))))] == list(GREYS)

    def test_a_pil_image_that_is_given_is_not_the_one_that_comes_back(self):
        given = Image.new("RGB", SIZE)
        ((_, picture),) = read_frames(given)
        assert picture is not given

    def test_what_is_no_picture_is_an_error_at_once_or_at_the_first_frame(self, tmp_path):
        with pytest.raises(TypeError, match="got int"):
            read_frames(7)
        refuse(tmp_path / "none.gif", "none.gif: no such file")
        refuse(b"%PDF-1.7", "it looks like a PDF")


class TestDamage:
    def with_noise(self, format):
        rng = np.random.default_rng(0)
        return animated(format, [Image.fromarray(rng.integers(0, 255, (24, 40, 3), np.uint8)) for _ in range(5)])

    def test_a_frame_whose_checksum_is_wrong_is_refused(self):
        data = bytearray(self.with_noise("PNG"))
        places = [place for place in range(len(data)) if data[place : place + 4] == b"fdAT"]
        data[places[2] + 20] ^= 1
        refuse(bytes(data), "chunk fdAT got checksum")

    def test_a_frame_that_lacks_rows_is_refused(self):
        whole = self.with_noise("PNG")
        at = whole.index(b"fdAT")
        (length,) = struct.unpack_from(">I", whole, at - 4)
        short = chunk(b"fdAT", whole[at + 4 : at + 4 + length // 2])
        refuse(
            whole[: at - 4] + short + whole[at + 8 + length :],
            "frame 2: truncated: got .* bytes of pixels, expected 2904",
        )

    def test_a_frame_that_is_promised_and_missing_is_refused(self):
        whole = self.with_noise("PNG")
        last = whole.rindex(b"fcTL") - 4
        refuse(whole[:last] + chunk(b"IEND", b""), "truncated: got 4 frames, expected 5")

    def test_a_last_frame_that_lacks_rows_is_refused_without_an_end_of_the_file(self):
        whole = self.with_noise("PNG")
        at = whole.rindex(b"fdAT")
        (length,) = struct.unpack_from(">I", whole, at - 4)
        short = chunk(b"fdAT", whole[at + 4 : at + 4 + length // 2])
        refuse(whole[: at - 4] + short, "frame 5: truncated: got .* bytes of pixels, expected 2904")

    def test_frames_that_are_not_promised_are_refused(self):
        """Pillow gives as many as are promised, and none of an animation of which two numbers are promised."""
        whole = self.with_noise("PNG")
        promise = chunk(b"acTL", struct.pack(">II", 1, 0))
        refuse(with_chunks(whole, b"acTL", promise), "got 5 frames, expected 1")
        refuse(with_chunks(whole, b"acTL", promise, promise), "got two numbers of frames, expected one")
        refuse(with_chunks(whole, b"acTL", chunk(b"acTL", bytes(8))), "got 5 frames, expected 0")

    def test_a_number_of_frames_behind_the_pixels_says_nothing(self):
        still = encoded(Image.new("RGB", SIZE, (7, 7, 7)), "PNG")
        promise = chunk(b"acTL", struct.pack(">II", 5, 0))
        assert moments(with_chunks(still, b"IEND", promise, chunk(b"IEND", b""))) == [(0, 7)]

    def test_a_gif_without_its_end_is_refused(self):
        whole = self.with_noise("GIF")
        refuse(whole[:-1], "truncated: got 5 frames, and no end of the file")
        refuse(whole[:-9], "truncated: the file ends in or before frame 5")

    def test_codes_that_are_damaged_say_which_frame_they_are_of(self):
        whole = bytearray(self.with_noise("GIF"))
        third = [place for place in range(len(whole)) if whole[place : place + 3] == b"!\xf9\x04"][2]
        start = whole.index(b",", third + 8)
        at = start + 10 + (3 * (2 << (whole[start + 9] & 7)) if whole[start + 9] & 0x80 else 0)
        whole[at + 2 : at + 40] = b"\xff" * 38
        assert len(refuse(bytes(whole), "frame 3 of 5: ")) == 2

    def test_a_page_whose_strips_are_missing_is_refused(self):
        data = bytearray(self.with_noise("TIFF"))
        *_, last = tiff_directories(bytes(data))
        view = bytearray(data)
        struct.pack_into("<I", view, 4, last)
        places = tiff_entries(bytes(view))
        struct.pack_into("<I", data, places[273] + 8, 0)
        refuse(bytes(data), "frame 5: truncated: got 0 strips or tiles, expected 1")

    def test_a_large_page_behind_a_small_one_is_refused(self, monkeypatch):
        data = animated("TIFF", [Image.new("RGB", SIZE), Image.new("RGB", (100, 100))])
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9999)
        assert len(refuse(data, "100x100 is 10000 pixels, more than PIL.Image.MAX_IMAGE_PIXELS = 9999")) == 1

    def test_directories_that_lead_back_are_read_once(self):
        data = bytearray(animated("TIFF"))
        directories = list(tiff_directories(bytes(data)))
        (count,) = struct.unpack_from("<H", data, directories[-1])
        struct.pack_into("<I", data, directories[-1] + 2 + 12 * count, directories[1])
        assert len(directories) == 5 and list(tiff_directories(bytes(data))) == directories
        assert len(moments(bytes(data))) == 5

    def test_pages_that_share_a_list_of_strips_are_limited(self):
        """10,000 pages of 131,072 strips in 2 MB took 22 s."""
        rows = 1 << 16
        first = grey_tiff((1, rows), 1, [(8, 1)] * rows, 1, b"\x7f")
        (at,) = struct.unpack_from("<I", first, 4)
        directory, pages = first[at:-4], 50
        ends = [len(first) + (len(directory) + 4) * page for page in range(pages)]
        data = first[:-4] + b"".join(struct.pack("<I", end) + directory for end in ends) + bytes(4)
        began = time.process_time()
        with pytest.raises(DamagedError, match="frame 5: got more than 2097152 bytes of lists of strips and tiles"):
            check_animation(data)
        assert time.process_time() - began < 5
        few = grey_tiff((1, 9), 1, [(8, 1)] * 9, 1, b"\x7f")
        directory = few[struct.unpack_from("<I", few, 4)[0] : -4]
        assert len(moments(few[:-4] + struct.pack("<I", len(few)) + directory + bytes(4))) == 2

    @pytest.mark.parametrize(
        "data", [b"GIF89a", b"GIF89a" + bytes(4), b"GIF89a\1\0\1\0\0\0\0,", b"GIF89a\1\0\1\0\0\0\0!"]
    )
    def test_headers_that_end_early_are_refused(self, data):
        with pytest.raises(DamagedError, match="truncated"):
            check_animation(data)


def test_ten_thousand_frames_take_ten_times_as_long_as_a_thousand():
    def seconds(count):
        pictures = [Image.new("L", (4, 4), number % 256) for number in range(count)]
        data = animated("GIF", pictures)
        began = time.process_time()
        assert sum(1 for _ in read_frames(data)) == count
        return time.process_time() - began

    assert seconds(10_000) < 30 * max(seconds(1000), 0.05)


def test_frames_are_summed_up():
    scores = [FrameScore(0.0, 0.25), FrameScore(1.0, 1.0), FrameScore(2.0, 0.25)]
    assert [summary(scores, frames) for frames in ("first", "max", "mean")] == [0.25, 1.0, 0.5]
    assert summary(tuple(scores), "all") == scores


def test_scores_of_0_and_1_are_scores():
    scores = [FrameScore(0.0, 0.0), FrameScore(1.0, 1.0)]
    assert [summary(scores, frames) for frames in ("first", "max", "mean")] == [0.0, 1.0, 0.5]


@pytest.mark.parametrize("frames", ["first", "max", "mean", "all"])
@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.1])
def test_a_frame_whose_score_is_none_is_not_passed_over(frames, score):
    with pytest.raises(ValueError, match=f"the frame at 1.5 s: got a score of {score}, expected a number in 0..1"):
        summary([FrameScore(0.0, 0.1), FrameScore(1.5, score)], frames)


def test_pages_of_other_sizes_count_with_their_own_pixels(monkeypatch):
    pages = [Image.new("RGB", (40, 24), "teal"), Image.new("RGB", (3, 2), "red")]
    monkeypatch.setattr(frames, "MAX_ANIMATION_PIXELS", 40 * 24 + 3 * 2)
    assert [frame.picture.size for frame in read_frames(animated("TIFF", pages))] == [(40, 24), (3, 2)]
    monkeypatch.setattr(frames, "MAX_ANIMATION_PIXELS", 40 * 24 + 3 * 2 - 1)
    assert len(refuse(animated("TIFF", pages), "got 966 pixels in all frames")) == 1
