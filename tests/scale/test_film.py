"""Films are read by their content, a picture every so many seconds; what is broken is an error that says where."""

import contextlib
import io
import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hostile_films import with_chapters  # noqa: E402
from made_films import SIZE, changed, film, pixels, repeated, sound  # noqa: E402
from made_pictures import encoded, png, with_chunks  # noqa: E402

from nsfw_model import signatures  # noqa: E402
from nsfw_model.picture import NotAPictureError, PictureError, read_picture  # noqa: E402
from nsfw_model.integrity import DamagedError  # noqa: E402
from nsfw_scale import boxes, film as film_module  # noqa: E402
from nsfw_scale.container import check_length  # noqa: E402
from nsfw_scale.film import CONTAINERS, read_film  # noqa: E402
from nsfw_scale.frames import read_frames  # noqa: E402

GREYS = [5 * number for number in range(50)]  # five seconds, ten frames each
KINDS = {
    "mp4": dict(container="mp4"),
    "mp4, H.264": dict(container="mp4", codec="libx264"),
    "mkv": dict(container="matroska"),
    "webm": dict(container="webm", codec="libvpx-vp9"),
    "avi": dict(container="avi"),
    "mpeg": dict(container="mpeg", codec="mpeg2video", rate=25),
    "ts": dict(container="mpegts", codec="mpeg2video", rate=25),
    "flv": dict(container="flv", codec="flv1"),
    "wmv": dict(container="asf", codec="wmv2"),
}


@pytest.fixture(autouse=True)
def quiet():
    """FFmpeg says what is wrong with a film on the standard error, too."""
    av.logging.set_level(None)


def moments(img, every=None):
    """Times, and the grey of each frame."""
    return [(round(seconds, 3), round(np.asarray(picture).mean())) for seconds, picture in read_frames(img, every)]


def seconds_of(img, every=None):
    return [seconds for seconds, _ in moments(img, every)]


def refuse(img, message, every=None, error=PictureError):
    with pytest.raises(error, match=message) as caught:
        list(read_frames(img, every))
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
class TestContainers:
    def test_a_frame_is_given_each_second(self, kind):
        rate = KINDS[kind].get("rate", 10)
        greys = [5 * number for number in range(3 * rate)] if rate == 10 else [2 * number for number in range(3 * rate)]
        read = moments(film(greys, **KINDS[kind]))
        assert [seconds for seconds, _ in read] == [0, 1, 2]
        assert np.abs(np.subtract([grey for _, grey in read], greys[::rate])).max() < 12

    def test_the_name_of_the_file_does_not_matter(self, kind, tmp_path):
        data = film(GREYS[:12], **KINDS[kind])
        (tmp_path / "a.jpg").write_bytes(data)
        with open(tmp_path / "a.jpg", "rb") as file:
            assert moments(tmp_path / "a.jpg") == moments(data) == moments(file)
            assert not file.closed

    def test_it_is_refused_where_a_picture_is_expected(self, kind):
        with pytest.raises(NotAPictureError, match="film .*, which frame_scores and frames='max' score") as caught:
            read_picture(film(GREYS[:12], **KINDS[kind]))
        assert caught.value.kind == {"webm": "mkv"}.get(kind, kind.split(",")[0])

    def test_one_that_is_damaged_anywhere_takes_no_long_time_and_gives_frames_or_an_error(self, kind):
        whole = film(GREYS, **KINDS[kind])
        rng = np.random.default_rng(0)
        for _ in range(20):
            damaged = bytearray(whole)
            for _ in range(5):
                damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
            try:
                times = [frame.seconds for frame in itertools.islice(read_frames(bytes(damaged), 0.5), 200)]
            except PictureError as error:
                assert "\n" not in str(error)
            else:
                assert times == sorted(times)


def test_all_that_begins_like_a_film_has_a_container():
    kinds = {kind.noun for _, kind in signatures._COMPILED if kind.role == "film"}
    assert kinds == set(CONTAINERS)


