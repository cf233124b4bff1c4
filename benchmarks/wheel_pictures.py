"""Pictures that come with wheels: 24 that constants may be chosen on, and 24 that none is.

Nothing is downloaded or copied into the project: they are read from where scikit-image (BSD-3-Clause, its pictures in
the public domain or as its ``data/README.txt`` says), scikit-learn (two photographs, CC BY) and Matplotlib (its
``sample_data``) are installed; scikit-learn comes with ``pip install .[peers]``. No picture of one half, nor a part of
it, is in the other. Further ones, for what is measured on ordinary pictures only, are those of four other wheels:
``pip install --no-deps foolbox mahotas gradio ultralytics`` (licences as these have them; twenty are of ImageNet).
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
            raise ModuleNotFoundError(f"{package} is not installed: see the head of benchmarks/wheel_pictures.py")
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

_IMAGENET = (
    "imagenet_00_243.jpg",
    "imagenet_01_559.jpg",
    "imagenet_02_438.jpg",
    "imagenet_03_990.jpg",
    "imagenet_04_949.jpg",
    "imagenet_05_853.jpg",
    "imagenet_06_609.jpg",
    "imagenet_07_609.jpg",
    "imagenet_08_915.jpg",
    "imagenet_09_455.jpg",
    "imagenet_10_541.jpg",
    "imagenet_11_630.jpg",
    "imagenet_12_741.jpg",
    "imagenet_13_471.jpg",
    "imagenet_14_129.jpg",
    "imagenet_15_99.jpg",
    "imagenet_16_251.jpg",
    "imagenet_17_22.jpg",
    "imagenet_18_317.jpg",
    "imagenet_19_305.jpg",
)

#: Further ordinary pictures beside `DEVELOPMENT`.
FURTHER_DEVELOPMENT = (
    *_parts("foolbox/data", dict.fromkeys(_IMAGENET[0::2], ())),
    *_parts("mahotas/demos/data", dict.fromkeys(("DepartmentStore.jpg", "luispedro.jpg", "nuclear.png"), ())),
)

#: And beside `UNSEEN`.
FURTHER_UNSEEN = (
    *_parts("foolbox/data", dict.fromkeys(_IMAGENET[1::2], ())),
    *_parts(
        "gradio/media_assets/images",
        dict.fromkeys(
            ("cheetah.jpg", "cheetah1.jpg", "groot.jpeg", "hf-logo_transpng.png", "lion.jpg", "tower.jpg"), ()
        ),
    ),
    *_parts("ultralytics/assets", dict.fromkeys(("bus.jpg", "zidane.jpg"), ())),
)
