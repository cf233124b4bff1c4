"""Which packets of a film are decoded, what times its frames have, and how long FFmpeg may take."""

import io
import os
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from made_pictures import png  # noqa: E402

from nsfw_model.integrity import DamagedError  # noqa: E402
from nsfw_model.picture import NotAPictureError, PictureError  # noqa: E402
from nsfw_scale import film as film_module  # noqa: E402

TENTH = Fraction(1, 10)
NO_COVER, COVER = av.stream.Disposition(0), av.stream.Disposition.attached_pic


class Streams(list):
    """A film's streams, as PyAV has them."""

    @property
    def video(self):
        return [stream for stream in self if stream.is_video]


class Decoder:
    """Gives a frame for each packet, of the packet's times, and notes what it is told."""

    def __init__(self, name="h264", size=(64, 48), header=b""):
        self.codec = SimpleNamespace(canonical_name=name)
        self.width, self.height = size
        self.extradata = header
        self.told = []

    def decode(self, packet):
        self.told.append(packet and packet.pts)
        return [frame(packet)] if packet else []

    def flush_buffers(self):
        self.told.append("flush")


def frame(packet):
    return SimpleNamespace(
        pts=packet.pts,
        dts=packet.dts,
        is_corrupt=packet.makes_corrupt,
        width=64,
        height=48,
        to_ndarray=lambda format: np.full((48, 64, 3), (packet.pts or 0) % 256, np.uint8),
    )


class Packet(SimpleNamespace):
    """One that takes a byte, at a tenth of a second."""

    def __init__(self, pts, is_keyframe=False, **others):
        usual = dict(dts=None, time_base=TENTH, size=1, is_corrupt=False, makes_corrupt=False)
        super().__init__(pts=pts, is_keyframe=is_keyframe, **{**usual, **others})

    def __bytes__(self):
        return bytes(self.size)


def stream(decoder=None, disposition=None, is_video=True):
    return SimpleNamespace(
        codec_context=decoder or Decoder(), disposition=disposition or NO_COVER, is_video=is_video, time_base=TENTH
    )


def film(packets, *streams, every=1.0, duration=None):
    """A film of these packets, as it is being read."""
    container = SimpleNamespace(
        streams=Streams(streams or [stream()]), duration=duration, demux=lambda stream: iter(packets)
    )
    return film_module._Film(container, film_module._Watched(None), "a.mp4", every)


def packets(*key_frames, count, **others):
    """Ten a second, of which those of these numbers are key frames."""
    return [Packet(number, number in key_frames, **others) for number in range(count)]


def times(packets, **options):
    return [seconds for seconds, _ in film(packets, **options).moments()]


def decoded(packets, **options):
    """What the decoder is told: the numbers of packets, None where no more follow, and to forget them."""
    decoder = Decoder()
    list(film(packets, stream(decoder), **options).moments())
    return decoder.told


END = [None, "flush"]


