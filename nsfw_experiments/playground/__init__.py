"""A page to play with, in a notebook or by Voila: a picture's score, why it has it, and what becomes of both.

Its files::

    page         the widget: what the page shows, and what it is told
    panel        a part of the page, without the page
    scored       the picture, its score and its explanation
    inversion    the picture changed to another score, live
    painting     a painting that evolves, live
    fragility     how fragile the scores of a picture and of its changed copy are
    worker       one thread that computes, one thing at a time
    pace         how often something is shown
    examples     pictures to begin with
    encoding     pictures as bytes
    server       Voila, which makes a page of the notebook
    front/       the page in the browser: HTML, CSS and JavaScript
    voila/       the page around it, without anything from other servers

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import lazy_dir, lazy_names

if TYPE_CHECKING:
    from nsfw_experiments.playground.page import Page, playground

__all__ = ["Page", "playground"]

__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "nsfw_experiments.playground.page"))
__dir__ = lazy_dir(__name__)
