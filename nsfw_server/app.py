"""The endpoints."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from nsfw_server import metrics as prometheus
from nsfw_server.limits import Limits
from nsfw_server.logs import GONE, RequestLog
from nsfw_server.metrics import Metrics
from nsfw_server.problem import Problem
from nsfw_server.schemas import Explanation, Failure, FileScore, Health, Model, ScoreOptions, Scores
from nsfw_server.service import Service
from nsfw_server.uploads import Upload, read_uploads


def create_app(limits: Limits | None = None) -> FastAPI:
    """Make the application, for uvicorn, gunicorn and whatever else runs ASGI.

    Parameters
    ----------
    limits : Limits, optional
        Left out, those of the environment.

    Returns
    -------
    fastapi.FastAPI

    Raises
    ------
    ValueError
        If a limit in the environment is none.

    Examples
    --------
    >>> sorted(create_app().openapi()["paths"])
    ['/healthz', '/metrics', '/readyz', '/v1/explain', '/v1/model', '/v1/score']
    """
    from open_nsfw import __version__

    limits = Limits.from_environment() if limits is None else limits
    counts = Metrics()
    service = Service(limits, counts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="Open NSFW",
        description="Scores pictures from 0 (safe for work) to 1 (not safe for work).",
        version=__version__,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(RequestLog, metrics=counts)
    _add_errors(app)
    _add_scoring(app, service)
    _add_operation(app, service)
    return app


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes answers that are errors."""
    return {status: {"model": Failure, "description": _DESCRIPTIONS[status]} for status in statuses}


_DESCRIPTIONS = {
    400: "The request is none that is understood",
    408: "The body does not arrive in time",
    413: "The body, a picture in it, or their number is too large",
    415: "The only file is no picture",
    422: "The only picture cannot be read, or takes too long",
    500: "A fault of the service",
    501: "This processor lacks the precision",
    503: "Too much is being done: try again after the seconds of Retry-After",
}
_BINARY = {"type": "string", "format": "binary"}


def _pictures(most: dict[str, int]) -> dict[str, Any]:
    """How OpenAPI describes a body of pictures."""
    return {
        "requestBody": {
            "required": True,
            "description": "A picture, whose kind its bytes say, or a form with one or many.",
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": {"type": "array", "items": _BINARY, "minItems": 1, **most}},
                    }
                },
                "application/octet-stream": {"schema": _BINARY},
                "image/*": {"schema": _BINARY},
            },
        }
    }


def _add_scoring(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/score",
        response_model=Scores,
        response_model_exclude_none=False,
        responses=_failures(400, 408, 413, 415, 422, 500, 501, 503),
        openapi_extra=_pictures({}),
        summary="Score pictures",
        tags=["scores"],
    )
    async def score(request: Request, options: Annotated[ScoreOptions, Query()]) -> Any:
        """Score one picture or many.

        The answer is 200 if one was scored; each of the others has an error of its own. If there is none, the status is
        that of the first error.
        """
        _check_ready(service)
        service.check_precision(options.precision)
        with service.accepted(), service.held_bytes() as admit:
            uploads = await _uploads(request, service.limits, admit)
            with service.accepted(len(uploads) - 1):
                results = await _unless_gone(request, _scores(service, uploads, options))
        scored = Scores(
            model=service.model["model"], precision=options.precision, threshold=options.threshold, results=results
        )
        return scored if any(result.error is None for result in results) else _all_failed(scored)

    @app.post(
        "/v1/explain",
        response_model=Explanation,
        responses=_failures(400, 408, 413, 415, 422, 500, 501, 503),
        openapi_extra=_pictures({"maxItems": 1}),
        summary="Say where a picture's score comes from",
        tags=["scores"],
    )
    async def explain(request: Request) -> Any:
        """Give the class activation map of one picture, or of its first frame."""
        _check_ready(service)
        with service.accepted(), service.held_bytes() as admit:
            upload, *others = await _uploads(request, service.limits, admit)
            if others:
                raise Problem("bad_request", f"got {1 + len(others)} pictures, expected one")
            return await _unless_gone(request, service.explain(upload))

    @app.get("/v1/model", response_model=Model, summary="What computes the scores, and its limits", tags=["scores"])
    async def model() -> Any:
        return {**service.model, "limits": dataclasses.asdict(service.limits)}


def _check_ready(service: Service) -> None:
    if not service.is_ready:
        raise Problem("not_ready", "starting, or about to end")


def _add_operation(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=Health, summary="Whether the process answers", tags=["operation"])
    async def healthz() -> Any:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        response_model=Health,
        responses=_failures(503),
        summary="Whether a known picture scores right",
        tags=["operation"],
    )
    async def readyz() -> Any:
        await service.check()
        return {"status": "ok"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Counts for Prometheus",
        tags=["operation"],
    )
    async def metrics() -> Response:
        text = await asyncio.to_thread(service.metrics.text)
        return Response(text, media_type=prometheus.CONTENT_TYPE)


async def _uploads(request: Request, limits: Limits, admit: Any) -> list[Upload]:
    """The pictures of a request, if they arrive in time."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise Problem("too_large", f"the body has {length} bytes, expected at most {limits.body_bytes}")
    read = read_uploads(request.headers.get("content-type", ""), request.stream(), limits, admit)
    try:
        return await asyncio.wait_for(read, limits.body_seconds)
    except asyncio.TimeoutError as error:
        raise Problem("too_slow", f"the body did not arrive within {limits.body_seconds:g} s") from error


async def _scores(service: Service, uploads: list[Upload], options: ScoreOptions) -> list[FileScore]:
    return await asyncio.gather(*(service.score(upload, options) for upload in uploads))


async def _unless_gone(request: Request, work: Any) -> Any:
    """What comes of the work, which is given up when the client goes."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


def _all_failed(scored: Scores) -> JSONResponse:
    """The answer with the status of the first error."""
    error = scored.results[0].error
    assert error is not None
    problem = Problem(error.kind, error.message)
    return JSONResponse({**problem.as_json(), **scored.model_dump()}, problem.status, problem.headers)


def _add_errors(app: FastAPI) -> None:
    """Let every answer that is an error have one form."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return JSONResponse(error.as_json(), error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse(Problem("bad_request", f"{where}: {first['msg']}").as_json(), 400)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        body = Problem(kind, str(error.detail)).as_json()
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=GONE)  # which nobody reads

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(Problem("internal", "a fault of the service; its log tells more").as_json(), 500)
