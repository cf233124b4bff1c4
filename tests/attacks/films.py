"""Films of a few kilobytes that promise millions of samples, have as many tags, and frames as large as fields."""

import io

import av
from attack import Attack, Attacks
from hostile_films import HOSTILE
from made_films import film
from made_pictures import png
from pictures import prepare
from tagged_films import TAGGED

from nsfw_scale.frames import read_frames

__all__ = ["ATTACKS", "prepare"]

ATTACKS = Attacks()
TOO_MANY_TAGS = "got more than nsfw_scale.tags.MAX_TAGS|took [0-9.]+ s of the processor to be taken apart"
TOO_LARGE = "PictureError: .*damaged, or has more than 35651584 pixels"


def frames_of(data):
    return f"{len(list(read_frames(data)))} frames"


def of_png(size, width, height):
    """A film that says of its frames that they have one size, and has another one as a PNG."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        packet = av.Packet(png(bytes(height * (width + 1)), width, height))
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        output.mux(packet)
    return buffer.getvalue()


for name, (make, message) in HOSTILE.items():
    ATTACKS.append(
        Attack("cost", f"film: {name}", lambda folder, make=make: frames_of(make()), f"PictureError: .*{message}")
    )

for name, tagged in TAGGED.items():
    ATTACKS.append(
        Attack(
            "cost",
            f"film of 100,000 tags: {name}",
            lambda folder, tagged=tagged: frames_of(tagged(100_000)),
            f"PictureError: .*({TOO_MANY_TAGS})",
        )
    )


@ATTACKS.on("cost", TOO_LARGE)
def a_film_of_large_frames(folder):
    return frames_of(of_png((9000, 8000), 9000, 8000))


@ATTACKS.on("cost", TOO_LARGE)
def a_film_whose_frames_are_larger_than_it_says(folder):
    return frames_of(of_png((64, 48), 9000, 8000))


@ATTACKS.on("cost", "PictureError: .*a film whose codec is asv2")
def a_film_of_a_codec_that_is_not_on_the_list(folder):
    return frames_of(film([0] * 10, container="avi", codec="asv2"))
