"""The methods by their names, and `explain`, which applies one to a picture."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nsfw_experiments.explanation.activation import NoLinearEndError, class_activation_map, grad_cam
from nsfw_experiments.explanation.attribution import Attribution
from nsfw_experiments.explanation.explanation import Explanation
from nsfw_experiments.explanation.gradient import input_gradient, integrated_gradients, smooth_grad
from nsfw_experiments.explanation.occlusion import occlusion
from nsfw_model.picture import Picture, read_picture
from nsfw_model.preprocess import prepare
from nsfw_model.scorer import Scorer
from open_nsfw import get_scorer

#: Functions of a scorer and network input, shape (3, height, width), and of parameters with defaults.
METHODS: dict[str, Callable[..., Attribution]] = {
    "class-activation-map": class_activation_map,
    "occlusion": occlusion,
    "integrated-gradients": integrated_gradients,
    "grad-cam": grad_cam,
    "smooth-grad": smooth_grad,
    "input-gradient": input_gradient,
}


def explain(
    img: Picture, method: str = "class-activation-map", *, scorer: Scorer | None = None, **parameters: Any
) -> Explanation:
    """Show where a picture's score comes from.

    Parameters
    ----------
    img : str, Path, bytes, binary file, ndarray or PIL.Image.Image
        As `open_nsfw.nsfw_score` takes it.
    method : str
        One of `METHODS`.
    scorer : nsfw_model.scorer.Scorer, optional
        The network, see `open_nsfw.get_scorer`; left out, Yahoo's.
    **parameters
        Of the method, such as ``layer="relu_stage2_block5"`` of "grad-cam"; see its function.

    Returns
    -------
    Explanation

    Raises
    ------
    PictureError
        If the picture cannot be read.
    ValueError
        If there is no such method, it has no such parameter, or it does not work on this network, and the message says
        which do; or if `scorer` is none.

    Examples
    --------
    >>> explanation = explain("img/coffee.jpg")
    >>> explanation.map.shape, round(explanation.score, 4)
    ((400, 600), 0.0129)
    >>> abs(explanation.mean + explanation.baseline_logit - explanation.logit) < 1e-4
    True
    """
    function = _method(method, parameters)
    if not isinstance(scorer, (Scorer, type(None))):
        raise ValueError(
            f"scorer: got {type(scorer).__name__}, expected a Scorer, as get_scorer(weights, prototxt) gives"
        )
    picture = read_picture(img)
    scorer = get_scorer() if scorer is None else scorer
    try:
        found = function(scorer, prepare(picture, scorer.input_size), **parameters)
    except NoLinearEndError as error:
        others = ", ".join(name for name in METHODS if name != method)
        raise NoLinearEndError(f"{method}: {error}; these methods work on every network: {others}") from error
    except ValueError as error:
        raise ValueError(f"{method}: {error}") from error
    return Explanation(picture, method, found.cells, found.logit, found.baseline_logit, scorer.input_size)


def _method(name: str, parameters: dict[str, Any]) -> Callable[..., Attribution]:
    """The function of a method, which has these parameters."""
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"method: got {name!r:.100}, expected one of {', '.join(METHODS)}")
    known = parameters_of(name)
    for parameter in parameters:
        if parameter not in known:
            owners = [other for other in METHODS if parameter in parameters_of(other)]
            hint = f"; it is one of {', '.join(owners)}" if owners else ""
            expected = f"one of {', '.join(known)}" if known else "none"
            raise ValueError(f"{name}: got parameter {parameter!r}, expected {expected}{hint}")
    return METHODS[name]


def parameters_of(method: str) -> tuple[str, ...]:
    """Name the parameters that a method takes beside the scorer and the network input.

    Parameters
    ----------
    method : str
        One of `METHODS`.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> parameters_of("occlusion")
    ('patch', 'stride', 'blur')
    """
    return tuple(inspect.signature(METHODS[method]).parameters)[2:]
