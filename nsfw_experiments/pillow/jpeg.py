"""Pillow's JPEG, value for value, in NumPy, and the gradient through it.

``Image.save(format="JPEG")`` followed by ``Image.open`` is, in Pillow's builds, libjpeg-turbo's baseline
coder [1]_ [2]_ with the "islow" integer DCT and "fancy" chroma upsampling. Entropy coding loses nothing, so what a
picture suffers on that way is a chain of small integer computations (names of files are libjpeg-turbo's):

1. RGB to YCbCr in 16-bit fixed point, rounded to a byte (jccolor.c);
2. chroma averaged over 2x1 or 2x2 pixels with an alternating rounding bias (jcsample.c), edges repeated
   (jcprepct.c);
3. a DCT of each 8x8 block in 13-bit fixed point, rows then columns, each pass rounded (jfdctint.c);
4. division by the quantisation table, rounded half away from zero (jcdctmgr.c), and multiplication again;
5. the inverse DCT, columns then rows, each pass rounded, clipped to a byte (jidctint.c);
6. chroma upsampled by a triangle filter (jdsample.c), YCbCr to RGB in 16-bit fixed point, clipped
   (jdcolor.c).

One pass of the islow DCT is additions and multiplications followed by one rounding shift, so it *is* a
product with an 8x8 integer matrix followed by that shift, and the inverse's matrix is its transpose. All
products and sums stay far below 2**53, so they are computed exactly in float64, where NumPy has BLAS.

The gradient (`Jpeg.vjp`) is that of the same chain without roundings and clippings: they are passed straight through,
as by the straight-through estimator [3]_. A quantiser's rounding may instead be weighted by how close a coefficient is
to the edge of its step; another differentiable quantiser is that of [4]_.

References
----------
.. [1] ITU-T Recommendation T.81, "Digital compression and coding of continuous-tone still images: requirements and
   guidelines", 1992.
.. [2] libjpeg-turbo, https://github.com/libjpeg-turbo/libjpeg-turbo
.. [3] Yoshua Bengio, Nicholas Leonard, Aaron Courville, "Estimating or propagating gradients through stochastic
   neurons for conditional computation", 2013, arXiv:1308.3432.
.. [4] Richard Shin, Dawn Song, "JPEG-resistant adversarial images", NIPS 2017 Workshop on Machine Learning and
   Computer Security.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np

#: Luminance, and Cb and Cr: float arrays of shapes (rows, columns) and (2, rows, columns), the second in the
#: subsampled size, as `Jpeg.unrounded_coefficients` gives them.
Coefficients = tuple[np.ndarray, np.ndarray]

#: Chroma samples are averages over (columns, rows) of this many pixels.
SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}

BLOCK = 8

# ITU-T T.81, tables K.1 and K.2: the quantisation steps of quality 50.
LUMINANCE_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
CHROMINANCE_STEPS = np.full((BLOCK, BLOCK), 99)
CHROMINANCE_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# jccolor.c and jdcolor.c: coefficients times 2**16, and what is added before the shift by 16.
RGB_TO_YCC = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]])
RGB_TO_YCC_OFFSET = np.array([32768, (128 << 16) + 32767, (128 << 16) + 32767])
CR_TO_RED, CB_TO_GREEN, CR_TO_GREEN, CB_TO_BLUE = 91881, -22554, -46802, 116130
COLOUR_BITS = 16


def quantisation_steps(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the luminance and chrominance quantisation tables that Pillow writes.

    Parameters
    ----------
    quality : int
        1 to 95, as in ``Image.save``.

    Returns
    -------
    luminance, chrominance : ndarray of int, shape (8, 8)
        Steps of 1 to 255; rows are vertical frequencies.

    Notes
    -----
    Tables K.1 and K.2 of ITU-T T.81, scaled by libjpeg-turbo's jcparam.c, ``jpeg_set_quality`` with
    ``force_baseline``: by 5000/quality below 50 and 200 - 2*quality from there, in whole percent.

    Examples
    --------
    >>> quantisation_steps(75)[0][0].tolist()
    [8, 6, 5, 8, 12, 20, 26, 31]
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luminance, chrominance = (
        np.clip((steps * percent + 50) // 100, 1, 255) for steps in (LUMINANCE_STEPS, CHROMINANCE_STEPS)
    )
    return luminance, chrominance


def _islow_matrix() -> np.ndarray:
    """The 8x8 matrix of one islow DCT pass, times 2**13 (jfdctint.c written out)."""

    def fix(value: float) -> int:
        return int(value * 8192 + 0.5)

    c0_298, c0_390, c0_541, c0_765 = fix(0.298631336), fix(0.390180644), fix(0.541196100), fix(0.765366865)
    c0_899, c1_175, c1_501, c1_847 = fix(0.899976223), fix(1.175875602), fix(1.501321110), fix(1.847759065)
    c1_961, c2_053, c2_562, c3_072 = fix(1.961570560), fix(2.053119869), fix(2.562915447), fix(3.072711026)
    # Even frequencies see x0+x7, x1+x6, x2+x5, x3+x4; odd ones see the differences, in the same order.
    one = 8192
    even = {
        0: [one, one, one, one],
        2: [c0_541 + c0_765, c0_541, -c0_541, -c0_541 - c0_765],
        4: [one, -one, -one, one],
        6: [c0_541, c0_541 - c1_847, c1_847 - c0_541, -c0_541],
    }
    odd = {
        1: [c1_501 - c0_899 - c0_390 + c1_175, c1_175, c1_175 - c0_390, c1_175 - c0_899],
        3: [c1_175, c3_072 - c2_562 - c1_961 + c1_175, c1_175 - c2_562, c1_175 - c1_961],
        5: [c1_175 - c0_390, c1_175 - c2_562, c2_053 - c2_562 - c0_390 + c1_175, c1_175],
        7: [c1_175 - c0_899, c1_175 - c1_961, c1_175, c0_298 - c0_899 - c1_961 + c1_175],
    }
    rows = {k: half + half[::-1] for k, half in even.items()}
    rows |= {k: half + [-value for value in reversed(half)] for k, half in odd.items()}
    return np.array([rows[k] for k in range(BLOCK)], dtype=np.float64)


ISLOW = _islow_matrix()
# The DCT that islow approximates, orthonormal.
_frequency, _position = np.mgrid[:BLOCK, :BLOCK]
DCT = np.cos((2 * _position + 1) * _frequency * np.pi / 16) / 2
DCT[0] /= np.sqrt(2)


def _on_rows(matrix: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """matrix @ (each run of 8 samples along a row)."""
    # A small product for each row of samples: one tall product wakes BLAS's threads and takes far longer.
    return (planes.reshape(-1, planes.shape[-1] // BLOCK, BLOCK) @ matrix.T).reshape(planes.shape)


def _on_columns(matrix: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """matrix @ (each run of 8 samples down a column)."""
    width = planes.shape[-1]
    return (matrix @ planes.reshape(-1, BLOCK, width)).reshape(planes.shape)


def _recoloured(matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """matrix @ (each pixel of an array of shape (height, width, 3)), as one of shape (3, height, width)."""
    rows = np.ascontiguousarray(pixels.transpose(0, 2, 1), matrix.dtype)
    return (matrix @ rows).transpose(1, 0, 2)


def _descale(values: np.ndarray, bits: int) -> np.ndarray:
    """``(values + 2**(bits - 1)) >> bits`` of whole numbers kept in float64, in place."""
    values *= 0.5**bits
    values += 0.5
    return np.floor(values, out=values)


def _in_blocks(planes: np.ndarray) -> np.ndarray:
    """A view of shape (..., height, width) as (..., rows of blocks, 8, columns of blocks, 8)."""
    *lead, height, width = planes.shape
    return planes.reshape(*lead, height // BLOCK, BLOCK, width // BLOCK, BLOCK)


def _table(steps: np.ndarray) -> np.ndarray:
    """A quantisation table, shaped to broadcast over what `_in_blocks` gives."""
    return steps[None, :, None, :]


def _extended(planes: np.ndarray, rows: int, columns: int, mode: Literal["edge", "constant"]) -> np.ndarray:
    """np.pad below and to the right; nothing to do for whole blocks, which are the rule."""
    if not rows and not columns:
        return planes
    return np.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, rows), (0, columns)], mode)


def _fold_edge(gradient: np.ndarray, size: int, axis: int) -> np.ndarray:
    """VJP of repeating the last sample along an axis: the repeated ones' gradients go to it."""
    if gradient.shape[axis] == size:
        return gradient
    gradient = np.moveaxis(gradient, axis, 0)
    folded = gradient[:size].copy()
    folded[-1] += gradient[size:].sum(0)
    return np.moveaxis(folded, 0, axis)


