"""A scoring service: HTTP in front of the network.

Its files::

    limits      `Limits`: what a service takes, from the environment or the command's options
    problem     `Problem`: an answer that is an error
    schemas     what is asked and answered, as OpenAPI describes it
    uploads     the pictures of a request, read as they stream in
    decoder     the program of a process that decodes strangers' pictures
    decoders    those processes: each can be ended
    batcher     the network's thread, and the batches that pictures of many requests share
    service     from an upload to its scores
    metrics     what is counted, for Prometheus
    logs        a line for each request
    app         the endpoints
    protocol    connections: how many, and how slow they may be
    workers     uvicorn with all of this, in one process or several

This face imports nothing until a name is asked for.
"""

from typing import TYPE_CHECKING

from theano_compat.deprecation import lazy_dir, lazy_names

if TYPE_CHECKING:
    from nsfw_server.app import create_app
    from nsfw_server.limits import Limits

__all__ = ["Limits", "create_app"]

__getattr__ = lazy_names(__name__, {"create_app": "nsfw_server.app", "Limits": "nsfw_server.limits"})
__dir__ = lazy_dir(__name__)
