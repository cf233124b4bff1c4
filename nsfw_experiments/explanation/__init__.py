"""Explanations: a map of what in a picture raises its score, and what lowers it.

Its files::

    explanation    `Explanation`: the map, and its picture with colours
    methods        `explain` and `METHODS`: the methods by their names
    attribution    what every method gives, on the grid of the network's input
    activation     of a layer's values: class activation map, Grad-CAM
    gradient       of the input's gradients: input gradient, SmoothGrad, integrated gradients
    path_integral  the sum of gradients that integrated gradients are
    occlusion      of patches that are hidden
    geometry       from that grid to the picture's own pixels
    colours        the colour scale

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import lazy_dir, lazy_names

if TYPE_CHECKING:
    from nsfw_experiments.explanation.explanation import Explanation
    from nsfw_experiments.explanation.methods import METHODS, explain

__all__ = ["METHODS", "Explanation", "explain"]

__getattr__ = lazy_names(
    __name__,
    {
        "METHODS": "nsfw_experiments.explanation.methods",
        "Explanation": "nsfw_experiments.explanation.explanation",
        "explain": "nsfw_experiments.explanation.methods",
    },
)
__dir__ = lazy_dir(__name__)