class TestMoments:
    def test_all_frames_are_given_if_every_is_short(self):
        read = moments(film(GREYS), every=0.1)
        assert [seconds for seconds, _ in read] == [number / 10 for number in range(50)]
        assert np.abs(np.subtract([grey for _, grey in read], GREYS)).max() < 12

    def test_times_of_a_variable_rate_are_those_of_the_frames(self):
        times = [0, 100, 900, 1300, 2600, 2700, 5000]
        assert seconds_of(film(GREYS[:7], times=times)) == [0, 1.3, 2.6, 5.0]

    def test_times_begin_with_the_first_frame(self):
        assert seconds_of(film(GREYS[:11], times=range(40_000, 41_100, 100))) == [0, 1.0]

    def test_frames_have_the_size_of_the_film_and_all_its_colours(self):
        frame = next(read_frames(film([200], codec="libx264")))
        assert frame.picture.mode == "RGB" and frame.picture.size == SIZE
        difference = np.asarray(frame.picture, np.int16) - pixels(200, 0, SIZE)
        assert np.abs(difference).mean() < 3

    def test_a_stream_without_a_container_is_read(self):
        read = seconds_of(film(GREYS, container="mpeg2video", codec="mpeg2video", rate=25), every=0.52)
        assert read == [0, 0.52, 1.04, 1.56]

    def test_a_film_without_a_length_is_read(self):
        class Pipe(io.BytesIO):
            """A file to which no length can be written back."""

            def seekable(self):
                return False

        buffer = Pipe()
        with av.open(buffer, "w", format="matroska", options={"live": "1"}) as output:
            stream = output.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            for number in range(25):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels(100, number, SIZE), format="rgb24")))
            output.mux(stream.encode(None))
        assert seconds_of(buffer.getvalue())[0] == 0


