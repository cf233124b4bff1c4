"""Pictures that come with wheels: 24 that constants may be chosen on, and 24 that none is.

Nothing is downloaded or copied into the project: they are read from where scikit-image (BSD-3-Clause, its pictures in
the public domain or as its ``data/README.txt`` says), scikit-learn (two photographs, CC BY) and Matplotlib (its
``sample_data``) are installed; scikit-learn comes with ``pip install .[peers]``. No picture of one half, nor a part of
it, is in the other.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image

SKIMAGE, SKLEARN, MATPLOTLIB = "skimage/data", "sklearn/datasets/images", "matplotlib/mpl-data/sample_data"


class Part(NamedTuple):
    """A picture of a wheel, or a part of it.

    Attributes
    ----------
    folder : str
        Its package, and where it lies in that.
    file : str
    box : (float, float, float, float)
        Left, top, right and bottom, as parts of its width and height.
    """

    folder: str
    file: str
    box: tuple[float, float, float, float] = (0, 0, 1, 1)

    @property
    def name(self) -> str:
        """The file's name, and the part where it is not the whole."""
        whole = self.box == (0, 0, 1, 1)
        return Path(self.file).stem + ("" if whole else " " + " ".join(f"{side:g}" for side in self.box))

    def read(self) -> Image.Image:
        """Read it.

        Returns
        -------
        PIL.Image.Image
            Of mode RGB.

        Raises
        ------
        ModuleNotFoundError
            If its package is not installed.
        """
        package, _, folder = self.folder.partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed: pip install .[peers]")
        with Image.open(Path(spec.origin).parent / folder / self.file) as opened:
            picture = opened.convert("RGB")
        sides = picture.width, picture.height, picture.width, picture.height
        left, top, right, bottom = (round(part * side) for part, side in zip(self.box, sides))
        return picture.crop((left, top, right, bottom))


LEFT, RIGHT, MIDDLE = (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0.25, 0.25, 0.75, 0.75)
TOP_LEFT, BOTTOM_RIGHT = (0, 0, 0.6, 0.6), (0.4, 0.4, 1, 1)


def _parts(folder: str, files: dict[str, tuple[tuple[float, float, float, float], ...]]) -> tuple[Part, ...]:
    return tuple(Part(folder, file, box) for file, boxes in files.items() for box in ((0, 0, 1, 1), *boxes))


#: What constants may be chosen on: those of the project's own img/ among them, since older constants saw these.
DEVELOPMENT = _parts(
    SKIMAGE,
    {
        "astronaut.png": (TOP_LEFT, BOTTOM_RIGHT),
        "brick.png": (),
        "camera.png": (MIDDLE,),
        "chelsea.png": (LEFT, RIGHT),
        "coffee.png": (TOP_LEFT, BOTTOM_RIGHT),
        "coins.png": (MIDDLE,),
        "horse.png": (),
        "hubble_deep_field.jpg": (LEFT,),
        "page.png": (LEFT,),
        "retina.jpg": (MIDDLE,),
        "rocket.jpg": (MIDDLE, RIGHT),
    },
)

#: What they are judged on.
UNSEEN = (
    *_parts(
        SKIMAGE,
        {
            "cell.png": (),
            "clock_motion.png": (),
            "color.png": (),
            "grass.png": (),
            "gravel.png": (),
            "ihc.png": (LEFT,),
            "logo.png": (),
            "moon.png": (),
            "motorcycle_left.png": (LEFT, RIGHT, MIDDLE),
            "text.png": (),
        },
    ),
    *_parts(SKLEARN, {"china.jpg": (LEFT, RIGHT, MIDDLE), "flower.jpg": (LEFT, RIGHT)}),
    *_parts(MATPLOTLIB, {"grace_hopper.jpg": (MIDDLE,), "Minduka_Present_Blue_Pack.png": ()}),
)
