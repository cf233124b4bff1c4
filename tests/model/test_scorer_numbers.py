"""What a scorer makes of what its functions give, and what it gives them: with functions written here."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from nsfw_model import ModelFileError, scorer
from nsfw_model.scorer import Scorer, _Compiled, _difference

SHAPE = (3, 4, 5)


def batch(*leading, fill=1.0):
    return np.full((*leading, *SHAPE), fill)


class TestFunctions:
    def test_are_compiled_once_and_when_they_are_called(self):
        made = []
        function = _Compiled(lambda: made.append(1) or (lambda x: [x.sum()]), SHAPE)
        assert made == []
        assert function(batch(2)) == [120.0] and function(batch(1)) == [60.0]
        assert made == [1]

    def test_are_given_float32_in_order_and_the_rest_as_it_is(self):
        given = []
        function = _Compiled(lambda: lambda x, *others: given.append((x, others)), SHAPE)
        function(np.asfortranarray(batch(2)), "direction", 7)
        ((x, others),) = given
        assert x.dtype == np.float32 and x.flags.c_contiguous and others == ("direction", 7)

    @pytest.mark.parametrize("shape", [SHAPE, (1, 3, 4), (1, 3, 4, 6), (1, 4, 4, 5), (1, 1, *SHAPE), ()])
    def test_are_not_called_with_another_shape(self, shape):
        function = _Compiled(lambda: pytest.fail("was compiled"), SHAPE)
        with pytest.raises(ValueError, match=f"^{re.escape(f'expected shape (n, 3, 4, 5), got {shape}')}$"):
            function(np.zeros(shape))

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
    def test_are_not_called_with_what_is_not_finite_in_float32(self, value):
        x = batch(2)
        x[1, 2, 3, 4] = value
        function = _Compiled(lambda: pytest.fail("was compiled"), SHAPE)
        message = r"^network input: got (nan|inf) at \[1, 2, 3, 4\] \(1 of 120 values are not finite\), expected finite"
        with pytest.raises(ValueError, match=message):
            function(x)

    @pytest.mark.parametrize("overflow", [False, True])
    def test_are_checked_with_what_they_overflowed(self, overflow, monkeypatch):
        steps, checked = [], []
        monkeypatch.setattr(scorer, "forget_overflows", lambda: steps.append("forget"))
        monkeypatch.setattr(scorer, "overflowed", lambda: steps.append("overflowed") or overflow)
        function = _Compiled(
            lambda: lambda x: steps.append("call") or ["output"], SHAPE, lambda *args: checked.append(args)
        )
        assert function(batch(1)) == ["output"]
        assert steps == ["forget", "call", "overflowed"]
        ((x, outputs, told),) = checked
        assert x.shape == (1, *SHAPE) and outputs == ["output"] and told is overflow

    def test_are_compiled_anew_where_a_fork_interrupted_them(self):
        made = []
        function = _Compiled(lambda: made.append(1) or (lambda x: [x]), SHAPE)
        function(batch(1))
        function._lock.interrupted = True
        function(batch(1))
        assert made == [1, 1] and function._lock.interrupted is False
        function(batch(1))
        assert made == [1, 1]


class TestClasses:
    @pytest.mark.parametrize("shape", [(3, 2), (3, 2, 1, 1)])
    def test_differ_by_the_second_less_the_first(self, shape):
        classes = np.float32([[1, 5], [2, 2], [7, 4]]).reshape(shape)
        assert _difference(classes).tolist() == [4, 0, -3]

    @pytest.fixture
    def made(self):
        """A scorer whose functions are written here."""
        made = Scorer.__new__(Scorer)
        made._files = ("net.pkl", "net.prototxt")
        made._functions = lambda: SimpleNamespace(
            output=SimpleNamespace(output_shape=(None, 2, 1, 1)), net={"a": None, "b": None}
        )
        return made

    def test_scores_are_the_second_and_logits_their_difference(self, made):
        prob, classes = np.float32([[[0.25], [0.75]], [[1], [0]]]), np.float32([[[1], [5]], [[3], [1]]])
        made._forward = lambda x: (prob, classes)
        assert made.scores(None).tolist() == [0.75, 0] and made.logits(None).tolist() == [4, -2]

    def test_gradients_are_those_of_the_difference(self, made):
        given = []
        made._backward = lambda *arguments: given.append(arguments) or (np.float32([[1, 5], [3, 1]]), "gradients")
        logits, gradients = made.logits_and_gradients("ab")
        assert logits.tolist() == [4, -2] and gradients == "gradients"
        ((x, direction),) = given
        assert x == "ab" and direction.dtype == np.float32 and direction.shape == (2, 2, 1, 1)
        assert direction.reshape(2, 2).tolist() == [[-1, 1], [-1, 1]]

    def test_what_is_not_finite_is_an_error_that_names_what_gives_it(self, made):
        finite, broken = np.zeros((1, 2), np.float32), np.float32([[0, np.nan]])
        made._every_layer = lambda x: [finite, broken]
        made._check("x", [finite, finite], overflow=False)
        advice = (
            "gives nan at [0, 1] (1 of 2 values are not finite) for finite input: its weights are too large, "
            "or what computes it is broken here (THEANO_CPU_ENGINE chooses another engine)"
        )
        for outputs in [finite, broken], [broken, finite]:
            with pytest.raises(ModelFileError, match=f"^{re.escape(f'net.pkl: the network {advice}')}$"):
                made._check("x", outputs, overflow=False)
        whole = f"net.pkl: layer 'b' {advice}"
        with pytest.raises(ModelFileError, match=f"^{re.escape(whole)}$"):
            made._check("x", [finite], overflow=True)
        made._every_layer = lambda x: [finite, finite]
        made._check("x", [finite], overflow=True)
