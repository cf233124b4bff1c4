"""Numbers are what they are asked for to be, or an error that says so."""

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from nsfw_model import checks
from nsfw_model.checks import above_zero, check_finite, check_whole, not_finite, real_numbers


class TestWhole:
    @pytest.mark.parametrize("number", [2, 3, 5, np.int64(2), np.uint8(5)])
    def test_numbers_within_their_bounds_are_taken(self, number):
        check_whole("n", number, 2, 5)
        check_whole("n", number, least=2)

    @pytest.mark.parametrize("number", [1, 6, -3, True, False, 3.0, "3", None, np.bool_(True), Fraction(3)])
    def test_others_are_refused(self, number):
        message = f"n: got {number!r}, expected a whole number of at least 2 and at most 5"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check_whole("n", number, 2, 5)

    def test_without_an_upper_bound_there_is_none(self):
        check_whole("n", 10**50, 2)
        with pytest.raises(ValueError, match="^n: got 1, expected a whole number of at least 2$"):
            check_whole("n", 1, 2)
        with pytest.raises(ValueError, match="^n: got 1, expected a whole number of at least 2 and at most 0$"):
            check_whole("n", 1, 2, 0)
        check_whole("n", 0, 0, 0)

    def test_an_endless_value_is_shown_in_part(self):
        with pytest.raises(ValueError, match=f"^n: got '{'x' * 99}, expected"):
            check_whole("n", "x" * 1000, 2)

    def test_limits_are_those_that_the_help_names(self):
        assert (checks.MAX_THREADS, checks.MAX_PROCESSES, checks.MAX_NUMBER) == (4096, 1024, 2**31 - 1)


class TestAboveZero:
    @pytest.mark.parametrize(
        "number, value",
        [
            (1, 1.0),
            (0.5, 0.5),
            (60, 60.0),
            (np.float32(0.5), 0.5),
            (Fraction(1, 4), 0.25),
            (Decimal("0.5"), 0.5),
            (True, 1.0),
            (5e-324, 5e-324),
        ],
    )
    def test_numbers_are_floats(self, number, value):
        assert above_zero("s", number, 60) == value and type(above_zero("s", number)) is float

    @pytest.mark.parametrize(
        "number", [0, -1, 60.1, float("nan"), float("inf"), "8", b"8", bytearray(b"8"), None, [1], 1j, 10**400]
    )
    def test_others_are_refused(self, number):
        message = f"s: got {number!r:.100}, expected a length above 0 and at most 60"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            above_zero("s", number, 60, "a length")

    def test_infinity_is_none_without_a_bound_either(self):
        with pytest.raises(ValueError, match="^s: got inf, expected a number above 0$"):
            above_zero("s", float("inf"))
        assert above_zero("s", 1e308) == 1e308


class TestFinite:
    @pytest.mark.parametrize(
        "values, message",
        [
            (np.array([0, 1.5]), None),
            (np.array(7.0), None),
            (np.zeros((0, 3)), None),
            (np.array([[0, 1], [np.nan, np.inf]]), "nan at [1, 0] (2 of 4 values are not finite)"),
            (np.array([1, -np.inf, 1]), "-inf at [1] (1 of 3 values are not finite)"),
            (np.array(np.inf), "inf at [] (1 of 1 values are not finite)"),
            (np.full((2, 1, 2), np.nan), "nan at [0, 0, 0] (4 of 4 values are not finite)"),
        ],
    )
    def test_the_first_that_is_not_is_named(self, values, message):
        assert not_finite(values) == message
        if message is None:
            check_finite("x", values)
        else:
            with pytest.raises(ValueError, match=f"^{re.escape(f'x: got {message}, expected finite numbers')}$"):
                check_finite("x", values)


class TestReal:
    @pytest.mark.parametrize("kind", ["?", "i1", "u1", "i8", "u8", "f2", "f4", "f8"])
    def test_numbers_are_taken_as_they_are(self, kind):
        array = np.ones(3, kind)
        assert real_numbers("x", array) is array
        assert real_numbers("x", [[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize("kind", ["c8", "c16", "M8[s]", "m8[s]", "U3", "S3", "O", "V4"])
    def test_what_is_none_is_refused(self, kind):
        with pytest.raises(ValueError, match="^x: got values of type .*, expected real numbers$"):
            real_numbers("x", np.zeros(3, kind))

    def test_masked_values_are_counted(self):
        values = np.ma.masked_array([1.0, 2.0, 3.0], [True, False, True])
        with pytest.raises(ValueError, match="^x: got 2 masked values, expected none; `filled` gives them a value$"):
            real_numbers("x", values)
        assert real_numbers("x", np.ma.masked_array([1.0, 2.0], [False, False])).tolist() == [1, 2]
