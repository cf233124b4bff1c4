"""Types of open_nsfw.py for users' type checkers: a single module cannot carry the marker py.typed (PEP 561).

tests/house/test_user_types.py checks that both agree.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from nsfw_model.preprocess import CHANNEL_MEANS as cmean
from nsfw_model.preprocess import (
    Picture,
    PictureError,
    crop,
    deprocess,
    make_jpg,
    prepare,
    process,
    read_picture,
    resize_image,
)
from nsfw_model.scorer import Scorer
from nsfw_scale.frames import FrameScore

__version__: str

__all__ = [
    "FrameScore",
    "PictureError",
    "SinglePictureError",
    "build_nsfw_net",
    "cmean",
    "crop",
    "deprocess",
    "frame_scores",
    "get_scorer",
    "make_jpg",
    "model_files",
    "nsfw_input_var",
    "nsfw_model",
    "nsfw_net",
    "nsfw_output",
    "nsfw_score",
    "nsfw_score_fn",
    "nsfw_scores",
    "prepare",
    "process",
    "read_picture",
    "resize_image",
]

class SinglePictureError(TypeError): ...

def nsfw_score(
    img: Picture,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    frames: Literal["first", "max", "mean"] = "first",
    resist: bool = False,
) -> float: ...
def frame_scores(
    img: Picture,
    every: float | None = None,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    *,
    batch_size: int = 8,
    precision: Literal["float32", "bfloat16"] = "float32",
    resist: bool = False,
) -> Iterator[FrameScore]: ...
@overload
def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise", "nan"] = "raise",
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    seconds: float | None = None,
    workers: int | None = None,
    frames: Literal["first", "max", "mean"] = "first",
    every: float | None = None,
    client: Any = None,
    resist: bool = False,
) -> Iterator[float]: ...
@overload
def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise", "return", "nan"] = "raise",
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    seconds: float | None = None,
    workers: int | None = None,
    frames: Literal["first", "max", "mean"] = "first",
    every: float | None = None,
    client: Any = None,
    resist: bool = False,
) -> Iterator[float | PictureError]: ...
@overload
def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise"] = "raise",
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    seconds: float | None = None,
    workers: int | None = None,
    frames: Literal["all"],
    every: float | None = None,
    client: Any = None,
    resist: bool = False,
) -> Iterator[list[FrameScore]]: ...
@overload
def nsfw_scores(
    images: Iterable[Picture],
    batch_size: int = 8,
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    on_error: Literal["raise", "return", "nan"] = "raise",
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    seconds: float | None = None,
    workers: int | None = None,
    frames: Literal["first", "max", "mean", "all"] = "first",
    every: float | None = None,
    client: Any = None,
    resist: bool = False,
) -> Iterator[float | list[FrameScore] | PictureError]: ...
def build_nsfw_net(
    input_var: Any = None, nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None
) -> tuple[Any, dict[str, Any]]: ...
def get_scorer(
    nsfw_pkl_path: str | Path | None = None,
    deploy_prototxt_path: str | Path | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Scorer: ...
def model_files(
    nsfw_pkl_path: str | Path | None = None, deploy_prototxt_path: str | Path | None = None
) -> tuple[Path, Path]: ...
def nsfw_score_fn(img: np.ndarray) -> np.ndarray: ...

nsfw_input_var: Any
nsfw_model: Any
nsfw_net: dict[str, Any]
nsfw_output: Any
