"""A map of what raises a picture's score and what lowers it, with all that it takes to read it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from nsfw_experiments.explanation.colours import tinted
from nsfw_experiments.explanation.geometry import coverage, map_of_picture
from nsfw_model.logit import score_of

#: What a map is blurred by before it is shown, as a share of its side: single pixels would not be seen.
SHOWN_BLUR = 1 / 64
#: Pixels between two pictures, and the width below which a caption would not be legible beneath them.
GAP, LEAST_WIDTH = 8, 320


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a picture's score comes from.

    Attributes
    ----------
    picture : PIL.Image.Image
        Of mode RGB.
    method : str
        One of `nsfw_experiments.explanation.METHODS`.
    cells : ndarray of float32, shape (rows, columns)
        What the method found: a grid over what the network sees of the picture.
    logit : float
        Of the picture.
    baseline_logit : float or None
        Where the method has a sum rule, the logit that its map starts from: ``mean + baseline_logit`` is `logit`.
    input_size : (int, int)
        Width and height of the network's input.
    """

    picture: Image.Image
    method: str
    cells: np.ndarray
    logit: float
    baseline_logit: float | None
    input_size: tuple[int, int]

    @cached_property
    def map(self) -> np.ndarray:
        """The cells over the picture's own pixels, float32, NaN where the network does not see it."""
        return map_of_picture(self.cells, self.picture.size, self.input_size)

    @property
    def mean(self) -> float:
        """The mean of the map over what the network sees, which is that of the cells."""
        seen = coverage(self.picture.size, self.input_size)
        return float(np.nansum(self.map * seen) / seen.sum())

    @property
    def score(self) -> float:
        """The picture's score in 0..1."""
        return score_of(self.logit)

    @cached_property
    def shown(self) -> np.ndarray:
        """The cells as they are shown: of a fine grid, blurred a little, the mean kept."""
        return gaussian_filter(self.cells, [side * SHOWN_BLUR for side in self.cells.shape], mode="reflect")

    @property
    def limit(self) -> float:
        """The largest absolute value that is shown: it has the full colour."""
        return float(np.abs(self.shown).max()) or 1.0

    def overlay(self, limit: float | None = None) -> Image.Image:
        """Colour the picture: red raises the score, blue lowers it, grey does neither, and dark is not seen.

        Parameters
        ----------
        limit : float, optional
            The value that has the full colour, above 0, so that several explanations have one scale; left out, that
            of the attribute `limit`.

        Returns
        -------
        PIL.Image.Image
            Of the picture's size.

        Raises
        ------
        ValueError
            If `limit` is not above 0.
        """
        limit = self.limit if limit is None else limit
        if not limit > 0:
            raise ValueError(f"limit: got {limit}, expected a number above 0")
        return tinted(self.picture, map_of_picture(self.shown, self.picture.size, self.input_size), limit)

    def side_by_side(self, limit: float | None = None) -> Image.Image:
        """Set the picture beside its overlay, above a caption with score, method and limit.

        Parameters
        ----------
        limit : float, optional
            As for `overlay`.

        Returns
        -------
        PIL.Image.Image
            As high as the picture, or higher if that is too small for a caption.
        """
        limit = self.limit if limit is None else limit
        caption = f"{self.score:.4f}   {self.method}, full colour \N{PLUS-MINUS SIGN}{limit:.3g}"
        halves = [_enlarged(half) for half in (self.picture, self.overlay(limit))]
        width, height = halves[0].size
        text = max(14, min(width, height) // 24)
        sheet = Image.new("RGB", (2 * width + GAP, height + 2 * text), "white")
        for number, half in enumerate(halves):
            sheet.paste(half, (number * (width + GAP), 0))
        place = sheet.width // 2, height + text
        ImageDraw.Draw(sheet).text(place, caption, fill="#222222", font=ImageFont.load_default(text), anchor="mm")
        return sheet

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        encoded = io.BytesIO()
        self.side_by_side().save(encoded, format="PNG")
        return encoded.getvalue()


def _enlarged(picture: Image.Image) -> Image.Image:
    """The same picture, so many times as large that a caption fits below it."""
    times = -(-LEAST_WIDTH // (2 * picture.width))
    return picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
