"""What the service answers."""

import asyncio
import math
from dataclasses import asdict

import numpy as np
import pytest
from made_films import film
from made_pictures import encoded
from PIL import Image

from open_nsfw import nsfw_score, prepare

COFFEE, ROCKET = "img/coffee.jpg", "img/rocket.jpg"


@pytest.fixture(autouse=True)
def in_a_checkout(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def gif():
    frames = [Image.open(path).convert("RGB").resize((64, 48)) for path in (COFFEE, ROCKET, "img/retina.jpg")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=500)


def picture():
    return Image.open(COFFEE).convert("RGB").resize((120, 80))


KINDS = {
    "a JPEG": lambda: read(COFFEE),
    "a PNG": lambda: read("img/chelsea.png"),
    "a grey PNG": lambda: read("img/camera.png"),
    "16 bits": lambda: encoded(Image.fromarray(np.full((40, 40), 30000, np.uint16)), "PNG"),
    "alpha": lambda: encoded(picture().convert("RGBA"), "PNG"),
    "a palette": lambda: encoded(picture().convert("P"), "PNG"),
    "CMYK": lambda: encoded(picture().convert("CMYK"), "JPEG"),
    "a GIF": gif,
    "a WebP": lambda: encoded(picture(), "WEBP"),
    "a BMP": lambda: encoded(picture(), "BMP"),
    "a TIFF": lambda: encoded(picture(), "TIFF"),
    "a PPM": lambda: encoded(picture(), "PPM"),
    "a TGA": lambda: encoded(picture(), "TGA"),
    "a JPEG 2000": lambda: encoded(picture(), "JPEG2000"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_that_of_nsfw_score_to_the_last_bit(client, kind):
    data = KINDS[kind]()
    answer = client.post(content=data)
    assert answer.status_code == 200
    [result] = answer.json()["results"]
    assert result["score"] == nsfw_score(data) and result["file"] is None


def test_scores_of_many_clients_at_once_are_those_of_each_alone(client):
    data = [KINDS[kind]() for kind in KINDS]

    async def all_of_them():
        return await asyncio.gather(*(client.ask("POST", "/v1/score", content=each) for each in data * 3))

    scores = [answer.json()["results"][0]["score"] for answer in client.run(all_of_them())]
    assert scores == [nsfw_score(each) for each in data] * 3


@pytest.mark.parametrize("frames", ["first", "max", "mean"])
def test_frames_of_an_animation_count_as_they_do_for_nsfw_score(client, frames):
    data = gif()
    [result] = client.post(f"/v1/score?frames={frames}", content=data).json()["results"]
    assert result["score"] == nsfw_score(data, frames=frames)
    assert result["frames"] == (None if frames == "first" else 3)


def test_a_film_is_scored_by_its_frames(client):
    pytest.importorskip("av")
    data = film([10, 200, 90, 30], rate=1)
    [result] = client.post("/v1/score?frames=max&every=2", content=data).json()["results"]
    assert result["frames"] == 2
    [result] = client.post("/v1/score?frames=max", content=data).json()["results"]
    assert result["score"] == nsfw_score(data, frames="max") and result["frames"] == 4


def test_bfloat16_scores_as_nsfw_score_does_or_is_not_there(client):
    answer = client.post("/v1/score?precision=bfloat16", content=read(COFFEE))
    if "bfloat16" in client.get("/v1/model").json()["precisions"]:
        assert answer.json()["results"][0]["score"] == nsfw_score(COFFEE, precision="bfloat16")
    else:
        assert answer.status_code == 501 and answer.json()["error"]["kind"] == "unsupported"


def test_the_type_says_nothing_the_bytes_say_what_it_is(client):
    answer = client.post(content=read(COFFEE), headers={"content-type": "text/plain"})
    assert answer.status_code == 200


def test_pictures_of_a_form_come_back_in_order_with_their_names(client):
    files = [("file", (name, read(name))) for name in (ROCKET, COFFEE)]
    results = client.post(files=files).json()["results"]
    assert [result["file"] for result in results] == [ROCKET, COFFEE]
    assert [result["score"] for result in results] == [nsfw_score(ROCKET), nsfw_score(COFFEE)]


def test_fields_of_a_form_that_are_no_files_are_skipped(client):
    answer = client.post(files=[("file", ("a.jpg", read(COFFEE)))], data={"comment": "unsafe?"})
    assert len(answer.json()["results"]) == 1


@pytest.mark.parametrize("threshold, label", [(0.01, "unsafe"), (0.8, "safe")])
def test_the_threshold_labels(client, threshold, label):
    answer = client.post(f"/v1/score?threshold={threshold}", content=read(COFFEE)).json()
    assert answer["results"][0]["label"] == label and answer["threshold"] == threshold


def test_a_bad_file_among_good_ones_has_an_error_of_its_own(client):
    files = [("file", ("a.txt", b"just a text")), ("file", ("b.jpg", read(COFFEE)))]
    answer = client.post(files=files)
    failed, scored = answer.json()["results"]
    assert answer.status_code == 200
    assert failed["label"] == "failed" and failed["score"] is None and failed["error"]["kind"] == "not_a_picture"
    assert scored["label"] == "safe" and scored["error"] is None


@pytest.mark.parametrize(
    "data, status, kind",
    [
        (b"%PDF-1.4 and so on", 415, "not_a_picture"),
        (b"just a text", 415, "not_a_picture"),
        (b"", 400, "bad_request"),
        (lambda: read(COFFEE)[:5000], 422, "unreadable"),
        (lambda: encoded(Image.new("I", (9, 9)), "TIFF"), 422, "unreadable"),
        (lambda: read("img/chelsea.png")[:-40000], 422, "unreadable"),
    ],
    ids=["a PDF", "a text", "nothing", "half a JPEG", "a mode without a white", "half a PNG"],
)
def test_what_cannot_be_scored_is_said_by_the_status(client, data, status, kind):
    answer = client.post(content=data() if callable(data) else data)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (status, kind)
    assert "bytes>" not in answer.json()["error"]["message"]


def test_a_form_of_which_nothing_can_be_scored_has_the_status_of_its_first_error(client):
    answer = client.post(files=[("file", ("a", b"just a text")), ("file", ("b", read(COFFEE)[:5000]))])
    assert answer.status_code == 415
    assert [result["error"]["kind"] for result in answer.json()["results"]] == ["not_a_picture", "unreadable"]


@pytest.mark.parametrize(
    "query", ["frames=all", "frame=max", "precision=int8", "threshold=2", "threshold=nan", "every=0", "every=inf"]
)
def test_an_option_that_is_none_is_refused_by_its_name(client, query):
    answer = client.post(f"/v1/score?{query}", content=read(COFFEE))
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["error"]["message"]


@pytest.mark.parametrize("method, path, status", [("GET", "/v1/score", 405), ("GET", "/etc/passwd", 404)])
def test_what_is_not_there_is_an_error_of_the_same_form(client, method, path, status):
    answer = client.run(client.ask(method, path))
    assert answer.status_code == status and set(answer.json()["error"]) == {"kind", "message"}


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1/a.jpg", "file:///etc/passwd"])
def test_neither_paths_nor_addresses_are_opened(client, path):
    answer = client.post(content=path.encode())
    assert answer.status_code == 415
    answer = client.post(files={"file": (path, b"just a text")})
    assert answer.status_code == 415


# --- limits


def test_a_body_that_is_too_large_is_refused_while_it_comes(serve):
    with serve(body_bytes=1000, decoders=1) as client:
        sent = 0

        async def endless():
            nonlocal sent
            while True:
                sent += 100
                yield b"\xff" * 100

        assert client.post(content=b"\xff" * 1001).status_code == 413
        assert client.post(content=endless()).status_code == 413
        assert sent < 3000
        assert client.post(content=b"\xff" * 1000).status_code == 415


def test_too_many_files_and_too_large_ones_are_refused(serve):
    with serve(files=2, picture_bytes=1000, decoders=1) as client:
        for number, status in (2, 415), (3, 413):
            files = [("file", ("a", b"just a text"))] * number
            assert client.post(files=files).status_code == status
        for size, status in (1000, 415), (1001, 413):
            assert client.post(files={"file": ("a", b" " * size)}).status_code == status
            assert client.post(content=b" " * size).status_code == status


def test_pixels_and_frames_are_counted(serve):
    with serve(pixels=256 * 256, frames=2, decoders=1) as client:
        assert client.post(content=encoded(Image.new("RGB", (256, 256)), "PNG")).status_code == 200
        answer = client.post(content=encoded(Image.new("RGB", (256, 257)), "PNG"))
        assert answer.status_code == 422 and "65792 pixels" in answer.json()["error"]["message"]
        assert client.post("/v1/score?frames=first", content=gif()).status_code == 200
        answer = client.post("/v1/score?frames=mean", content=gif())
        assert answer.status_code == 422 and answer.json()["error"]["kind"] == "too_many_frames"
        assert client.post("/v1/score?frames=mean&every=0.9", content=gif()).status_code == 200


def test_beyond_the_queue_it_says_no_at_once_and_goes_on(serve):
    with serve(queue=4, decoders=1) as client:

        async def many():
            return await asyncio.gather(*(client.ask("POST", "/v1/score", content=read(COFFEE)) for _ in range(12)))

        answers = client.run(many())
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503} and statuses.count(200) >= 4
        refused = answers[statuses.index(503)]
        assert refused.headers["retry-after"] == "1" and refused.json()["error"]["kind"] == "busy"
        assert client.post(files=[("file", ("a", read(COFFEE)))] * 5).status_code == 503
        assert client.post(files=[("file", ("a", read(COFFEE)))] * 4).status_code == 200


def test_a_body_that_does_not_arrive_is_given_up(serve):
    with serve(body_seconds=0.1, decoders=1) as client:

        async def slow():
            yield b"\xff"
            await asyncio.sleep(60)

        answer = client.post(content=slow())
        assert answer.status_code == 408 and answer.json()["error"]["kind"] == "too_slow"


# --- operation


def test_it_is_ready_while_a_known_picture_scores_right(serve):
    with serve(decoders=1) as client:
        assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
        client.app.state.service._known = prepare(COFFEE)
        answer = client.get("/readyz")
        assert answer.status_code == 503 and "known picture" in answer.json()["error"]["message"]


def test_the_model_tells_its_files_and_limits(client):
    model = client.get("/v1/model").json()
    assert model["model"] == client.post(content=read(COFFEE)).json()["model"]
    assert model["input_size"] == [224, 224]
    assert model["limits"] == asdict(client.app.state.service.limits)


def test_metrics_count_answers_pictures_and_errors(client):
    before = metrics(client)
    client.post(content=read(COFFEE))
    client.post(content=b"just a text")
    after = metrics(client)

    def more(name):
        return after.get(name, 0) - before.get(name, 0)

    assert more('open_nsfw_requests_total{endpoint="/v1/score",status="200"}') == 1
    assert more('open_nsfw_requests_total{endpoint="/v1/score",status="415"}') == 1
    assert more('open_nsfw_pictures_total{label="safe"}') == more('open_nsfw_pictures_total{label="failed"}') == 1
    assert more('open_nsfw_errors_total{kind="not_a_picture"}') == 1
    assert more("open_nsfw_batch_size_count") == more("open_nsfw_batch_seconds_count") == 1
    assert after["open_nsfw_queue"] == 0


def metrics(client):
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_an_explanation_is_the_class_activation_map(client):
    from nsfw_experiments.explanation import explain

    expected = explain(COFFEE)
    found = client.post("/v1/explain", content=read(COFFEE)).json()
    assert found["cells"] == expected.cells.tolist() and found["bias"] == expected.baseline_logit
    assert math.isclose(found["score"], nsfw_score(COFFEE), rel_tol=1e-4)
    assert client.post("/v1/explain", content=b"just a text").status_code == 415
    assert client.post("/v1/explain", files=[("file", ("a", read(COFFEE)))] * 2).status_code == 400


def test_no_answer_is_kept_by_caches(client):
    for answer in client.get("/healthz"), client.post(content=read(COFFEE)), client.post(content=b"a text"):
        assert answer.headers["cache-control"] == "no-store"


def test_milliseconds_of_an_answer_are_those_that_are_counted(client):
    before = metrics(client)["open_nsfw_picture_seconds_sum"]
    [result] = client.post(content=read(COFFEE)).json()["results"]
    counted = metrics(client)["open_nsfw_picture_seconds_sum"] - before
    assert result["milliseconds"] == pytest.approx(1e3 * counted, abs=0.0051)


def test_the_description_says_that_a_size_has_two_numbers(client):
    described = client.get("/openapi.json").json()["components"]["schemas"]["Model"]["properties"]["input_size"]
    assert (described["minItems"], described["maxItems"]) == (2, 2)


def test_the_description_names_every_status_that_is_answered(client):
    described = client.get("/openapi.json").json()["paths"]["/v1/score"]["post"]
    assert set(described["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "501", "503"}
    assert set(described["requestBody"]["content"]) >= {"multipart/form-data", "application/octet-stream"}
    assert client.get("/docs").status_code == 200
