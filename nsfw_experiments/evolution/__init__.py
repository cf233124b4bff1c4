"""Pictures painted by evolution: DEAP arranges translucent shapes until a picture has a fitness.

Its files::

    primitives    shapes: circles, polygons, ..., and their genes
    painting      a painting, a list of shapes, drawn and written as SVG
    individual    DEAP's individual: a painting with a fitness
    mutations     how an individual changes
    fitness       the fitness of a picture: its score, its likeness to a target, anything
    settings      all that decides a run
    strategies    toolboxes: how a generation follows another
    run           generation after generation
    checkpoint    saved runs
    callbacks     progress, snapshots, a live figure
    parallel      maps over processes and clusters
    deap_random   DEAP's operators, repeatable

The idea is that of the original, https://github.com/tjwei/play_nsfw. Translucent polygons that evolve towards a
picture are known from R. Alsing, "Genetic Programming: Evolution of Mona Lisa", 2008.

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import lazy_dir, lazy_names

if TYPE_CHECKING:
    from nsfw_experiments.evolution.run import Evolution

__all__ = ["Evolution"]

__getattr__ = lazy_names(__name__, {"Evolution": "nsfw_experiments.evolution.run"})
__dir__ = lazy_dir(__name__)
