"""The walk over protobuf's binary form counts what protobuf would make of it, and makes nothing."""

import struct

import pytest
from google.protobuf.message import DecodeError

from nsfw_model.schema import BlobProto, LayerParameter, NetParameter
from nsfw_model.wire import check_field_count


def has_fields(data, count, message=NetParameter):
    check_field_count(data, message.DESCRIPTOR, count)
    with pytest.raises(DecodeError, match=f"got more than {count - 1} fields"):
        check_field_count(data, message.DESCRIPTOR, count - 1)


@pytest.mark.parametrize("message, count", [
    (NetParameter(name="net", force_backward=True), 2),
    (NetParameter(input=["", "b"], input_dim=[1, 3, 8, 300]), 2 + 4),
    (NetParameter(layer=[{}, {"name": "a"}], layers=[{}]), 3 + 1),
    (NetParameter(layer=[{"bottom": ["a", ""], "convolution_param": {"kernel_size": [3, 300]}}]), 1 + 2 + 1 + 2),
    (NetParameter(layer=[{"include": [{"stage": ["x"]}, {}], "loss_weight": [1, 2]}]), 1 + 2 + 1 + 2),
    (LayerParameter(blobs=[{"shape": {"dim": [10, 300]}, "data": [1.5] * 1000}, {"num": -1}]), 2 + 3 + 3 + 1),
    (LayerParameter(blobs=[{"double_data": [1.5] * 1000, "diff": [0.5] * 1000}]), 1 + 2),
])  # fmt: skip
def test_fields_are_counted_through_all_messages_and_packed_whole_numbers_by_their_bytes(message, count):
    has_fields(message.SerializeToString(), count, type(message))


@pytest.mark.parametrize("number", [15, 16])
def test_floats_that_are_not_packed_are_few_fields_however_many_they_are(number):
    values = b"".join(b"\x2d" + struct.pack("<f", value) for value in range(number))
    assert len(BlobProto.FromString(values).data) == number
    has_fields(values, 15 if number < 16 else 1, BlobProto)
    check_field_count(values * 10_000, BlobProto.DESCRIPTOR, 40 if number == 16 else 37)


def test_what_the_type_does_not_know_is_one_field():
    has_fields(b"\xfa\x3f\x03" + bytes(3), 1)  # field 1023 of three bytes
    has_fields(b"\xf9\x3f" + bytes(8), 1)
    has_fields(b"\xfd\x3f" + bytes(4), 1)
    has_fields(b"\xf8\x3f\x80\x01", 1)


def test_a_number_in_the_place_of_a_message_has_no_fields():
    has_fields(b"\xa0\x06\x05", 1)  # layer: 5


@pytest.mark.parametrize("data, message", [
    (b"\xa2\x06\x01", "ends behind its message, at byte 3"),
    (b"\xa2\x06\x02\x0a\x05", "ends behind its message, at byte 5"),
    (b"\xa2\x06\x02\x0a\x05\x0a\x03net", "ends behind its message, at byte 5"),
    (b"\xa2\x06" + b"\xff" * 9 + b"\x01", "ends behind its message, at byte 12"),
    (b"\xa2\x06\xff", "a number without an end at byte 2"),
    (b"\xa2\x06" + b"\xff" * 20, "a number without an end at byte 2"),
    (b"\xa2", "a number without an end at byte 0"),
    (b"\xfd\x3f\x00", "ends behind its message, at byte 3"),
    (b"\xf9\x3f\x00", "ends behind its message, at byte 3"),
    (b"\x0b\x0c", "the wire type 3 at byte 1"),
    (b"\x07", "the wire type 7 at byte 1"),
])  # fmt: skip
def test_what_is_no_message_is_an_error(data, message):
    with pytest.raises(DecodeError, match=message):
        check_field_count(data, NetParameter.DESCRIPTOR, 1000)


@pytest.mark.parametrize("layer", [b"\xa2\x06\x00", b"\x12\x00", b"\xa2\x06\x02\x3a\x00"])
def test_a_message_of_millions_is_given_up_soon(layer):
    with pytest.raises(DecodeError, match="got more than 1000 fields"):
        check_field_count(layer * 5_000_000, NetParameter.DESCRIPTOR, 1000)
