"""What the service answers is what Python computes: every score to its last bit, every refusal to its last word."""

import asyncio

import httpx
import pytest
from kinds_of_pictures import damaged_pictures, kinds_of_pictures

from nsfw_model.picture import NotAPictureError
from open_nsfw import PictureError, frame_scores, get_scorer, nsfw_score

#: Clients at once, so that their pictures share batches.
AT_ONCE = 12


def answers(url, bodies, **options):
    """What comes of each body, of many clients at once."""

    async def ask_all():
        turn = asyncio.Semaphore(AT_ONCE)
        async with httpx.AsyncClient(timeout=120) as client:

            async def ask(body):
                async with turn:
                    return await client.post(f"{url}/v1/score", content=body, params=options)

            return await asyncio.gather(*map(ask, bodies))

    return asyncio.run(ask_all())


def scores(url, files, **options):
    """The score of each file that has one, and else the message of its error."""
    found = {}
    for name, answer in zip(files, answers(url, files.values(), **options)):
        body = answer.json()
        found[name] = body["results"][0]["score"] if answer.status_code == 200 else body["error"]["message"]
    return found


def expected(files, score):
    found = {}
    for name, data in files.items():
        try:
            found[name] = score(data)
        except PictureError as error:
            found[name] = str(error).removeprefix(f"<{len(data)} bytes>: ")
    return found


def test_every_kind_of_picture_has_the_score_that_python_gives_it(service):
    files = kinds_of_pictures()
    wanted = expected(files, nsfw_score)
    assert scores(service.url, files) == wanted
    assert [name for name, score in wanted.items() if isinstance(score, str)] in ([], ["MP4"]), "all are scored"


@pytest.mark.parametrize("frames", ["max", "mean"])
def test_so_have_the_frames_of_those_that_move(service, frames):
    files = {name: data for name, data in kinds_of_pictures().items() if "frames" in name or name in ("MP4", "JPEG")}
    wanted = expected(files, lambda data: nsfw_score(data, frames=frames))
    assert scores(service.url, files, frames=frames) == wanted
    for name, answer in zip(files, answers(service.url, files.values(), frames=frames)):
        found, all_frames = answer.json()["results"][0], list(frame_scores(files[name]))
        assert found["frames"] == (len(all_frames) if len(all_frames) > 1 else None)
        if len(all_frames) > 1:
            assert found["worst_second"] == max(all_frames, key=lambda frame: frame.score).seconds


def test_so_have_those_of_bfloat16(service):
    if "bfloat16" not in httpx.get(f"{service.url}/v1/model").json()["precisions"]:
        with pytest.raises(NotImplementedError):
            get_scorer(precision="bfloat16")
        pytest.skip("this processor has no bfloat16")
    files = dict(list(kinds_of_pictures().items())[:10])
    wanted = expected(files, lambda data: nsfw_score(data, precision="bfloat16"))
    assert scores(service.url, files, precision="bfloat16") == wanted


def test_many_pictures_of_one_form_have_the_same_scores_in_their_order(service):
    chosen = dict(list(kinds_of_pictures().items())[-30:])
    form = [("file", (name, data)) for name, data in chosen.items()]
    body = httpx.post(f"{service.url}/v1/score", files=form, timeout=120).json()
    assert [result["file"] for result in body["results"]] == list(chosen)
    for result, wanted in zip(body["results"], expected(chosen, nsfw_score).values()):
        assert (result["error"]["message"] if result["score"] is None else result["score"]) == wanted


def test_what_python_refuses_is_refused_in_the_same_words(service):
    files = damaged_pictures()
    assert scores(service.url, files) == expected(files, nsfw_score)
    for data, answer in zip(files.values(), answers(service.url, files.values())):
        with pytest.raises(PictureError) as caught:
            nsfw_score(data)
        is_picture = not isinstance(caught.value, NotAPictureError)
        wanted = (422, "unreadable") if is_picture else (415, "not_a_picture")
        assert (answer.status_code, answer.json()["error"]["kind"]) == wanted
