"""What the service says of itself at /openapi.json, from which clients are made: all of it, whatever it answers."""

import pytest

pytest.importorskip("fastapi")

import open_nsfw
from nsfw_server.app import create_app
from nsfw_server.limits import Limits
from nsfw_server.problem import STATUS

DESCRIBED = create_app(Limits()).openapi()
SCORING = "200 400 408 413 415 422 500 501 503".split()
#: Each path: its method, its tag, the statuses that it answers, and what it answers if all is well.
PATHS = {
    "/v1/score": ("post", "scores", SCORING, "Scores"),
    "/v1/explain": ("post", "scores", SCORING, "Explanation"),
    "/v1/model": ("get", "scores", ["200"], "Model"),
    "/healthz": ("get", "operation", ["200"], "Health"),
    "/readyz": ("get", "operation", ["200", "503"], "Health"),
    "/metrics": ("get", "operation", ["200"], None),
}


def of(path):
    return DESCRIBED["paths"][path][PATHS[path][0]]


def test_the_application_has_its_name_and_version():
    assert DESCRIBED["info"]["title"] == "Open NSFW" and DESCRIBED["info"]["version"] == open_nsfw.__version__
    assert DESCRIBED["paths"].keys() == PATHS.keys()
    assert {path: list(methods) for path, methods in DESCRIBED["paths"].items()} == {
        path: [method] for path, (method, *_) in PATHS.items()
    }


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_a_tag_and_a_summary(path):
    assert of(path)["tags"] == [PATHS[path][1]] and of(path)["summary"]


@pytest.mark.parametrize("path", PATHS)
def test_every_status_is_told_with_the_form_of_its_answer(path):
    _, _, statuses, model = PATHS[path]
    responses = of(path)["responses"]
    assert sorted(responses) == statuses
    for status, response in responses.items():
        name = model if status == "200" else "Failure"
        expected = {"text/plain": {"schema": {"type": "string"}}}
        if name:
            expected = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        assert response["content"] == expected and response["description"]


def test_every_problem_has_a_status_that_is_told_but_those_of_other_paths():
    told = {int(status) for status in SCORING}
    assert set(STATUS.values()) - told == {404, 405}


@pytest.mark.parametrize("path, most", [("/v1/score", None), ("/v1/explain", 1)])
def test_a_body_is_a_picture_or_a_form_of_some(path, most):
    body = of(path)["requestBody"]
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1, **({"maxItems": most} if most else {})}
    assert body["required"] is True
    assert {kind: content["schema"] for kind, content in body["content"].items()} == {
        "multipart/form-data": {"type": "object", "required": ["file"], "properties": {"file": files}},
        "application/octet-stream": binary,
        "image/*": binary,
    }


def test_options_of_scoring_are_in_the_address():
    parameters = {it["name"]: it for it in of("/v1/score")["parameters"]}
    assert parameters.keys() == {"frames", "every", "threshold", "precision"}
    assert {it["in"] for it in parameters.values()} == {"query"}
    assert not any(it["required"] for it in parameters.values())
    assert "parameters" not in of("/v1/explain")
