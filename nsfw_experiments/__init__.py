"""Experiments on top of the scorer; nothing below knows of them.

Its files::

    evolution        pictures painted out of shapes, by DEAP
    explanation      maps of what raises a picture's score, and what lowers it
    inverse          pictures changed invisibly until their score is the one asked for
    playground       a page to play with: score, why, change, paint
    pillow           Pillow's resize and JPEG, value for value, with gradients
    image_metrics    how far apart two pictures are
    live_figure      a figure in a notebook that is renewed while something runs

Importing this package or one of the five imports none of their modules.
"""

import theano_compat  # noqa: F401
from theano_compat.deprecation import move_modules

_MOVED = {
    "evolution": {
        **{
            name: name
            for name in (
                "checkpoint",
                "deap_random",
                "fitness",
                "individual",
                "mutations",
                "painting",
                "strategies",
            )
        },
        "mapping": "parallel",
        "watching": "callbacks",
    },
    "inverse": {
        "fragility": "stability",
        "inverse_view": "callbacks",
        "mock_jpeg": "surrogate",
        "record": "record",
        "robust": "eot",
        "search": "search",
        "target": "target",
        "thrift": "prune",
    },
    "pillow": {"expressions": "theano_ops", "jpeg": "jpeg", "pipeline": "preprocessing", "resize": "resize"},
}

move_modules(
    {
        **{
            f"nsfw_experiments.{old}": f"nsfw_experiments.{wing}.{new}"
            for wing, names in _MOVED.items()
            for old, new in names.items()
        },
        "nsfw_experiments.live_view": "nsfw_experiments.live_figure",
        "nsfw_experiments.logit": "nsfw_model.logit",
        "nsfw_experiments.similarity": "nsfw_experiments.image_metrics",
    }
)
