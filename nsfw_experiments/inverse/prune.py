"""Prune a perturbation: take back every change of a picture that its JPEG does not show.

Of what a gradient attack changes, most never reaches the network: it is rounded away by the JPEG step of the
preprocessing. `prune` takes such changes back one grey level at a time, keeping a change only when one of the
coder's quantised coefficients depends on it. The decoded picture, and with it the score, stays exactly the same, for a
much smaller difference from the original (about 4 dB).

A coder treats every minimum coded unit (MCU [1]_: the blocks of pixels that share a block of chroma) by itself, so all
of them are worked on at once; the search for what can go doubles its stride in an MCU where it succeeds, and halves it
where it fails.

References
----------
.. [1] ITU-T Recommendation T.81, "Digital compression and coding of continuous-tone still images: requirements and
   guidelines", 1992, annex A.2.
"""

from __future__ import annotations

import numpy as np

from nsfw_experiments.pillow.jpeg import BLOCK, SUBSAMPLINGS, Coefficients, Jpeg, quantised
from theano_compat.deprecation import deprecated_names

__getattr__ = deprecated_names(__name__, {"spare": f"{__name__}:prune", "Tiles": f"{__name__}:McuGrid"})

PILLOWS_JPEG = Jpeg()
#: Of changes to take back, in each MCU; invisible changes need some hundreds, noise all over would take tens of
#: thousands.
MOST_TRIALS = 2048


class McuGrid:
    """A picture cut into the MCUs that a coder treats separately.

    Parameters
    ----------
    jpeg : Jpeg
    size : (int, int)
        Height and width of the pictures, multiples of the MCU's.

    Attributes
    ----------
    height, width : int
        Of an MCU, in pixels: 8, or 16 where chroma is subsampled.
    rows, columns : int
        Of MCUs.

    Raises
    ------
    ValueError
        If the size is not in whole MCUs.

    Examples
    --------
    >>> grid = McuGrid(Jpeg(), (32, 48))
    >>> grid.height, grid.width, grid.rows, grid.columns
    (16, 16, 2, 3)
    >>> grid.cut(np.zeros((32, 48, 3))).shape
    (6, 768)
    """

    def __init__(self, jpeg: Jpeg, size: tuple[int, ...]):
        self.jpeg = jpeg
        across, down = SUBSAMPLINGS[jpeg.subsampling]
        self.height, self.width = BLOCK * down, BLOCK * across
        self.rows, self.columns = size[0] // self.height, size[1] // self.width
        if size != (self.rows * self.height, self.columns * self.width):
            raise ValueError(f"size: got {size}, expected multiples of {(self.height, self.width)}")

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Cut an array of shape (height, width, 3) into one of shape (MCUs, values of an MCU)."""
        return _cut(picture, self.height, self.width)

    def join(self, mcus: np.ndarray) -> np.ndarray:
        """Join an array of shape (MCUs, values of an MCU) to one of shape (height, width, 3)."""
        parts = mcus.reshape(self.rows, self.columns, self.height, self.width, 3).swapaxes(1, 2)
        return parts.reshape(self.rows * self.height, self.columns * self.width, 3)

    def quantised_coefficients(self, mcus: np.ndarray) -> np.ndarray:
        """Give what the coder stores of any number of MCUs.

        Parameters
        ----------
        mcus : ndarray of int, shape (n, values of an MCU)
            Values in 0..255.

        Returns
        -------
        ndarray of float64, shape (n, coefficients of an MCU)
            Whole numbers; luminance comes first.
        """
        count = len(mcus)
        strip = mcus.reshape(count, self.height, self.width, 3).swapaxes(0, 1)
        pixels = strip.reshape(self.height, count * self.width, 3).astype(np.uint8)
        luma, chroma = self.jpeg.unrounded_coefficients(pixels)
        return self.cut_coefficients((quantised(luma), quantised(chroma)))

    def cut_coefficients(self, coefficients: Coefficients) -> np.ndarray:
        """Cut a picture's coefficients, or as many of anything, into an array of shape (MCUs, coefficients of one)."""
        luma, chroma = coefficients
        return np.hstack(
            [_cut(luma[..., None], self.height, self.width), _cut(chroma.transpose(1, 2, 0), BLOCK, BLOCK)]
        )

    def encoding_vjp(self, gradient: np.ndarray) -> np.ndarray:
        """Give the gradient with respect to the values of MCUs, from one with respect to their coefficients.

        Parameters
        ----------
        gradient : ndarray of float, shape (n, coefficients of an MCU)

        Returns
        -------
        ndarray of float, shape (n, values of an MCU)
        """
        count, area = len(gradient), self.height * self.width
        luma = gradient[:, :area].reshape(count, self.height, self.width).swapaxes(0, 1)
        chroma = gradient[:, area:].reshape(count, BLOCK, BLOCK, 2).transpose(3, 1, 0, 2)
        strip = self.jpeg.encoding_vjp(
            (luma.reshape(self.height, -1), chroma.reshape(2, BLOCK, -1)), (self.height, count * self.width)
        )
        return strip.reshape(self.height, count, self.width, 3).swapaxes(0, 1).reshape(count, -1)


