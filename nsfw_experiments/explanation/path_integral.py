"""The logit's gradients along a straight way through the network's input, summed where it needs it the most."""

from __future__ import annotations

import numpy as np

from nsfw_experiments.explanation.attribution import batches
from nsfw_model.scorer import Scorer

#: The logit changes the most near the blurred picture: a share u of the first steps goes to this power of u on the way.
DENSITY = 2


class PathIntegral:
    """The integral of gradients from one network input to another, by the midpoint of each part of the way.

    What each part gives ought to be by how much the logit changes on it. Where it is not, the part is halved.

    Parameters
    ----------
    scorer : Scorer
    start, end : ndarray of float32, shape (3, height, width)
        Network inputs.
    steps : int
        Parts to begin with.

    Attributes
    ----------
    evaluations : int
        Gradients computed so far.
    start_logit, end_logit : float

    Examples
    --------
    >>> from open_nsfw import get_scorer, prepare
    >>> x = prepare("img/coffee.jpg")
    >>> integral = PathIntegral(get_scorer(), x, x, steps=4)
    >>> integral.gap(), integral.evaluations
    (0.0, 4)
    """

    def __init__(self, scorer: Scorer, start: np.ndarray, end: np.ndarray, steps: int):
        self._scorer, self._start, self._difference = scorer, start, end - start
        self.start_logit, self.end_logit = map(float, scorer.logits(np.stack([start, end])))
        self.evaluations = 0
        self._edges = (np.arange(steps + 1) / steps) ** DENSITY
        self._logits = {0.0: self.start_logit, 1.0: self.end_logit}
        self._gradients: dict[float, np.ndarray] = {}
        self._find_gradients()

    @property
    def _middles(self) -> np.ndarray:
        return (self._edges[1:] + self._edges[:-1]) / 2

    def attributions(self) -> np.ndarray:
        """Give what each value of the input adds on the way.

        Returns
        -------
        ndarray of float64, shape (3, height, width)
        """
        total = np.zeros(self._difference.shape)
        for middle, length in zip(self._middles, np.diff(self._edges)):
            total += length * self._gradients[middle]
        return total * self._difference

    def gap(self) -> float:
        """Give by how much the sum of all attributions misses the change of the logit.

        Returns
        -------
        float
        """
        return float(self._contributions().sum()) - (self.end_logit - self.start_logit)

    def refine(self, count: int) -> None:
        """Halve the parts whose gradient misses the change of the logit the most.

        Parameters
        ----------
        count : int
            How many; each costs two gradients.
        """
        self._find_logits(self._edges)
        logits = np.array([self._logits[edge] for edge in self._edges])
        misses = np.abs(self._contributions() - np.diff(logits))
        worst = np.argsort(-misses, kind="stable")[:count]
        self._edges = np.sort(np.concatenate([self._edges, self._middles[worst]]))
        self._find_gradients()

    def _contributions(self) -> np.ndarray:
        """What each part adds to the logit."""
        slopes = [np.vdot(self._gradients[middle], self._difference) for middle in self._middles]
        return np.array(slopes, np.float64) * np.diff(self._edges)

    def _on_the_way(self, places: np.ndarray) -> np.ndarray:
        return self._start + np.multiply.outer(places.astype(np.float32), self._difference)

    def _find_logits(self, places: np.ndarray) -> None:
        missing = np.array([place for place in places if place not in self._logits])
        for batch in batches(len(missing)):
            logits = self._scorer.logits(self._on_the_way(missing[batch]))
            self._logits.update(zip(missing[batch].tolist(), logits.tolist()))

    def _find_gradients(self) -> None:
        """Compute those of new middles, whose logits come along, and forget those of middles that became edges."""
        known = self._gradients
        missing = np.array([middle for middle in self._middles if middle not in known])
        for batch in batches(len(missing)):
            logits, gradients = self._scorer.logits_and_gradients(self._on_the_way(missing[batch]))
            self._logits.update(zip(missing[batch].tolist(), logits.tolist()))
            known.update(zip(missing[batch].tolist(), gradients))
        self.evaluations += len(missing)
        self._gradients = {middle: known[middle] for middle in self._middles.tolist()}
