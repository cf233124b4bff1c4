"""A picture that takes too long is an error of its own, and holds up no other."""

import threading

import pytest

from nsfw_command.main import main
from nsfw_model.time_limit import LateError, TimeLimit
from open_nsfw import PictureError, nsfw_score, nsfw_scores

ROCKET = "img/rocket.jpg"


class Stuck:
    """A file that cannot be read until somebody lets it go."""

    name = "stuck.jpg"

    def __init__(self):
        self.go = threading.Event()

    def read(self, size=-1):
        self.go.wait(60)
        return b""

    def seek(self, position, whence=0):
        return 0

    def tell(self):
        return 0


@pytest.fixture
def stuck():
    file = Stuck()
    yield file
    file.go.set()


def test_results_and_errors_are_those_of_the_function():
    with TimeLimit(60) as limit:
        assert limit.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            limit.call(divmod, 7, 0)
        assert limit.call(divmod, 7, 2) == (3, 1)


def test_calls_in_time_share_a_thread_and_those_after_a_late_one_get_another(stuck):
    with TimeLimit(0.2) as limit:
        first, second = (limit.call(threading.get_ident) for _ in range(2))
        with pytest.raises(LateError, match="not done within 0.2 s"):
            limit.call(stuck.read)
        assert first == second != limit.call(threading.get_ident) != threading.get_ident()


def test_without_a_limit_there_is_no_thread():
    with TimeLimit(None) as limit:
        assert limit.call(threading.get_ident) == threading.get_ident()


def test_no_thread_is_left_behind_where_all_are_in_time():
    before = set(threading.enumerate())
    with TimeLimit(60) as limit:
        (thread,) = {limit.call(threading.current_thread)} - before
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_picture_that_cannot_be_read_in_time_takes_its_place_among_the_scores(stuck, batch_size):
    first, late, last = nsfw_scores([ROCKET, stuck, ROCKET], batch_size, on_error="return", seconds=5)
    assert isinstance(late, PictureError) and str(late) == "stuck.jpg: not done within 5 s"
    assert first == last == pytest.approx(nsfw_score(ROCKET), abs=1e-6)


def test_or_is_raised_after_the_scores_before_it(stuck):
    scores = nsfw_scores([ROCKET, stuck, ROCKET], seconds=5)
    assert next(scores) == pytest.approx(nsfw_score(ROCKET), abs=1e-6)
    with pytest.raises(PictureError, match="stuck.jpg: not done within"):
        next(scores)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_a_time(seconds):
    with pytest.raises(ValueError, match=f"seconds: got {seconds}, expected a number above 0"):
        nsfw_scores([ROCKET], seconds=seconds)


def test_the_command_has_one_too(capsys):
    assert main(["score", "--seconds", "1e-9", ROCKET]) == 1
    assert capsys.readouterr().out == "   ERROR  img/rocket.jpg: not done within 1e-09 s\n"
    assert main(["score", "--seconds", "inf", ROCKET]) == 0


@pytest.mark.parametrize("text", ["0", "-3", "nan", "soon"])
def test_what_is_no_time_is_a_wrong_argument(text, capsys):
    with pytest.raises(SystemExit):
        main(["score", "--seconds", text, ROCKET])
    assert "--seconds: expected a number" in capsys.readouterr().err
