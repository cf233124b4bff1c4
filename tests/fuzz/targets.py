"""What is fuzzed: for each reader, a function of a file's bytes that raises if the reader breaks its word.

A reader gives what it promises, or raises its one kind of error. How long it takes, and how much memory, is watched
from outside.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from nsfw_experiments.evolution.checkpoint import Checkpoint, CheckpointError
from nsfw_model import ModelFileError
from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.picture import FORMATS, PictureError, read_picture
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.schema import NetParameter
from nsfw_model.weights import WeightsError, load_weights, pickled
from nsfw_scale.film import is_film
from nsfw_scale.frames import read_frames

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: For Image.MAX_IMAGE_PIXELS: what is allowed is decoded, and that takes time.
PIXELS = 1 << 22
_FILE = Path(tempfile.mkdtemp()) / "file"


def _on_disk(data: bytes) -> Path:
    _FILE.write_bytes(data)
    return _FILE


def weights(data: bytes) -> None:
    """nsfw.pkl: what is read is finite, and is written so that it is read alike."""
    try:
        layers = load_weights(_on_disk(data))
    except WeightsError:
        return
    again = load_weights(_on_disk(pickled(layers)))
    assert [name for name, _ in again] == [name for name, _ in layers]
    for (_, blobs), (_, same) in zip(layers, again):
        assert all(np.isfinite(blob).all() and np.array_equal(blob, other) for blob, other in zip(blobs, same))
        assert len(blobs) == len(same)


def prototxt(data: bytes) -> None:
    """deploy.prototxt: each layer has a name and a known type, and reads what an earlier one gives."""
    try:
        specs = read_prototxt(_on_disk(data))
    except PrototxtError:
        return
    given: set[str] = set()
    for spec in specs:
        assert spec.name and set(spec.bottoms) <= given
        given.update(spec.tops)


def caffemodel(data: bytes) -> None:
    """A caffemodel: what is read of it are finite arrays."""
    try:
        _, layers = read_caffemodel(_on_disk(data))
    except ModelFileError:
        return
    assert all(np.isfinite(blob).all() for _, blobs in layers for blob in blobs)


def checkpoint(data: bytes) -> None:
    """checkpoint.json: a run is taken up as a whole, or not at all."""
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.fitness import Psnr
    from nsfw_experiments.evolution.strategies import make_toolbox

    saved = Checkpoint(_on_disk(data))
    try:
        settings = saved.settings()
        size = settings.primitive.size
        if size[0] * size[1] * settings.count > 1 << 20:
            return
        evolution = Evolution(make_toolbox(settings, Psnr(Image.new("RGB", size), size)))
    except (CheckpointError, ValueError):
        return
    before = evolution.state()
    try:
        saved.restore(evolution)
    except CheckpointError:
        assert evolution.state() == before
        return
    assert evolution.generation < 0 or evolution.population


def picture(data: bytes) -> None:
    """A picture is RGB and has pixels, or is one kind of error with one line."""
    try:
        read = read_picture(data)
    except PictureError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return
    assert read.mode == "RGB" and len(read.tobytes()) == 3 * read.width * read.height > 0


def animation(data: bytes) -> None:
    """Frames are RGB, the first is the picture, and times grow; or they are one kind of error with one line."""
    if is_film(data):  # an AVIF of another brand
        return film(data)
    try:
        frames = list(islice(read_frames(data), 50))
    except PictureError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return
    assert frames[0].picture.tobytes() == read_picture(data).tobytes()
    assert all(frame.picture.mode == "RGB" for frame in frames)
    assert all(frame.seconds < later.seconds for frame, later in pairwise(frames))


def film(data: bytes) -> None:
    """Pictures of a film are RGB and their times grow, or there is one kind of error with one line."""
    try:
        frames = list(islice(read_frames(data, every=0.5), 50))
    except PictureError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return
    assert all(frame.picture.mode == "RGB" for frame in frames)
    assert all(frame.seconds < later.seconds for frame, later in pairwise(frames))


def uploads(data: bytes) -> None:
    """A request, its type in the first line: pictures or an error, the same however the body is cut."""
    from nsfw_server.limits import Limits
    from nsfw_server.problem import Problem
    from nsfw_server.uploads import read_uploads

    head, _, body = data.partition(b"\n")
    content_type, limits = head.decode("latin-1"), Limits(body_bytes=20_000, picture_bytes=5_000, files=3)

    def read(size: int) -> object:
        async def stream():
            for begin in range(0, len(body), size):
                yield body[begin : begin + size]

        try:
            return asyncio.run(read_uploads(content_type, stream(), limits))
        except Problem as problem:
            return problem.kind, problem.status

    whole = read(len(body) or 1)
    assert isinstance(whole, tuple) or all(len(upload.data) <= limits.picture_bytes for upload in whole)
    assert isinstance(whole, tuple) or 1 <= len(whole) <= limits.files
    if len(body) <= 2000:  # where the order in which it breaks several limits does not matter
        assert read(7) == whole


ANIMATIONS = "AVIF", "GIF", "PNG", "TIFF", "WEBP"
TARGETS: dict[str, Callable[[bytes], None]] = {
    "weights": weights,
    "prototxt": prototxt,
    "caffemodel": caffemodel,
    "checkpoint": checkpoint,
    **{f"picture-{name.lower()}": picture for name in FORMATS},
    **{f"animation-{name.lower()}": animation for name in ANIMATIONS},
    "film": film,
    "uploads": uploads,
}


def seeds(target: str) -> Iterator[bytes]:
    """Small valid files of a target's kind, from which fuzzing begins, and those that once broke something."""
    for path in sorted((HERE / "corpus" / target).glob("*")):
        yield path.read_bytes()
    if target == "weights":
        rng = np.random.default_rng(0)
        layers = [("conv", [rng.normal(size=(2, 3, 3, 3)).astype("float32"), np.zeros(2, "float32")]), ("relu", [])]
        yield pickled(layers)
    elif target == "prototxt":
        yield (ROOT / "nsfw_model" / "deploy.prototxt").read_bytes()[:3000]
        yield b'input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } layer { name: "a" type: "ReLU" bottom: "x" }'
    elif target == "caffemodel":
        net = NetParameter(name="net")
        layer = net.layer.add(name="conv", type="Convolution", bottom=["data"], top=["conv"])
        layer.blobs.add(data=[1.0, 2.0]).shape.dim.extend([2])
        yield net.SerializeToString()
    elif target == "checkpoint":
        yield from _checkpoints()
    elif target == "film":
        yield from _films()
    elif target == "uploads":
        yield from _uploads()
    elif target.startswith("animation-"):
        yield from _animations(target.removeprefix("animation-").upper())
    else:
        yield from _pictures(target.removeprefix("picture-").upper())


