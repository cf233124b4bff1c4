"""Limits: numbers, and where they come from."""

import pytest

from nsfw_server.limits import Limits
from nsfw_server.problem import Problem


@pytest.mark.parametrize("name, value", [("queue", 0), ("queue", 1.5), ("seconds", 0.0), ("seconds", float("nan"))])
def test_what_is_no_limit_is_refused_by_its_name(name, value):
    with pytest.raises(ValueError, match=f"{name}: got {value}"):
        Limits(**{name: value})


def test_fewer_pixels_than_the_preprocessing_itself_has_are_refused():
    with pytest.raises(ValueError, match="pixels: got 65535, expected a whole number of at least 65536"):
        Limits(pixels=65535)


def test_a_variable_that_is_none_is_refused_by_its_name():
    with pytest.raises(ValueError, match="OPEN_NSFW_SECONDS: got 'soon'"):
        Limits.from_environment({"OPEN_NSFW_SECONDS": "soon"})
    with pytest.raises(ValueError, match="seconds: got -1.0"):
        Limits.from_environment({"OPEN_NSFW_SECONDS": "-1"})


def test_bytes_of_all_requests_together_are_limited_until_they_are_answered():
    pytest.importorskip("prometheus_client")
    from nsfw_server.metrics import Metrics
    from nsfw_server.service import Service

    service = Service(Limits(pending_bytes=10), Metrics())
    with service.held_bytes() as admit, service.held_bytes() as admit_another:
        admit(4)
        admit_another(6)
        with pytest.raises(Problem, match="hold 10 bytes, expected 10 at most"):
            admit(1)
    with service.held_bytes() as admit:
        admit(10)