def _cut(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = planes.shape[0] // height, planes.shape[1] // width
    return planes.reshape(rows, height, columns, width, -1).swapaxes(1, 2).reshape(rows * columns, -1)


def prune(original: np.ndarray, changed: np.ndarray, jpeg: Jpeg = PILLOWS_JPEG) -> np.ndarray:
    """Find a picture closer to the original that a JPEG coder cannot tell from the changed one.

    Parameters
    ----------
    original, changed : ndarray of uint8, shape (height, width, 3)
        Sides are multiples of 16 (of 8 where chroma is not subsampled).
    jpeg : Jpeg

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        ``jpeg(result) == jpeg(changed)`` everywhere; every value lies between the two pictures', and none can
        go one level closer to the original's by itself, but in MCUs where that was not settled by `MOST_TRIALS`
        trials.

    Raises
    ------
    ValueError
        If the sides are no such multiples.

    Examples
    --------
    >>> original = np.random.default_rng(0).integers(9, 240, (32, 32, 3), dtype=np.uint8)
    >>> changed = original + np.random.default_rng(1).integers(0, 3, (32, 32, 3), dtype=np.uint8)
    >>> closer = prune(original, changed)
    >>> bool((Jpeg()(closer) == Jpeg()(changed)).all())
    True
    >>> bool(np.linalg.norm(closer - 1.0 * original) < 0.9 * np.linalg.norm(changed - 1.0 * original))
    True
    """
    grid = McuGrid(jpeg, original.shape[:2])
    before, after = grid.cut(original).astype(np.int16), grid.cut(changed).astype(np.int16)
    coefficients = grid.quantised_coefficients(after)
    gradient = grid.encoding_vjp(np.sign(coefficients - grid.quantised_coefficients(before)).astype(np.float32))
    unfinished, stride, trials = np.arange(len(after)), 64, np.zeros(len(after), int)
    while unfinished.size:  # what had to stay may go when others have gone
        pruned, trials[unfinished] = _prune_once(
            grid,
            before[unfinished],
            after[unfinished],
            coefficients[unfinished],
            gradient[unfinished],
            stride,
            trials[unfinished],
        )
        moved = (pruned != after[unfinished]).any(1)
        after[unfinished] = pruned
        unfinished, stride = unfinished[moved & (trials[unfinished] < MOST_TRIALS)], 1
    return grid.join(after).astype(np.uint8)


def _prune_once(
    grid: McuGrid,
    before: np.ndarray,
    after: np.ndarray,
    coefficients: np.ndarray,
    gradient: np.ndarray,
    first_stride: int,
    trials: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Try all changes of each MCU once, by strides; take back those that leave the coefficients as they are.

    Gives the values, and how many trials each MCU has taken, of which `trials` were before.
    """
    entries, steps = changes_in_order(before, after, gradient)
    after, trials = after.copy(), trials.copy()
    count = (steps != 0).sum(1)
    position, stride = np.zeros(len(count), int), np.full(len(count), first_stride)
    while (active := np.flatnonzero((position < count) & (trials < MOST_TRIALS))).size:
        sizes = np.minimum(stride, count - position)[active]
        mcu, item = np.nonzero(np.arange(sizes.max()) < sizes[:, None])
        chosen = active[mcu], position[active][mcu] + item
        trial = after[active]
        np.subtract.at(trial, (mcu, entries[chosen]), steps[chosen])
        unseen = (grid.quantised_coefficients(trial) == coefficients[active]).all(1)
        after[active[unseen]] = trial[unseen]
        needed = ~unseen & (stride[active] == 1)  # a single change that the coder does show
        position[active] += np.where(unseen, stride[active], needed)
        stride[active] = np.where(unseen, stride[active] * 2, np.maximum(stride[active] // 2, 1))
        trials[active] += 1
    return after, trials


def unit_changes(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take a difference apart into changes by one grey level.

    Parameters
    ----------
    before, after : ndarray of int, of one shape

    Returns
    -------
    entries : ndarray of int, shape (n,)
        Flat indices of the values changed, ascending.
    levels : ndarray of int, shape (n,)
        1 for the change that leaves `before`, 2 for the next one of the same value, and so on.
    steps : ndarray of int, shape (n,)
        +1 or -1.

    Examples
    --------
    >>> entries, levels, steps = unit_changes(np.array([5, 5, 5]), np.array([5, 7, 4]))
    >>> entries.tolist(), levels.tolist(), steps.tolist()
    ([1, 1, 2], [1, 2, 1], [1, 1, -1])
    """
    difference = np.subtract(after, before, dtype=int).ravel()
    changed = np.flatnonzero(difference)
    sizes = np.abs(difference[changed])
    entries = np.repeat(changed, sizes)
    levels = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes) + 1
    return entries, levels, np.sign(difference[entries])


def changes_in_order(before: np.ndarray, after: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each MCU's changes by one grey level, in the order in which to take them back.

    The outer levels of large changes come first, since they cost most (n**2 - (n - 1)**2 in squared error),
    then what does least for what the changes are for.

    Parameters
    ----------
    before, after : ndarray of int, shape (MCUs, values of an MCU)
    gradient : ndarray of float, shape (MCUs, values of an MCU)
        Of what the changes are for.

    Returns
    -------
    entries, steps : ndarray of int, shape (MCUs, most changes of an MCU)
        Which value, and +1 or -1, the change that was made to it; steps of 0 fill up.

    Examples
    --------
    >>> entries, steps = changes_in_order(np.array([[0, 0, 0]]), np.array([[1, 3, 2]]), np.zeros((1, 3)))
    >>> entries.tolist()
    [[1, 1, 2, 0, 1, 2]]
    """
    flat, levels, steps_made = unit_changes(before, after)
    mcu, entry = np.divmod(flat, before.shape[1])
    order = np.lexsort((gradient.ravel()[flat] * steps_made, -levels, mcu))
    mcu, entry, steps_made = mcu[order], entry[order], steps_made[order]
    count = np.bincount(mcu, minlength=len(before))
    place = np.arange(len(mcu)) - np.repeat(count.cumsum() - count, count)
    entries, steps = np.zeros((2, len(before), count.max(initial=0)), int)
    entries[mcu, place], steps[mcu, place] = entry, steps_made
    return entries, steps
