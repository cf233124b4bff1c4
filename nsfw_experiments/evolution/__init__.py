"""Pictures painted by evolution: DEAP arranges translucent shapes until a picture has a fitness.

    painting      a painting: shapes, drawn and written as SVG
    individual    DEAP's individual
    mutations     how an individual changes
    fitness       what a picture is worth: its score, its likeness to a target, anything
    strategies    toolboxes: how a generation follows another
    run           generation after generation
    checkpoint    saved runs
    callbacks     progress, snapshots, a live view
    parallel      maps over processes and clusters
    deap_random   DEAP's operators, repeatable

This face imports nothing until a name is asked for.
"""

from theano_compat.deprecation import lazy_names

__all__ = ["Evolution"]

__getattr__ = lazy_names(__name__, {"Evolution": "nsfw_experiments.evolution.run"})
