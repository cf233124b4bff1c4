"""Pictures to begin with: those of ``img/``, which an installed package has beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from nsfw_experiments.playground.encoding import shown

_HERE = Path(__file__).parent
#: Where they lie: copied here by an installation, else at the top of the checkout.
FOLDERS = (_HERE / "pictures", _HERE.parents[1] / "img")
#: Names in the order in which they are shown, and what they show.
EXAMPLES = {
    "coffee.jpg": "a cup of coffee",
    "astronaut.png": "an astronaut",
    "chelsea.png": "a cat",
    "rocket.jpg": "a rocket at night",
    "retina.jpg": "a retina",
    "starry_swirls.png": "painted swirls",
    "evolved_circles.png": "evolved circles",
    "evolved_triangles.png": "evolved triangles",
}
THUMBNAIL = 96


def example(name: str) -> bytes:
    """Give the file of an example.

    Parameters
    ----------
    name : str
        One of `EXAMPLES`.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> example("coffee.jpg")[:3].hex()
    'ffd8ff'
    """
    if name not in EXAMPLES:
        raise ValueError(f"example: got {name!r}, expected one of {', '.join(EXAMPLES)}")
    return _path(name).read_bytes()


def thumbnails() -> Iterator[dict[str, str | bytes]]:
    """Give what the page shows of the examples.

    Yields
    ------
    dict
        "name", "caption" and "image", a small JPEG.

    Examples
    --------
    >>> [thumbnail["caption"] for thumbnail in thumbnails()][:2]
    ['a cup of coffee', 'an astronaut']
    """
    for name, caption in EXAMPLES.items():
        with Image.open(_path(name)) as picture:
            picture.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            yield {"name": name, "caption": caption, "image": shown(picture, THUMBNAIL)}


def _path(name: str) -> Path:
    return next(folder / name for folder in FOLDERS if (folder / name).is_file())