class TestLongFilms:
    """More than a minute: key frames are decoded, and what lies between only if they are far apart."""

    def long(self, key_frames, count=700, **options):
        return film([number % 250 for number in range(count)], codec="libx264", key_frames=key_frames, **options)

    def test_the_first_key_frame_of_each_moment_is_given(self):
        assert seconds_of(self.long(key_frames=20))[:6] == [0, 2, 4, 6, 8, 10]
        assert seconds_of(self.long(key_frames=20), every=5)[:4] == [0, 6, 10, 16]
        assert seconds_of(self.long(key_frames=5))[:4] == [0, 1, 2, 3]

    def test_key_frames_that_are_far_apart_are_not_enough(self):
        read = seconds_of(self.long(key_frames=300))
        assert read[:32] == list(range(32))

    def test_one_key_frame_at_the_beginning_is_not_enough(self):
        assert seconds_of(self.long(key_frames=10_000)) == list(range(70))

    def test_what_waits_is_limited(self, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_WAITING_BYTES", 100)
        assert seconds_of(self.long(key_frames=50))[:5] == list(range(5))

    def test_an_every_below_a_second_decodes_all(self):
        assert seconds_of(self.long(key_frames=50), every=0.5)[:3] == [0, 0.5, 1.0]

    def test_pictures_are_those_that_decoding_all_gives(self):
        data = self.long(key_frames=20)
        by_key_frames = {frame.seconds: frame.picture.tobytes() for frame in read_frames(data)}
        every_frame = {frame.seconds: frame.picture.tobytes() for frame in read_frames(data, every=0.1)}
        assert len(by_key_frames) == 35
        assert all(every_frame[seconds] == picture for seconds, picture in by_key_frames.items())

    def test_few_frames_are_decoded(self, monkeypatch):
        decoded = []
        original = film_module._Film._decoded

        def counted(self, packets):
            for frame in original(self, packets):
                decoded.append(frame)
                yield frame

        monkeypatch.setattr(film_module._Film, "_decoded", counted)
        assert len(seconds_of(self.long(key_frames=100))) == len(decoded) == 7

    @pytest.mark.parametrize("promised", [1, 3_600_000])
    def test_a_length_that_is_not_true_ends_nothing(self, promised):
        """In thousandths of a second, in the header of the film."""
        data = bytearray(self.long(key_frames=20))
        for name, at in (b"mvhd", 20), (b"tkhd", 24):
            struct.pack_into(">I", data, data.index(name) + at, promised)
        read = seconds_of(bytes(data))
        assert read[0] == 0 and read[-1] >= 68


class TestBrokenFilms:
    @pytest.mark.parametrize("kind", ["mp4", "mp4, H.264", "mkv", "webm", "avi"])
    def test_one_that_is_cut_anywhere_is_refused(self, kind):
        whole = film(GREYS, **KINDS[kind])
        for twentieth in range(1, 20):
            refuse(whole[: len(whole) * twentieth // 20], "truncated: got [0-9]+ bytes, expected [0-9]+")

    @pytest.mark.parametrize("container, noun", [("mp4", "mp4"), ("matroska", "mkv"), ("avi", "avi")])
    def test_a_beginning_of_any_length_is_looked_at(self, container, noun):
        whole = film(GREYS[:3], container=container)
        for length in range(200):
            with contextlib.suppress(DamagedError):
                check_length(io.BytesIO(whole[:length]), noun)
        check_length(io.BytesIO(whole), noun)

    @pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
    def test_a_packet_of_hevc_that_ends_early_is_refused(self, container):
        whole = film(GREYS[:3], codec="libx265", container=container)
        assert len(seconds_of(changed(whole, container), every=0.1)) == 3
        for change in (lambda data: data[: len(data) // 2], lambda data: data[:-1]):
            for changes in ([change], [None, None, change]):
                refuse(
                    changed(whole, container, *changes), "got a frame of [0-9]+ bytes, expected [0-9]+ at least", 0.1
                )

    @pytest.mark.parametrize("container", ["mov", "avi"])
    def test_a_png_that_lacks_rows_is_refused(self, container):
        whole = film(GREYS[:3], codec="png", container=container, colours="rgb24")
        assert len(seconds_of(changed(whole, container, None, lambda data: data), every=0.1)) == 3
        lacking = png(bytes(24 * (1 + 3 * 64)), 64, 48)
        message = "truncated: got 4632 bytes of pixels, expected 9264"
        refuse(changed(whole, container, lambda data: lacking), f"at 0.0 s: {message}", 0.1)
        refuse(changed(whole, container, None, lambda data: lacking), f"at 0.[01] s: {message}", 0.1)

    @pytest.mark.parametrize("size", [4, 8, 15, 16, 23, 24, 28, 29, 32])
    def test_a_png_that_ends_in_its_header_is_refused(self, size):
        whole = film(GREYS[:3], codec="png", container="mov", colours="rgb24")
        refuse(changed(whole, "mov", None, lambda data: data[:size]), "damaged|truncated|got", 0.1)

    def test_a_png_without_its_palette_is_refused(self):
        whole = film(GREYS[:3], codec="png", container="mov", colours="rgb24")
        lacking = with_chunks(encoded(Image.new("P", (64, 48)), "PNG"), b"PLTE")
        refuse(changed(whole, "mov", lambda data: lacking), "at 0.0 s: .*palette", 0.1)

    @pytest.mark.parametrize("container", ["mov", "matroska", "avi"])
    def test_a_progressive_jpeg_that_lacks_scans_is_refused(self, container):
        whole = film(GREYS[:3], codec="mjpeg", container=container, colours="yuvj420p")
        progressive = encoded(Image.new("RGB", (64, 48), (200, 30, 90)), "JPEG", progressive=True)
        first = progressive[: progressive.index(b"\xff\xc4", progressive.index(b"\xff\xda"))] + b"\xff\xd9"
        assert len(seconds_of(changed(whole, container, lambda data: progressive), every=0.1)) == 3
        refuse(changed(whole, container, lambda data: first), "at 0.0 s: ", 0.1)

    def test_hevc_without_lengths_is_read(self):
        assert len(seconds_of(film(GREYS[:3], codec="libx265", container="mpegts", rate=25), every=0.04)) == 3

    def test_the_second_is_named(self):
        whole = bytearray(film(GREYS, codec="libx264", key_frames=10))
        middle = len(whole) // 2
        whole[middle : middle + 2000] = bytes(2000)
        refuse(bytes(whole), r"at 2\.[0-9] s", every=0.1)

    def test_sound_alone_is_no_picture(self):
        for name in "mp4", "matroska":
            assert refuse(sound(name), "has no pictures, only sound", error=NotAPictureError).kind == "sound"

    @pytest.mark.parametrize(
        "head", [b"\0\0\0\x08ftyp", b"\x1a\x45\xdf\xa3", b"FLV\1\5\0\0\0\x09", b"\0\0\1\xba", b"OggS"]
    )
    def test_a_header_alone_is_refused(self, head):
        refuse(head + bytes(200), "that is damaged: ")

    def test_pixels_are_limited(self, monkeypatch):
        monkeypatch.setattr(film_module, "MAX_FILM_PIXELS", 64 * 48)
        assert len(seconds_of(film(GREYS[:3], codec="libx264"), every=0.1)) == 3
        for module, name, written in (
            (film_module, "MAX_FILM_PIXELS", "nsfw_scale.film.MAX_FILM_PIXELS"),
            (Image, "MAX_IMAGE_PIXELS", "PIL.Image.MAX_IMAGE_PIXELS"),
        ):
            monkeypatch.setattr(module, name, 64 * 48 - 1)
            refuse(film(GREYS[:3], codec="libx264"), f"64x48 is 3072 pixels, more than {written} = 3071")
            refuse(
                film(GREYS[:3]), "damaged, or has more than 3071 pixels, at 0.0 s"
            )  # of MPEG-4, FFmpeg tells no size
            monkeypatch.undo()

    @pytest.mark.parametrize(
        "constant, value, message",
        [
            ("MAX_SECONDS", 1.0, "got a frame at 1.1 s, more than nsfw_scale.film.MAX_SECONDS = 1.0"),
            ("MAX_FILM_FRAMES", 2, "got more than nsfw_scale.film.MAX_FILM_FRAMES = 2 frames"),
            ("MAX_PACKETS", 10, "got more than nsfw_scale.film.MAX_PACKETS = 10 packets"),
            ("MAX_STREAMS", 0, "got 1 streams, more than nsfw_scale.film.MAX_STREAMS = 0"),
            ("CODECS", frozenset(["h264"]), "a film whose codec is mpeg4, expected one of h264"),
        ],
    )
    def test_limits_are_named(self, constant, value, message, monkeypatch):
        monkeypatch.setattr(film_module, constant, value)
        refuse(film(GREYS), message)

    def test_one_for_which_there_is_no_memory_is_not_called_damaged(self, monkeypatch):
        def refuse_memory(*arguments, **options):
            raise av.error.MemoryError(12, "Cannot allocate memory")

        data = film(GREYS[:3])
        monkeypatch.setattr(av, "open", refuse_memory)
        refuse(data, "^<[0-9]+ bytes>: cannot be read as a picture: there is not enough memory for it$")

    def test_chapters_take_no_memory(self, monkeypatch):
        data, opened, open_film = with_chapters(1000), [], av.open

        def noticed(*arguments, **options):
            opened.append(open_film(*arguments, **options))
            return opened[-1]

        monkeypatch.setattr(av, "open", noticed)
        reading = read_frames(data)
        assert next(reading).seconds == 0
        [container] = opened
        assert container.chapters() == []

    def test_boxes_are_limited(self, monkeypatch):
        monkeypatch.setattr(boxes, "MAX_BOXES", 2)
        refuse(film(GREYS[:3]), "got more than nsfw_scale.boxes.MAX_BOXES = 2 boxes")

    def test_times_that_go_back_are_an_error(self):
        """Two transport streams, one behind the other; the second begins anew."""
        options = dict(container="mpegts", codec="libx264", rate=25)
        first, second = film(GREYS, **options), film(GREYS[:10], **options, mpegts_flags="initial_discontinuity")
        refuse(first + second, "at 2.0 s: its times go back, to 0.0 s", every=0.04)


class TestNothingElseIsRead:
    PLAYLISTS = {
        "M3U8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://%s\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile '%s'\n",
        "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "DASH": b"<?xml version='1.0'?><MPD><Period><BaseURL>%s</BaseURL></Period></MPD>",
    }

    @pytest.mark.parametrize("name", PLAYLISTS)
    def test_playlists_are_no_films(self, name, tmp_path):
        (tmp_path / "secret.mp4").write_bytes(film(GREYS[:3]))
        playlist = self.PLAYLISTS[name].replace(b"%s", str(tmp_path / "secret.mp4").encode())
        refuse(playlist, "not a picture of a supported format", error=NotAPictureError)

    def test_a_playlist_behind_the_first_bytes_of_a_film_is_none(self, tmp_path):
        (tmp_path / "secret.mp4").write_bytes(film(GREYS[:3]))
        playlist = self.PLAYLISTS["M3U8"].replace(b"%s", str(tmp_path / "secret.mp4").encode())
        for head in b"OggS", b"FLV\1", b"\0\0\1\xba":
            refuse(head + playlist, "that is damaged: End of file")


def test_a_film_is_never_in_memory_as_a_whole():
    class Counted(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            data = super().read(size)
            self.largest = max(self.largest, len(data))
            return data

    counted = Counted(film(GREYS, size=(320, 240), codec="libx264"))
    assert len(moments(counted)) == 5
    assert counted.largest <= 1 << 16 < len(counted.getvalue())


def test_without_pyav_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    error = refuse(
        b"\0\0\0\x18ftypisom" + bytes(100),
        r"a film \(MP4 or QuickTime\), which PyAV reads: pip install 'open-nsfw-theano\[video\]'",
        error=NotAPictureError,
    )
    assert error.kind == "mp4"


def test_what_is_no_film_is_told():
    with pytest.raises(NotAPictureError, match="not a film"):
        next(read_film("img/coffee.jpg"))


def test_pyav_is_imported_for_films_only():
    program = "import sys, open_nsfw; list(open_nsfw.read_frames('img/coffee.jpg')); sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.slow
def test_ten_minutes_are_looked_at_by_their_key_frames():
    data = repeated(film(2 * GREYS, codec="libx264", key_frames=100, size=(640, 360)), seconds=10, times=60)
    assert seconds_of(data) == [10.0 * number for number in range(60)]
