"""Protobuf's binary form, walked without making anything of it: two bytes of it may become a message of a kilobyte.

Source: https://protobuf.dev/programming-guides/encoding/. A message is a sequence of fields, each a tag (its number and
wire type) and its value; a message within it is a value of so many bytes.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

__all__ = ["check_field_count"]

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes
#: The same field of four bytes again and again, as of floats that are not packed.
_FLOATS = re.compile(
    rb"([\x05\x0d\x15\x1d\x25\x2d\x35\x3d\x45\x4d\x55\x5d\x65\x6d\x75\x7d])[\s\S]{4}(?:\1[\s\S]{4}){15,4095}"
)
#: Types of numbers that take a byte or more each where several are packed into one value.
_VARINT_TYPES = {
    FieldDescriptor.CPPTYPE_BOOL,
    FieldDescriptor.CPPTYPE_ENUM,
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


def check_field_count(data: bytes, descriptor: Any, most: int) -> None:
    """Refuse a message that has too many fields, those of the messages within it among them.

    Parameters
    ----------
    data : bytes
        The message.
    descriptor : google.protobuf.descriptor.Descriptor
        Of its type, which no message within it has again.
    most : int
        A byte of packed whole numbers counts for a field. Packed floats, some thousands of floats that are not packed,
        and what the type does not know, are one field each: they take no more memory than their bytes.

    Raises
    ------
    DecodeError
        If it has more, or is no message.

    Examples
    --------
    >>> from nsfw_model.schema import NetParameter
    >>> net = NetParameter(name="net", input_dim=[1, 3, 8, 8])
    >>> check_field_count(net.SerializeToString(), net.DESCRIPTOR, 5)
    >>> check_field_count(net.SerializeToString(), net.DESCRIPTOR, 4)
    Traceback (most recent call last):
    google.protobuf.message.DecodeError: got more than 4 fields
    """
    known: dict[str, dict[int, Any]] = {}
    left, waiting = most, [(0, len(data), descriptor)]
    while waiting:
        at, end, message = waiting.pop()
        if message.full_name not in known:
            known[message.full_name] = {field.number: field for field in message.fields}
        while at < end:
            number, begin, at = _field(data, at, end)
            field = known[message.full_name].get(number)
            left -= 1
            if field is not None and field.message_type is not None:
                waiting.append((begin, at, field.message_type))
            elif field is not None and field.cpp_type in _VARINT_TYPES:
                left -= at - begin
            if left < 0:
                raise DecodeError(f"got more than {most} fields")


def _field(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The number of a field that has a length, else 0, and where its value begins and ends."""
    if run := _FLOATS.match(data, at, end):
        return 0, at, run.end()
    tag, at = _varint(data, at)
    begin, at = _value(data, at, tag & 7)
    if at > end:
        raise DecodeError(f"got a field that ends behind its message, at byte {end}")
    return (tag >> 3 if tag & 7 == _LENGTH else 0), begin, at


def _value(data: bytes, at: int, wire_type: int) -> tuple[int, int]:
    """Where a value begins, behind its length, and where it ends."""
    if wire_type == _LENGTH:
        length, begin = _varint(data, at)
        return begin, begin + length
    if wire_type == _VARINT:
        return at, _varint(data, at)[1]
    if wire_type == _FOUR_BYTES:
        return at, at + 4
    if wire_type == _EIGHT_BYTES:
        return at, at + 8
    raise DecodeError(f"got the wire type {wire_type} at byte {at}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    number = 0
    for index, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, at + index + 1
    raise DecodeError(f"got a number without an end at byte {at}")
