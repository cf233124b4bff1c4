"""The service answers as its OpenAPI description says, whatever is asked: schemathesis makes the requests."""

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from kinds_of_pictures import kinds_of_pictures  # noqa: E402

from nsfw_server import create_app  # noqa: E402

#: The description cannot say which bytes are a picture, nor what this processor can do.
OF_A_RIGHT_REQUEST = ["200", "415", "422", "501"]
PICTURES = st.sampled_from([data for data in kinds_of_pictures().values() if len(data) < 20_000])

schemathesis.openapi.format("binary", PICTURES | st.binary())
for media_type in "image/*", "application/octet-stream":
    schemathesis.openapi.media_type(media_type, PICTURES | st.binary(min_size=1))

schema = schemathesis.openapi.from_dict(
    create_app().openapi(),
    config=schemathesis.Config.from_dict(
        {"checks": {"positive_data_acceptance": {"expected-statuses": OF_A_RIGHT_REQUEST}}}
    ),
)


@schema.parametrize()
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_of_those_described(case, service):
    case.call_and_validate(base_url=service.url, timeout=60)
