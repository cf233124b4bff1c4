"""What is asked and answered, as OpenAPI describes it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Label = Literal["unsafe", "safe", "failed"]
Precision = Literal["float32", "bfloat16"]


class ScoreOptions(BaseModel):
    """How pictures are scored."""

    model_config = ConfigDict(extra="forbid")

    frames: Literal["first", "max", "mean"] = Field(
        "first", description="Which frames of an animation or a film count: the first, the worst, or all."
    )
    every: float | None = Field(
        None, gt=0, le=1e6, description="Seconds from one frame to the next, where several count.", examples=[1.0]
    )
    precision: Precision = Field("float32", description="Of the convolutions; bfloat16 needs a processor that has it.")
    threshold: float = Field(0.8, ge=0, le=1, description="From which score on a picture is unsafe.")


class Error(BaseModel):
    """Why there is no score."""

    kind: str = Field(examples=["unreadable"])
    message: str = Field(examples=["cannot be read as a picture: image file is truncated"])


class Failure(BaseModel):
    """An answer without scores."""

    error: Error


class FileScore(BaseModel):
    """What became of a picture."""

    file: str | None = Field(description="The name that it was sent with.", examples=["coffee.jpg"])
    score: float | None = Field(description="0: safe for work, 1: not safe for work.", ge=0, le=1, examples=[0.0129])
    label: Label
    milliseconds: float = Field(description="From its arrival to its score.", ge=0, examples=[21.4])
    frames: int | None = Field(None, description="How many were scored, of an animation or a film.")
    worst_second: float | None = Field(None, description="Where the frame of the highest score is.")
    error: Error | None = None


class Scores(BaseModel):
    """What became of the pictures of a request, in their order."""

    model: str = Field(description="A hash of weights and architecture.", examples=["7f281a34583c"])
    precision: Precision
    threshold: float
    results: list[FileScore]


class Explanation(BaseModel):
    """Where the score of a picture comes from: its class activation map."""

    model: str = Field(description="A hash of weights and architecture.")
    score: float = Field(ge=0, le=1)
    logit: float = Field(description="log(score / (1 - score)): the mean of all cells, plus the bias.")
    bias: float
    cells: list[list[float]] = Field(description="Rows of equal parts of what is seen: above 0 raises the score.")
    seen: list[float] = Field(
        min_length=4,
        max_length=4,
        description="Left, top, right and bottom of what the network sees, in shares of the picture.",
    )


class Model(BaseModel):
    """What computes the scores."""

    model: str = Field(description="A hash of weights and architecture.")
    version: str
    weights: str = Field(description="SHA-256 of the file.")
    architecture: str = Field(description="SHA-256 of the file.")
    input_size: list[int] = Field(min_length=2, max_length=2, description="Width and height that the network sees.")
    precisions: list[Precision] = Field(description="Those that this processor has.")
    engine: str
    formats: list[str] = Field(description="Of pictures that are read.")
    limits: dict[str, float]


class Health(BaseModel):
    """Whether the service is there."""

    status: Literal["ok"]