def _neighbours(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples before and after, along the last axis, the ends repeated."""
    before = np.concatenate([samples[..., :1], samples[..., :-1]], -1)
    after = np.concatenate([samples[..., 1:], samples[..., -1:]], -1)
    return before, after


def _interleave(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    return np.stack([even, odd], -1).reshape(*even.shape[:-1], -1)


def _triangle_vjp(gradient: np.ndarray) -> np.ndarray:
    """VJP of the triangle filter (3/4 nearer sample, 1/4 farther, ends repeated) along the last axis."""
    even, odd = gradient[..., 0::2], gradient[..., 1::2]
    samples = 0.75 * (even + odd)
    samples[..., :-1] += 0.25 * even[..., 1:]
    samples[..., 1:] += 0.25 * odd[..., :-1]
    samples[..., 0] += 0.25 * even[..., 0]
    samples[..., -1] += 0.25 * odd[..., -1]
    return samples


def _swapped(planes: np.ndarray) -> np.ndarray:
    return np.swapaxes(planes, -1, -2)


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Jpeg:
    """One setting of Pillow's JPEG coder: encode and decode in one step.

    Parameters
    ----------
    quality : int
        1 to 95; Pillow's default is 75.
    subsampling : {"4:2:0", "4:2:2", "4:4:4"}
        Pillow's default is "4:2:0".

    Raises
    ------
    ValueError
        For any other quality or subsampling.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> noise = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    >>> file = io.BytesIO()
    >>> Image.fromarray(noise).save(file, "JPEG")
    >>> bool((Jpeg()(noise) == np.asarray(Image.open(file))).all())
    True
    """

    quality: int = 75
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        if not isinstance(self.quality, (int, np.integer)) or not 1 <= self.quality <= 95:
            raise ValueError(f"JPEG quality: got {self.quality!r}, expected a whole number from 1 to 95")
        if self.subsampling not in SUBSAMPLINGS:
            raise ValueError(f"JPEG subsampling: got {self.subsampling!r}, expected 4:2:0, 4:2:2 or 4:4:4")

    @cached_property
    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        """The luminance and chrominance quantisation tables, see `quantisation_steps`."""
        return quantisation_steps(self.quality)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Give the picture that Pillow gives back after saving and opening.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            RGB.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)

        Raises
        ------
        ValueError
            If `pixels` is no such array.
        """
        return self.decode(self.unrounded_coefficients(pixels), pixels.shape[:2])

    def unrounded_coefficients(self, pixels: np.ndarray) -> Coefficients:
        """Give the DCT coefficients in units of their quantisation steps, before they are rounded.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (height, width, 3)
            RGB.

        Returns
        -------
        luminance : ndarray of float64, shape (rows, columns)
            Rows and columns are rounded up to multiples of 8; the coefficient of frequency (u, v) of a block
            stands where the block's pixel (u, v) stood.
        chrominance : ndarray of float64, shape (2, rows, columns)
            Cb and Cr, in the subsampled size.

        Raises
        ------
        ValueError
            If `pixels` is no such array.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"pixels: got {pixels.dtype} {pixels.shape}, expected uint8 (height, width, 3)")
        ycc = _recoloured(RGB_TO_YCC.astype(np.float64), pixels)
        ycc += RGB_TO_YCC_OFFSET[:, None, None]
        ycc *= 0.5**COLOUR_BITS
        ycc = np.floor(ycc, out=ycc)
        luma_steps, chroma_steps = self.steps
        return self._transform(ycc[0], luma_steps), self._transform(self._subsample(ycc[1:]), chroma_steps)

    def _subsample(self, chroma: np.ndarray) -> np.ndarray:
        """jcsample.c: averages over columns and rows; the last column, and an odd last row, is repeated."""
        across, down = SUBSAMPLINGS[self.subsampling]
        height, width = chroma.shape[1:]
        padded_width = _ceil_div(width, across * BLOCK) * across * BLOCK
        chroma = _extended(chroma, -height % down, padded_width - width, "edge")
        if across == 1:
            return chroma
        sums = chroma[:, :, 0::2] + chroma[:, :, 1::2]
        if down == 1:
            bias, halvings = (0, 1), 1
        else:
            sums = sums[:, 0::2] + sums[:, 1::2]
            bias, halvings = (1, 2), 2
        sums += np.tile(bias, sums.shape[2] // 2)
        sums *= 0.5**halvings
        return np.floor(sums, out=sums)

    @staticmethod
    def _transform(planes: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Level shift, edge repetition to whole blocks, islow DCT, division by the steps."""
        height, width = planes.shape[-2:]
        shifted = _extended(planes - 128, -height % BLOCK, -width % BLOCK, "edge")
        rows = _descale(_on_rows(ISLOW, shifted), 11)
        coefficients = _descale(_on_columns(ISLOW, rows), 15)
        # The quantiser's arithmetic is (|c| + 4*step) // (8*step): dividing here and rounding later gives the
        # same integers, because float64 represents every half exactly and nothing else comes close to one.
        _in_blocks(coefficients)[...] /= _table(8.0 * steps)
        return coefficients

    def decode(self, coefficients: Coefficients, size: tuple[int, ...]) -> np.ndarray:
        """Quantise coefficients and turn them back into pixels.

        Parameters
        ----------
        coefficients : luminance, chrominance
            As `unrounded_coefficients` gives them.
        size : (int, int)
            Height and width of the picture.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
        """
        (height, width), (across, down) = size, SUBSAMPLINGS[self.subsampling]
        luma, chroma = (self._reconstruct(planes, steps) for planes, steps in zip(coefficients, self.steps))
        luma = luma[:height, :width]
        chroma = self._upsample(chroma[:, : _ceil_div(height, down), : _ceil_div(width, across)])
        blue, red = chroma[:, :height, :width] - 128
        rgb = np.empty((height, width, 3), np.uint8)
        for channel, chrominance in enumerate(
            (red * CR_TO_RED, blue * CB_TO_GREEN + red * CR_TO_GREEN, blue * CB_TO_BLUE)
        ):
            colour = _descale(chrominance, COLOUR_BITS)
            colour += luma
            rgb[..., channel] = np.clip(colour, 0, 255, out=colour)
        return rgb

    @staticmethod
    def _reconstruct(unrounded: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Quantisation, multiplication by the steps, islow inverse DCT, clipping."""
        coefficients = quantised(unrounded)
        _in_blocks(coefficients)[...] *= _table(steps)
        columns = _descale(_on_columns(ISLOW.T, coefficients), 11)
        samples = _descale(_on_rows(ISLOW.T, columns), 18)
        samples += 128
        return np.clip(samples, 0, 255, out=samples)

    def _upsample(self, chroma: np.ndarray) -> np.ndarray:
        """jdsample.c: the triangle filter, or repetition where a picture is too narrow for it."""
        across, down = SUBSAMPLINGS[self.subsampling]
        if across == 1:
            return chroma
        if chroma.shape[2] <= 2:
            return chroma.repeat(across, 2).repeat(down, 1)
        if down == 2:
            above, below = map(_swapped, _neighbours(_swapped(chroma)))
            rows = np.stack([3 * chroma + above, 3 * chroma + below], 2)
            chroma = rows.reshape(chroma.shape[0], -1, chroma.shape[2])
            biases, bits = (8, 7), 4
        else:
            biases, bits = (1, 2), 2
        left, right = _neighbours(chroma)
        pixels = _interleave(3 * chroma + left + biases[0], 3 * chroma + right + biases[1])
        pixels *= 0.5**bits
        return np.floor(pixels, out=pixels)

    def vjp(
        self,
        gradient: np.ndarray,
        coefficients: Coefficients | None = None,
        straight_through_exponent: float = 0.0,
    ) -> np.ndarray:
        """Give the gradient with respect to the pixels that went in, from one with respect to those that came out.

        The vector-Jacobian product of the float JPEG: the same chain with its roundings and clippings passed
        straight through. With ``straight_through_exponent`` p > 0 the quantiser's part is multiplied, for each
        coefficient, by ``f**p`` with ``f = 2*|r - round(r)|`` and r the coefficient in units of its step: 0 in the
        middle of a quantisation step, where a small change of the coefficient is undone, and 1 at its edges, where
        it moves the result by a whole step. That is the exact derivative of a chain whose quantiser is
        ``round(r) + sign(e)*|2*e|**(p + 1)/(2*(p + 1))``, ``e = r - round(r)``.

        Parameters
        ----------
        gradient : ndarray of float, shape (height, width, 3)
            RGB.
        coefficients : luminance, chrominance, optional
            `unrounded_coefficients` of the picture; needed when the exponent is not 0.
        straight_through_exponent : float
            p above.

        Returns
        -------
        ndarray, shape (height, width, 3)
            Of float64 if `gradient` is, else of float32.

        Raises
        ------
        ValueError
            If the coefficients are needed and left out.

        References
        ----------
        .. [1] Yoshua Bengio, Nicholas Leonard, Aaron Courville, "Estimating or propagating gradients through
           stochastic neurons for conditional computation", 2013, arXiv:1308.3432.

        Examples
        --------
        >>> grey = np.full((16, 16, 3), 100, np.uint8)
        >>> round(float(Jpeg().vjp(np.ones(grey.shape)).sum()), 6)
        768.0
        """
        if not straight_through_exponent:
            return self.encoding_vjp(self.decoding_vjp(gradient), gradient.shape[:2])
        if coefficients is None:
            raise ValueError("coefficients: got None, expected those of the picture, since the exponent is not 0")
        luma, chroma = (
            part * edge_nearness(unrounded.astype(part.dtype)) ** straight_through_exponent
            for part, unrounded in zip(self.decoding_vjp(gradient), coefficients)
        )
        return self.encoding_vjp((luma, chroma), gradient.shape[:2])

    def decoding_vjp(self, gradient: np.ndarray) -> Coefficients:
        """Give the gradient with respect to the dequantised coefficients, from one with respect to the decoded pixels.

        Parameters
        ----------
        gradient : ndarray of float, shape (height, width, 3)

        Returns
        -------
        luminance, chrominance : ndarray of float
            Shaped as `unrounded_coefficients` gives them; per grey level, not per quantisation step.
        """
        dtype = np.result_type(gradient.dtype, np.float32)
        ycc = _recoloured(_ycc_to_rgb(dtype).T, gradient)
        dct = DCT.astype(dtype)
        parts = []
        for planes in (ycc[0], self._upsample_vjp(ycc[1:])):
            height, width = planes.shape[-2:]
            whole = _extended(planes, -height % BLOCK, -width % BLOCK, "constant")
            parts.append(_on_columns(dct, _on_rows(dct, whole)))
        luma, chroma = parts
        return luma, chroma

    def encoding_vjp(self, gradient: Coefficients, size: tuple[int, ...]) -> np.ndarray:
        """Give the gradient with respect to the pixels, from one with respect to their unquantised coefficients.

        Parameters
        ----------
        gradient : luminance, chrominance
            As `decoding_vjp` gives them.
        size : (int, int)
            Height and width of the picture.

        Returns
        -------
        ndarray of float, shape (height, width, 3)
        """
        (height, width), (across, down) = size, SUBSAMPLINGS[self.subsampling]
        dct = DCT.astype(gradient[0].dtype)
        luma, chroma = (_on_rows(dct.T, _on_columns(dct.T, planes)) for planes in gradient)
        luma = _fold_edge(_fold_edge(luma, height, -2), width, -1)
        chroma = _fold_edge(chroma, _ceil_div(height, down), -2) / (across * down)
        chroma = chroma.repeat(across, -1).repeat(down, -2)
        chroma = _fold_edge(_fold_edge(chroma, height, -2), width, -1)
        ycc = np.concatenate([luma[None], chroma]).transpose(1, 2, 0)
        return np.ascontiguousarray(_recoloured(_rgb_to_ycc(luma.dtype).T, ycc).transpose(1, 2, 0))

    def _upsample_vjp(self, gradient: np.ndarray) -> np.ndarray:
        """VJP of `_upsample` (roundings passed through) and of cropping to the picture's size."""
        across, down = SUBSAMPLINGS[self.subsampling]
        height, width = gradient.shape[1:]
        gradient = _extended(gradient, -height % down, -width % across, "constant")
        if across == 1:
            return gradient
        if gradient.shape[2] <= 4:
            gradient = gradient[..., 0::2] + gradient[..., 1::2]
            return gradient if down == 1 else gradient[:, 0::2] + gradient[:, 1::2]
        gradient = _triangle_vjp(gradient)
        return gradient if down == 1 else _swapped(_triangle_vjp(_swapped(gradient)))

    # Old names

    def ratios(self, pixels: np.ndarray) -> Coefficients:
        """Deprecated: `unrounded_coefficients`."""
        _warn_of_old_name("ratios", "unrounded_coefficients")
        return self.unrounded_coefficients(pixels)

    def pull_back(self, gradient: np.ndarray, ratios: Coefficients | None = None, weighting: float = 0.0) -> np.ndarray:
        """Deprecated: `vjp`."""
        _warn_of_old_name("pull_back", "vjp")
        return self.vjp(gradient, ratios, weighting)

    def pull_back_decoding(self, gradient: np.ndarray) -> Coefficients:
        """Deprecated: `decoding_vjp`."""
        _warn_of_old_name("pull_back_decoding", "decoding_vjp")
        return self.decoding_vjp(gradient)

    def pull_back_encoding(self, gradient: Coefficients, size: tuple[int, ...]) -> np.ndarray:
        """Deprecated: `encoding_vjp`."""
        _warn_of_old_name("pull_back_encoding", "encoding_vjp")
        return self.encoding_vjp(gradient, size)


def _warn_of_old_name(old: str, new: str) -> None:
    warnings.warn(f"Jpeg.{old} is now Jpeg.{new}", DeprecationWarning, stacklevel=3)


def quantised(unrounded: np.ndarray) -> np.ndarray:
    """Give the whole numbers that a coder stores of coefficients.

    Parameters
    ----------
    unrounded : ndarray of float
        Coefficients in units of their quantisation steps.

    Returns
    -------
    ndarray of float, of the same shape
        Rounded, halves away from zero.

    Examples
    --------
    >>> quantised(np.array([-1.5, -0.4, 0.5])).tolist()
    [-2.0, -0.0, 1.0]
    """
    return np.copysign(np.floor(np.abs(unrounded) + 0.5), unrounded)


def edge_nearness(unrounded: np.ndarray) -> np.ndarray:
    """Tell how near coefficients are to an edge of their quantisation step: 0 in its middle, 1 at its edges.

    Parameters
    ----------
    unrounded : ndarray of float
        Coefficients in units of their quantisation steps.

    Returns
    -------
    ndarray of float, of the same shape

    Examples
    --------
    >>> edge_nearness(np.array([3.0, 3.25, 3.5])).tolist()
    [0.0, 0.5, 1.0]
    """
    return 2 * np.abs(unrounded - np.rint(unrounded))


@cache
def _rgb_to_ycc(dtype: np.dtype) -> np.ndarray:
    """The float JPEG's colour matrix: JFIF's, of which `RGB_TO_YCC` is the rounded form."""
    red, blue = 0.299, 0.114
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    return np.array([luma, cb, cr], dtype)


@cache
def _ycc_to_rgb(dtype: np.dtype) -> np.ndarray:
    return np.linalg.inv(_rgb_to_ycc(np.dtype(np.float64))).astype(dtype)
