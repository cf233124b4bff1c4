"""Pillow's JPEG, value for value, in NumPy, and the gradient through it.

``Image.save(format="JPEG")`` followed by ``Image.open`` is, in Pillow's builds, libjpeg-turbo's baseline
coder with the "islow" integer DCT and "fancy" chroma upsampling. Entropy coding loses nothing, so what a
picture suffers on that way is a chain of small integer computations:

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

The gradient (:meth:`Jpeg.pull_back`) is that of the same chain without roundings and clippings: they are
passed straight through. A quantiser's rounding may instead be weighted, see there.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}
"""Chroma samples are averages over (columns, rows) of this many pixels."""

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


def quantisation_steps(quality):
    """The luminance and chrominance quantisation tables that Pillow writes.

    Parameters
    ----------
    quality : int
        1 to 95, as in ``Image.save``.

    Returns
    -------
    tuple of two (8, 8) integer arrays
        Steps of 1 to 255; rows are vertical frequencies.

    Notes
    -----
    jcparam.c, ``jpeg_set_quality`` with ``force_baseline``: the scale is 5000/quality below 50 and
    200 - 2*quality from there, in whole percent.

    Examples
    --------
    >>> quantisation_steps(75)[0][0].tolist()
    [8, 6, 5, 8, 12, 20, 26, 31]
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(np.clip((steps * percent + 50) // 100, 1, 255) for steps in (LUMINANCE_STEPS, CHROMINANCE_STEPS))


def _islow_matrix():
    """The 8x8 matrix of one islow DCT pass, times 2**13 (jfdctint.c written out)."""

    def fix(value):
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


def _on_rows(matrix, planes):
    """matrix @ (each run of 8 samples along a row)."""
    # A small product for each row of samples: one tall product wakes BLAS's threads and takes far longer.
    return (planes.reshape(-1, planes.shape[-1] // BLOCK, BLOCK) @ matrix.T).reshape(planes.shape)


def _on_columns(matrix, planes):
    """matrix @ (each run of 8 samples down a column)."""
    width = planes.shape[-1]
    return (matrix @ planes.reshape(-1, BLOCK, width)).reshape(planes.shape)


def _recoloured(matrix, pixels):
    """matrix @ (each pixel of (height, width, 3)), as (3, height, width)."""
    rows = np.ascontiguousarray(pixels.transpose(0, 2, 1), matrix.dtype)
    return (matrix @ rows).transpose(1, 0, 2)


def _descale(values, bits):
    """``(values + 2**(bits - 1)) >> bits`` of whole numbers kept in float64, in place."""
    values *= 0.5**bits
    values += 0.5
    return np.floor(values, out=values)


def _in_blocks(planes):
    """A view of (..., height, width) as (..., rows of blocks, 8, columns of blocks, 8)."""
    *lead, height, width = planes.shape
    return planes.reshape(*lead, height // BLOCK, BLOCK, width // BLOCK, BLOCK)


def _table(steps):
    """An (8, 8) table shaped to broadcast over what :func:`_in_blocks` gives."""
    return steps[None, :, None, :]


def _extended(planes, rows, columns, mode):
    """np.pad below and to the right; nothing to do for whole blocks, which are the rule."""
    if not rows and not columns:
        return planes
    return np.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, rows), (0, columns)], mode)


def _fold_edge(gradient, size, axis):
    """Adjoint of repeating the last sample along an axis: the repeated ones' gradients go to it."""
    if gradient.shape[axis] == size:
        return gradient
    gradient = np.moveaxis(gradient, axis, 0)
    folded = gradient[:size].copy()
    folded[-1] += gradient[size:].sum(0)
    return np.moveaxis(folded, 0, axis)


def _neighbours(samples):
    """The samples before and after, along the last axis, the ends repeated."""
    before = np.concatenate([samples[..., :1], samples[..., :-1]], -1)
    after = np.concatenate([samples[..., 1:], samples[..., -1:]], -1)
    return before, after


def _interleave(even, odd):
    return np.stack([even, odd], -1).reshape(*even.shape[:-1], -1)


def _pull_back_triangle(gradient):
    """Adjoint of the triangle filter (3/4 nearer sample, 1/4 farther, ends repeated) along the last axis."""
    even, odd = gradient[..., 0::2], gradient[..., 1::2]
    pulled = 0.75 * (even + odd)
    pulled[..., :-1] += 0.25 * even[..., 1:]
    pulled[..., 1:] += 0.25 * odd[..., :-1]
    pulled[..., 0] += 0.25 * even[..., 0]
    pulled[..., -1] += 0.25 * odd[..., -1]
    return pulled


def _swapped(planes):
    return np.swapaxes(planes, -1, -2)


def _ceil_div(a, b):
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

    def __post_init__(self):
        if not isinstance(self.quality, (int, np.integer)) or not 1 <= self.quality <= 95:
            raise ValueError(f"JPEG quality: got {self.quality!r}, expected a whole number from 1 to 95")
        if self.subsampling not in SUBSAMPLINGS:
            raise ValueError(f"JPEG subsampling: got {self.subsampling!r}, expected 4:2:0, 4:2:2 or 4:4:4")

    @cached_property
    def steps(self):
        """The luminance and chrominance quantisation tables, see :func:`quantisation_steps`."""
        return quantisation_steps(self.quality)

    def __call__(self, pixels):
        """The picture that Pillow gives back after saving and opening.

        Parameters
        ----------
        pixels : (height, width, 3) uint8
            RGB.

        Returns
        -------
        (height, width, 3) uint8
        """
        return self.decode(self.ratios(pixels), pixels.shape[:2])

    def ratios(self, pixels):
        """The DCT coefficients in units of their quantisation steps, before rounding.

        Parameters
        ----------
        pixels : (height, width, 3) uint8
            RGB.

        Returns
        -------
        luminance : (rows, columns) float64
            Rows and columns are rounded up to multiples of 8; the coefficient of frequency (u, v) of a block
            stands where the block's pixel (u, v) stood.
        chrominance : (2, rows, columns) float64
            Cb and Cr, in the subsampled size.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"pixels: got {pixels.dtype} {pixels.shape}, expected uint8 (height, width, 3)")
        ycc = _recoloured(RGB_TO_YCC.astype(np.float64), pixels)
        ycc += RGB_TO_YCC_OFFSET[:, None, None]
        ycc *= 0.5**COLOUR_BITS
        ycc = np.floor(ycc, out=ycc)
        return tuple(
            self._transform(planes, steps) for planes, steps in zip((ycc[0], self._subsample(ycc[1:])), self.steps)
        )

    def _subsample(self, chroma):
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
    def _transform(planes, steps):
        """Level shift, edge repetition to whole blocks, islow DCT, division by the steps."""
        height, width = planes.shape[-2:]
        shifted = _extended(planes - 128, -height % BLOCK, -width % BLOCK, "edge")
        rows = _descale(_on_rows(ISLOW, shifted), 11)
        coefficients = _descale(_on_columns(ISLOW, rows), 15)
        # The quantiser's arithmetic is (|c| + 4*step) // (8*step): dividing here and rounding later gives the
        # same integers, because float64 represents every half exactly and nothing else comes close to one.
        _in_blocks(coefficients)[...] /= _table(8.0 * steps)
        return coefficients

    def decode(self, ratios, size):
        """Quantise coefficients and turn them back into pixels.

        Parameters
        ----------
        ratios : tuple of arrays
            As :meth:`ratios` gives them.
        size : (int, int)
            Height and width of the picture.

        Returns
        -------
        (height, width, 3) uint8
        """
        (height, width), (across, down) = size, SUBSAMPLINGS[self.subsampling]
        luma, chroma = (self._reconstruct(planes, steps) for planes, steps in zip(ratios, self.steps))
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
    def _reconstruct(ratios, steps):
        """Quantisation, multiplication by the steps, islow inverse DCT, clipping."""
        coefficients = quantised(ratios)
        _in_blocks(coefficients)[...] *= _table(steps)
        columns = _descale(_on_columns(ISLOW.T, coefficients), 11)
        samples = _descale(_on_rows(ISLOW.T, columns), 18)
        samples += 128
        return np.clip(samples, 0, 255, out=samples)

    def _upsample(self, chroma):
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

    def pull_back(self, gradient, ratios=None, weighting=0.0):
        """Gradient with respect to the pixels that went in, from one with respect to those that came out.

        The derivative is that of the float JPEG: the same chain with its roundings and clippings passed
        straight through. With ``weighting`` p > 0 the quantiser's part is multiplied, for each coefficient,
        by ``f**p`` with ``f = 2*|r - round(r)|`` and r the coefficient in units of its step: 0 in the middle
        of a quantisation step, where a small change of the coefficient is undone, and 1 at its edges, where
        it moves the result by a whole step. That is the exact derivative of a chain whose quantiser is
        ``round(r) + sign(e)*|2*e|**(p + 1)/(2*(p + 1))``, ``e = r - round(r)``.

        Parameters
        ----------
        gradient : (height, width, 3) array
            RGB.
        ratios : tuple of arrays, optional
            :meth:`ratios` of the picture; needed when ``weighting`` is not 0.
        weighting : float
            p above.

        Returns
        -------
        (height, width, 3) array
            float64 if ``gradient`` is, else float32.
        """
        if not weighting:
            return self.pull_back_encoding(self.pull_back_decoding(gradient), gradient.shape[:2])
        if ratios is None:
            raise ValueError("pull_back: weighting needs the ratios of the picture")
        weighted = [
            part * edge_nearness(part_ratios.astype(part.dtype)) ** weighting
            for part, part_ratios in zip(self.pull_back_decoding(gradient), ratios)
        ]
        return self.pull_back_encoding(weighted, gradient.shape[:2])

    def pull_back_decoding(self, gradient):
        """Gradient with respect to the dequantised coefficients, from one with respect to the decoded pixels.

        Parameters
        ----------
        gradient : (height, width, 3) array

        Returns
        -------
        luminance, chrominance : arrays
            Shaped as :meth:`ratios` gives them; per level, not per quantisation step.
        """
        dtype = np.result_type(gradient.dtype, np.float32)
        ycc = _recoloured(_ycc_to_rgb(dtype).T, gradient)
        dct = DCT.astype(dtype)
        coefficients = []
        for planes in (ycc[0], self._pull_back_upsample(ycc[1:])):
            height, width = planes.shape[-2:]
            whole = _extended(planes, -height % BLOCK, -width % BLOCK, "constant")
            coefficients.append(_on_columns(dct, _on_rows(dct, whole)))
        return tuple(coefficients)

    def pull_back_encoding(self, gradient, size):
        """Gradient with respect to the pixels, from one with respect to their unquantised coefficients.

        Parameters
        ----------
        gradient : luminance, chrominance
            As :meth:`pull_back_decoding` gives them.
        size : (int, int)
            Height and width of the picture.

        Returns
        -------
        (height, width, 3) array
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

    def _pull_back_upsample(self, gradient):
        """Adjoint of :meth:`_upsample` (roundings passed through) and of cropping to the picture's size."""
        across, down = SUBSAMPLINGS[self.subsampling]
        height, width = gradient.shape[1:]
        gradient = _extended(gradient, -height % down, -width % across, "constant")
        if across == 1:
            return gradient
        if gradient.shape[2] <= 4:
            gradient = gradient[..., 0::2] + gradient[..., 1::2]
            return gradient if down == 1 else gradient[:, 0::2] + gradient[:, 1::2]
        gradient = _pull_back_triangle(gradient)
        return gradient if down == 1 else _swapped(_pull_back_triangle(_swapped(gradient)))


def quantised(ratios):
    """What a coder stores of coefficients in units of their steps: whole numbers, halves away from zero."""
    return np.copysign(np.floor(np.abs(ratios) + 0.5), ratios)


def edge_nearness(ratios):
    """0 in the middle of a quantisation step, 1 at its edges."""
    return 2 * np.abs(ratios - np.rint(ratios))


@cache
def _rgb_to_ycc(dtype):
    """The float JPEG's colour matrix: JFIF's, of which :data:`RGB_TO_YCC` is the rounded form."""
    red, blue = 0.299, 0.114
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    return np.array([luma, cb, cr], dtype)


@cache
def _ycc_to_rgb(dtype):
    return np.linalg.inv(_rgb_to_ycc(np.dtype(np.float64))).astype(dtype)
