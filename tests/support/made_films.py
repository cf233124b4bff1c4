"""Films, encoded by PyAV."""

import io
import itertools
from fractions import Fraction

import av
import numpy as np

SIZE = WIDTH, HEIGHT = 64, 48


def film(
    greys,
    rate=10,
    container="mp4",
    codec="mpeg4",
    key_frames=12,
    times=None,
    size=SIZE,
    metadata=None,
    colours="yuv420p",
    **options,
):
    """A film whose frames are each of one grey, and its bytes.

    `times` are those of the frames, in thousandths of a second, where the rate is not constant.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, colours
        stream.codec_context.gop_size = key_frames
        stream.codec_context.max_b_frames = 0
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"x264-params": f"keyint={key_frames}:min-keyint={key_frames}:scenecut=0:bframes=0"}
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        for number, grey in enumerate(greys):
            frame = av.VideoFrame.from_ndarray(pixels(grey, number, size), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def repeated(data, seconds, times):
    """A film of so many `seconds`, several times in a row, without encoding it again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = None
        for number in range(times):
            with av.open(io.BytesIO(data)) as once:
                stream = stream or output.add_stream_from_template(once.streams.video[0])
                for packet in once.demux(video=0):
                    if packet.size:
                        packet.pts += round(number * seconds / packet.time_base)
                        packet.dts += round(number * seconds / packet.time_base)
                        packet.stream = stream
                        output.mux(packet)
    return buffer.getvalue()


def changed(data, container, *changes):
    """A film whose first packets have other bytes, without encoding it again."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = (packet for packet in source.demux(video=0) if packet.size)
        for packet, change in itertools.zip_longest(packets, changes):
            other = av.Packet(change(bytes(packet)) if change else bytes(packet))
            other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
            other.time_base, other.is_keyframe, other.stream = packet.time_base, packet.is_keyframe, stream
            output.mux(other)
    return buffer.getvalue()


def pixels(grey, number, size):
    """A grey picture with some texture, so that frames have bytes that can be damaged."""
    texture = np.random.default_rng(number).integers(-8, 9, (size[1], size[0], 1))
    return np.broadcast_to(np.clip(grey + texture, 0, 255), (size[1], size[0], 3)).astype(np.uint8)


def sound(container="mp4"):
    """A second of silence."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream("flac" if container == "matroska" else "aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        for number in range(8):
            frame.pts = 1024 * number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()
