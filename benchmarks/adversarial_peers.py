"""The attacks of adversarial-library [1]_ beside this project's inverse scoring, on the same score and gradient.

They want a PyTorch model with pixels in 0..1. Here that is the scorer itself: the picture is rounded to 8 bits, its
logit comes by way of Pillow's JPEG, value for value, and its gradient passes JPEG's and the pixels' roundings straight
through. So nothing separates the attacks but what they do with both. Each is asked for the smallest L2 change that
scores 0.98 or more; what counts is the smallest that was seen on the way, as a picture of 8 bits.

They are installed by ``pip install .[attacks]`` beside ``.[peers]``.

References
----------
.. [1] Jerome Rony, Ismail Ben Ayed, "Adversarial Library", https://github.com/jeromerony/adversarial-library
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from adv_lib.attacks import alma, ddn, fmn

from nsfw_experiments.image_metrics import psnr
from nsfw_experiments.inverse.search import PixelScorer, rounded
from nsfw_experiments.pillow.preprocessing import preprocessing
from nsfw_model.logit import logit_of
from nsfw_model.scorer import Scorer

#: The logit of two classes that nothing is ever taken for: ALMA's loss is measured in differences from a third class's.
OTHERS = -10.0
#: An attack that takes a model, pictures, labels and a number of gradients.
Attack = Callable[[Any, Any, Any, int], Any]

#: Norms are of pixels in 0..1: 1.0 is an L2 distance of 255 grey levels, 52.8 dB at 256x256.
ATTACKS: dict[str, Attack] = {
    "DDN": lambda model, x, labels, steps: ddn(
        model, x, labels, targeted=True, steps=steps, init_norm=0.5, levels=None
    ),
    "FMN": lambda model, x, labels, steps: fmn(model, x, labels, norm=2, targeted=True, steps=steps, α_init=0.1),
    "ALMA": lambda model, x, labels, steps: alma(
        model, x, labels, targeted=True, num_steps=steps, α=0.5, init_lr_distance=0.2
    ),
}


class _Logits(torch.autograd.Function):
    """Two classes' logits of a picture, whose difference is that of its score from the threshold's."""

    @staticmethod
    def forward(ctx: Any, x: Any, seen: Seen) -> Any:
        logit, gradient = seen.look(rounded(255 * x[0].permute(1, 2, 0).detach().numpy()))
        ctx.save_for_backward(torch.from_numpy(255 * gradient).permute(2, 0, 1)[None])
        return torch.tensor([[OTHERS, 0.0, logit - seen.threshold, OTHERS]])

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
        (along,) = ctx.saved_tensors
        return gradient[0, 2] * along, None


class Seen:
    """The scorer as a model of PyTorch, which remembers the best picture that it was shown.

    Parameters
    ----------
    scorer : nsfw_model.scorer.Scorer
    original : ndarray of uint8, shape (height, width, 3)
    target : float
        The least score that counts.

    Attributes
    ----------
    evaluations : int
        Pictures shown, each with its gradient.
    psnr : float
        Of the smallest change that met the target, in dB; -inf as long as none did.
    """

    def __init__(self, scorer: Scorer, original: np.ndarray, target: float):
        self.original, self.threshold, self.psnr = original, logit_of(target), -math.inf
        self._scorer = PixelScorer(scorer, preprocessing(original.shape[:2], scorer.input_size))

    @property
    def evaluations(self) -> int:
        return self._scorer.evaluations

    def look(self, pixels: np.ndarray) -> tuple[float, np.ndarray]:
        """Give a picture's logit and its gradient, and keep its PSNR if it counts."""
        logit, gradient = self._scorer.logit_and_gradient(pixels, 0.0)
        if logit >= self.threshold:
            self.psnr = max(self.psnr, psnr(self.original, pixels))
        return logit, gradient

    def __call__(self, x: Any) -> Any:
        return _Logits.apply(x, self)


def smallest_change(name: str, scorer: Scorer, original: np.ndarray, target: float, evaluations: int) -> float:
    """Attack a picture and give the PSNR of the smallest change that met the target.

    Parameters
    ----------
    name : str
        One of `ATTACKS`.
    scorer : nsfw_model.scorer.Scorer
    original : ndarray of uint8, shape (height, width, 3)
    target : float
        Of the score, at least.
    evaluations : int
        Gradients that the attack may take.

    Returns
    -------
    float
        In dB; -inf if the target was not met.
    """
    torch.manual_seed(0)
    model = Seen(scorer, original, target)
    x = torch.tensor(original).permute(2, 0, 1)[None].float() / 255
    ATTACKS[name](model, x, torch.tensor([2]), evaluations)
    if model.evaluations > evaluations:
        raise RuntimeError(f"{name}: took {model.evaluations} evaluations, expected at most {evaluations}")
    return model.psnr