class TestWhatIsDecoded:
    @pytest.mark.parametrize(
        "duration, every, whole",
        [
            (60_000_000, 1.0, True),  # "up to a minute", docs/films.md, in FFmpeg's millionths of a second
            (60_000_001, 1.0, False),
            (1, 1.0, True),
            (0, 1.0, False),
            (None, 1.0, False),
            (60_000_001, 0.99, True),
        ],
    )
    def test_a_film_of_a_minute_or_with_frames_closer_than_a_second_is_decoded_as_a_whole(self, duration, every, whole):
        expected = [*range(40), *END] if whole else [0, *END, 20, *END]
        assert decoded(packets(0, 20, count=40), duration=duration, every=every) == expected

    def test_a_key_frame_twelve_seconds_away_is_near_enough_and_one_behind_it_is_not(self):
        near = packets(0, 121, count=122)  # the last frame between them is 12 seconds away
        assert decoded(near) == [0, *END, 121, *END]
        far = packets(0, 122, count=123)
        assert decoded(far) == [0, *END, *range(122), *END, 122, *END]

    def test_it_is_the_distance_between_key_frames_that_counts_and_not_the_time(self):
        assert decoded(packets(0, 100, 200, 300, count=301)) == [0, *END, 100, *END, 200, *END, 300, *END]
        assert decoded(packets(0, 100, 222, count=223)) == [0, *END, 100, *END, *range(100, 222), *END, 222, *END]

    @pytest.mark.parametrize("between, whole", [(3, False), (4, True)])
    def test_so_many_bytes_wait_for_the_next_key_frame(self, between, whole, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_WAITING_BYTES", 30)
        read = [Packet(20 * number, size=10) for number in range(between + 2)]  # two seconds from one to the next
        read[0].is_keyframe = read[-1].is_keyframe = True
        alone, last = [0, *END], [read[-1].pts, *END]
        assert decoded(read) == [*alone, *([*(it.pts for it in read[:-1]), *END] if whole else []), *last]

    def test_the_first_key_frame_from_each_moment_on_is_decoded(self):
        keys = packets(*range(0, 100, 3), count=100)
        assert times(keys) == [0, 1.2, 2.1, 3, 4.2, 5.1, 6, 7.2, 8.1, 9]
        assert times(keys, every=2.5) == [0, 2.7, 5.1, 7.5]

    def test_moments_are_counted_from_the_first_frame(self):
        later = [Packet(number + 7, number % 5 == 0) for number in range(40)]
        assert times(later) == [0, 1, 2, 3]

    def test_packets_without_a_time_of_showing_are_chosen_by_that_of_decoding(self):
        keys = [Packet(None, number % 5 == 0, dts=number) for number in range(40)]
        assert times(keys) == [0, 1, 2, 3]

    def test_both_times_differ_and_that_of_showing_counts(self):
        keys = [Packet(number, number % 5 == 0, dts=2 * number) for number in range(40)]
        assert times(keys) == [0, 1, 2, 3]

    def test_what_is_before_the_first_key_frame_is_not_decoded(self):
        assert decoded(packets(3, count=6), duration=1) == [3, 4, 5, *END]

    def test_packets_without_bytes_are_not_decoded(self):
        read = packets(0, count=4)
        read[2].size = 0
        assert decoded(read, duration=1) == [0, 1, 3, *END]

    def test_an_empty_film_is_truncated(self):
        for none in [], packets(count=5):
            with pytest.raises(DamagedError, match="^truncated: got no frame$"):
                times(none)

    def test_a_packet_that_is_damaged_is_an_error_at_the_last_frame_before_it(self):
        read = packets(0, count=25)
        read[20].is_corrupt = True
        with pytest.raises(DamagedError, match="^at 1.9 s: truncated, or damaged$"):
            times(read, duration=1)

    @pytest.mark.parametrize("number, fails", [(20, True), (21, False)])
    def test_a_frame_that_is_damaged_is_an_error_if_it_is_given(self, number, fails):
        read = packets(0, count=25)
        read[number].makes_corrupt = True
        if fails:
            with pytest.raises(DamagedError, match="^at 2.0 s: the film is damaged$"):
                times(read, duration=1)
        else:
            assert times(read, duration=1) == [0, 1, 2]

    def test_a_packet_that_fails_its_check_is_an_error_at_the_last_frame_before_it(self):
        header = bytes([1, *bytes(20), 3, 0])  # lengths of four bytes
        read = packets(0, count=25, size=4)
        read[13].size = 3  # four zeros are a length, three are nothing
        hevc = stream(Decoder("hevc", header=header))
        list(film(read, hevc, duration=1).moments())
        read[14] = type("Long", (Packet,), {"__bytes__": lambda self: b"\0\0\0\1"})(14)
        with pytest.raises(DamagedError, match="^at 1.3 s: got a frame of 4 bytes, expected 5 at least$"):
            list(film(read, hevc, duration=1).moments())


class TestLimits:
    @pytest.mark.parametrize(
        "name, most, what",
        [
            ("MAX_FILM_FRAMES", 5, "frames"),
            ("MAX_PACKETS", 50, "packets"),
        ],
    )
    def test_as_many_as_the_limit_are_read_and_no_more(self, name, most, what, monkeypatch):
        read = packets(0, count=50)
        monkeypatch.setattr(film_module, name, most)
        assert times(read, duration=1) == [0, 1, 2, 3, 4]
        monkeypatch.setattr(film_module, name, most - 1)
        with pytest.raises(DamagedError, match=f"^got more than nsfw_scale.film.{name} = {most - 1} {what}$"):
            times(read, duration=1)

    def test_a_film_may_last_as_long_as_the_limit(self, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_SECONDS", 4.9)
        assert times(packets(0, count=50), duration=1)[-1] == 4
        with pytest.raises(DamagedError, match="^got a frame at 5.0 s, more than nsfw_scale.film.MAX_SECONDS = 4.9$"):
            times(packets(0, count=51), duration=1)

    def test_as_many_streams_as_the_limit_are_opened_and_no_more(self, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_STREAMS", 2)
        assert times(packets(0, count=1), duration=1) == [0]
        film([], stream(), stream())
        with pytest.raises(DamagedError, match="^got 3 streams, more than nsfw_scale.film.MAX_STREAMS = 2$"):
            film([], stream(), stream(), stream())

    def test_pixels_are_those_of_pillow_or_of_the_module_whichever_are_fewer(self, monkeypatch):
        for most, expected in (None, 1000), (999, 999), (1001, 1000):
            monkeypatch.setattr(film_module, "MAX_FILM_PIXELS", 1000)
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
            decoder = Decoder(size=(1, 1))
            film([], stream(decoder))
            assert decoder.options["max_pixels"] == str(expected)


class TestTimes:
    def at(self, *numbers, **options):
        return [Packet(number, place == 0, **options) for place, number in enumerate(numbers)]

    def test_times_may_go_back_by_a_second_and_no_more(self):
        """FFmpeg may give frames in another order where some of them are lost."""
        assert times(self.at(0, 15, 5, 30), duration=1) == [0, 1.5, 3]
        with pytest.raises(DamagedError, match="^at 1.5 s: its times go back, to 0.4 s$"):
            times(self.at(0, 15, 4), duration=1)

    def test_a_frame_that_is_earlier_than_the_first_is_at_the_beginning(self):
        assert times(self.at(10, 5, 21), duration=1, every=0.0001) == [0, 1.1]

    @pytest.mark.parametrize("frame", [Packet(None, True), Packet(5, True)])
    def test_a_frame_without_a_time_is_an_error(self, frame):
        of_one = stream()
        if frame.pts:
            of_one.time_base = None
        with pytest.raises(DamagedError, match="^at 0.0 s: got a frame without a time$"):
            list(film([frame], of_one, duration=1).moments())

    def test_a_frame_without_a_time_of_showing_has_that_of_decoding(self):
        read = [Packet(None, number == 0, dts=number + 3) for number in range(25)]
        assert times(read, duration=1) == [0, 1, 2]

    def test_each_frame_is_given_once_and_the_first_of_each_moment(self):
        assert times(self.at(0, 9, 11, 12, 35, 36, 40, 41), duration=1) == [0, 1.1, 3.5, 4]

    def test_moments_are_not_off_by_rounding(self):
        assert times(packets(0, count=100), every=0.3, duration=1) == [number / 10 for number in range(0, 100, 3)]

    def test_every_may_be_as_small_as_any_number(self):
        assert times(packets(0, count=9), every=5e-324) == [number / 10 for number in range(9)]

    def test_frames_have_their_pixels(self):
        (first, second) = film(packets(0, count=11), duration=1).moments()
        assert (first[1].size, first[1].mode, first[1].getpixel((0, 0))) == ((64, 48), "RGB", (0, 0, 0))
        assert second[1].getpixel((63, 47)) == (10, 10, 10)


class TestStreams:
    def test_a_cover_is_no_film(self):
        """A picture that is attached, as music has one (AV_DISPOSITION_ATTACHED_PIC)."""
        cover, shown = stream(Decoder("mjpeg"), COVER), stream()
        assert film([], cover, shown)._stream is shown
        with pytest.raises(NotAPictureError, match="^a.mp4: has no pictures, only sound$") as caught:
            film([], cover, stream(is_video=False))
        assert caught.value.kind == "sound"

    def test_a_film_with_nothing_is_truncated(self):
        container = SimpleNamespace(streams=Streams(), duration=None)
        with pytest.raises(DamagedError, match="^truncated: got neither pictures nor sound$"):
            film_module._stream_of_pictures(container, "a.mp4")

    def test_the_first_of_several_is_shown(self):
        first, second = stream(), stream()
        assert film([], stream(is_video=False), first, second)._stream is first

    def test_a_codec_that_ffmpeg_does_not_know_is_refused(self):
        unknown = stream()
        unknown.codec_context = None
        with pytest.raises(PictureError, match="^a.mp4: a film whose codec is unknown, expected one of av1, cinepak,"):
            film([], unknown)

    @pytest.mark.parametrize("cores, threads", [(1, 1), (4, 4), (5, 4), (64, 4), (None, 1)])
    def test_it_is_decoded_on_all_cores_but_four_threads_at_most(self, cores, threads, monkeypatch):
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        of_one = stream()
        film([], of_one)
        assert (of_one.codec_context.thread_count, of_one.thread_type) == (threads, "AUTO")

    def test_what_is_damaged_is_not_guessed(self):
        """All that https://ffmpeg.org/ffmpeg-codecs.html#Codec-Options calls an error, where it is certain of it."""
        decoder = Decoder()
        film([], stream(decoder))
        assert decoder.options["err_detect"] == "crccheck+bitstream+buffer+explode"

    def test_whether_its_size_is_known_is_told(self):
        assert film([], stream(Decoder(size=(64, 48)))).has_size is True
        assert film([], stream(Decoder(size=(0, 0)))).has_size is False


class TestUnitsOfHevc:
    """ISO/IEC 14496-15, 8.3.3.1: lengthSizeMinusOne is in the last bits of the 22nd byte of 23."""

    @staticmethod
    def check(data, last=3, version=1, size=23):
        header = bytes([version, *bytes(20), last, 0]).ljust(size, b"\0")[:size]
        film_module._check_hevc(SimpleNamespace(extradata=header), data)

    @pytest.mark.parametrize("last, width", [(0, 1), (1, 2), (3, 4), (0xFC, 1), (0xFD, 2), (0xFF, 4)])
    def test_lengths_are_as_long_as_the_header_says(self, last, width):
        units = b"".join(len(unit).to_bytes(width, "big") + unit for unit in (b"abc", b"", b"defgh"))
        self.check(units, last)
        with pytest.raises(DamagedError, match=f"^got a frame of {len(units) - 1} bytes, expected {len(units)} at"):
            self.check(units[:-1], last)

    def test_what_is_too_short_for_a_length_is_nothing(self):
        self.check(b"\0\0\0\1a" + b"\xff\xff\xff")

    @pytest.mark.parametrize("header", [dict(version=0), dict(version=2), dict(size=22), dict(size=0)])
    def test_without_such_a_header_there_are_no_lengths(self, header):
        self.check(b"\xff\xff\xff\xff", **header)

    def test_a_header_may_have_more_than_its_beginning(self):
        for size in 23, 40:
            with pytest.raises(DamagedError):
                self.check(b"\xff\xff\xff\xff", size=size)

    def test_no_header_at_all_is_none(self):
        film_module._check_hevc(SimpleNamespace(extradata=None), b"\xff\xff\xff\xff")


class TestRowsOfPng:
    """A PNG of 64x48 pixels that lacks half of its rows."""

    LACKING = png(bytes(24 * (1 + 3 * 64)), 64, 48)

    def test_they_are_counted_unless_ffmpeg_refuses_as_many_pixels(self, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_FILM_PIXELS", 64 * 48)
        with pytest.raises(DamagedError, match="^truncated: got 4632 bytes of pixels, expected 9264$"):
            film_module._check_png(None, self.LACKING)
        monkeypatch.setattr(film_module, "MAX_FILM_PIXELS", 64 * 48 - 1)
        film_module._check_png(None, self.LACKING)

    def test_a_header_that_is_whole_is_read(self):
        """Its length, name, 13 bytes and checksum are behind eight bytes; the checksum may lack."""
        with pytest.raises(DamagedError):
            film_module._check_png(None, self.LACKING[:29])


class TestWhatIsAFilm:
    FILM = b"\0\0\0 ftypisom"

    def test_it_begins_like_one(self):
        assert film_module.is_film(self.FILM) is film_module.is_film(io.BytesIO(self.FILM)) is True
        for other in b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"text":
            assert film_module.is_film(other) is False

    def test_what_cannot_seek_or_has_no_bytes_is_none(self):
        assert film_module.is_film(SimpleNamespace(read=lambda size=-1: self.FILM)) is False
        assert film_module.is_film(io.StringIO(self.FILM.decode())) is False

    @pytest.mark.parametrize("img, kind", [("img/coffee.jpg", "jpeg"), (b"%PDF-1.7", "pdf"), (b"\1\2\3\4", "unknown")])
    def test_what_is_none_is_told_with_its_kind(self, img, kind):
        with pytest.raises(NotAPictureError, match=": not a film$") as caught:
            next(film_module.read_film(img))
        assert caught.value.kind == kind


class TestTimeOfFfmpeg:
    """It is measured while a film is opened or a packet is made, and not while frames are decoded."""

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = SimpleNamespace(now=100.0)
        monkeypatch.setattr(film_module.time, "thread_time", lambda: clock.now)
        monkeypatch.setattr(film_module, "MAX_DEMUX_SECONDS", 3.0)
        monkeypatch.setattr(film_module, "SECONDS_OF_A_PACKET", 0.5)
        return clock

    @pytest.fixture
    def watched(self, tmp_path):
        (tmp_path / "a").write_bytes(b"abcdef")
        with open(tmp_path / "a", "rb") as file:
            yield film_module._Watched(file)

    def test_steps_are_added_and_what_is_between_them_is_not(self, clock, watched):
        for _ in range(6):
            with watched.taken_apart():
                clock.now += 1.0  # 6 in all, which is 3 and half a second for each
            clock.now += 50
        with pytest.raises(
            DamagedError,
            match="^took 6.6 s of the processor to be taken apart into 6 packets, "
            "more than nsfw_scale.film.MAX_DEMUX_SECONDS = 3 and a little for each$",
        ):
            with watched.taken_apart():
                clock.now += 0.625

    def test_the_file_ends_where_it_takes_too_long(self, clock, watched):
        assert watched.read(2) == b"ab"
        with watched.taken_apart():
            clock.now += 3.5
            assert watched.read(2) == b"cd"
        with pytest.raises(DamagedError, match="took 4.2 s"), watched.taken_apart():
            clock.now += 0.5
            assert watched.read(1) == b"e"
            clock.now += 0.25
            assert watched.read(1) == b""

    def test_an_error_within_a_step_ends_it_too(self, clock, watched):
        with pytest.raises(ZeroDivisionError), watched.taken_apart():
            clock.now += 1
            raise ZeroDivisionError
        clock.now += 50
        watched.check()
        assert watched.read(1) == b"a"

    def test_it_is_a_file_besides(self, watched):
        assert (watched.seek(4), watched.tell(), watched.read(9)) == (4, 4, b"ef")
        assert (watched.seek(-2, 2), watched.tell(), watched.seek(-1, 1)) == (4, 4, 3)