def _checkpoints() -> Iterator[bytes]:
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.fitness import Psnr
    from nsfw_experiments.evolution.settings import Settings
    from nsfw_experiments.evolution.strategies import make_toolbox

    for strategy in "climb", "original":
        settings = Settings.from_dict({"size": [8, 8], "count": 2, "population": 2, "strategy": strategy})
        evolution = Evolution(make_toolbox(settings, Psnr(Image.new("RGB", (8, 8)), (8, 8))))
        evolution.run(1)
        Checkpoint(_FILE)(evolution)
        yield _FILE.read_bytes()


def _pictures(format: str) -> Iterator[bytes]:
    for plugin in FORMATS.values():
        importlib.import_module(f"PIL.{plugin}")
    colours = Image.open(ROOT / "img" / "coffee.jpg").convert("RGB").resize((40, 24))
    options: dict[str, list[dict]] = {
        "JPEG": [{}, {"progressive": True}, {"restart_marker_blocks": 2}],
        "PNG": [{}, {"bits": 8}],
        "JPEG2000": [{}, {"no_jp2": True, "tile_size": (16, 16)}],
        "TIFF": [{}, {"compression": "packbits"}, {"compression": "tiff_lzw"}],
        "TGA": [{}, {"compression": "tga_rle"}],
        "WEBP": [{}, {"lossless": True}],
        "ICO": [{}, {"bitmap_format": "bmp"}],
    }
    for picture in colours, colours.convert("L"), colours.quantize(16), colours.convert("1"):
        for chosen in options.get(format, [{}]):
            buffer = io.BytesIO()
            try:
                picture.save(buffer, format=format, **chosen)
            except (OSError, ValueError, KeyError):  # not every format has every mode
                continue
            yield buffer.getvalue()


def _animations(format: str) -> Iterator[bytes]:
    colours = Image.open(ROOT / "img" / "coffee.jpg").convert("RGB").resize((24, 16))
    frames = [colours.rotate(angle) for angle in (0, 90, 180)]
    options: dict[str, list[dict]] = {"GIF": [{"disposal": 2}, {"disposal": 3}], "PNG": [{"disposal": 2, "blend": 1}]}
    for chosen in [{}, *options.get(format, [])]:
        buffer = io.BytesIO()
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:], duration=[20, 0, 300], **chosen)
        yield buffer.getvalue()


def _films() -> Iterator[bytes]:
    from hostile_films import HOSTILE, in_fragments
    from made_films import film as encoded

    for container, codec in ("mp4", "mpeg4"), ("matroska", "libx264"), ("avi", "mpeg4"), ("flv", "flv1"):
        yield encoded(range(0, 120, 10), container=container, codec=codec)
    yield in_fragments()
    yield from (data for make, _ in HOSTILE.values() if len(data := make()) < 1 << 14)


def _uploads() -> Iterator[bytes]:
    yield b"image/gif\nGIF89a"
    for name in 'filename="a.jpg"', "filename*=utf-8''%e2%82%ac.png", 'name="b"; filename="c\\"d"', 'name="no file"':
        part = (
            b"--B\r\nContent-Disposition: form-data; %s\r\nContent-Type: image/png\r\n\r\npicture\r\n" % name.encode()
        )
        yield b"multipart/form-data; boundary=B\n" + 2 * part + b"--B--\r\n"


def run_corpus(target: str) -> int:
    """Give all seeds to a target, and return how many there are."""
    count = 0
    for data in seeds(target):
        TARGETS[target](data)
        count += 1
    return count


def forget() -> None:
    """Remove the file that targets were given."""
    _FILE.unlink(missing_ok=True)
    os.rmdir(_FILE.parent)
