"""A scoring service in a few lines, as people write it: WSGI for gunicorn, ASGI for uvicorn, a task for Celery."""

import json
import os
from pathlib import Path

from open_nsfw import nsfw_score

IMG = Path(__file__).parents[2] / "img"

if os.environ.get("WARM_UP"):  # in the parent, where the server loads the application before it forks
    nsfw_score(IMG / "coffee.jpg")


def score(name):
    """The score of one of the project's pictures, and the process that computed it."""
    return json.dumps({"score": nsfw_score(IMG / name), "process": os.getpid()})


def wsgi(environment, start_response):
    """For gunicorn."""
    body = score(environment["PATH_INFO"].strip("/")).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """For uvicorn."""
    import asyncio

    if scope["type"] == "http":
        body = await asyncio.to_thread(score, scope["path"].strip("/"))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})
