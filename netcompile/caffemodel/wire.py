"""protobuf's wire format, walked over a buffer without copying it.

Every message of a caffemodel is a run of fields: a tag (field number and wire type) and a payload. The walk here goes
over one message, does not recurse, trusts no length, and touches only tags and lengths: the payloads (the weights) stay
where they are. What it refuses is what protobuf's own parser refuses.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Protocol, overload

VARINT, FIXED64, BYTES, START, END, FIXED32 = 0, 1, 2, 3, 4, 5

_DEPTH = 100  # protobuf's own limit for nested groups


class Buffer(Protocol):
    """Bytes, or a file that is indexed like them."""

    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes: ...


class WireError(Exception):
    """The bytes are no message: ``offset`` is where, ``str()`` why. ``truncated``: data runs past its end."""

    def __init__(self, offset: int, why: str, truncated: bool = False) -> None:
        super().__init__(why)
        self.offset = offset
        self.truncated = truncated


class Overrun(WireError):
    """The payload of field ``number`` at ``start`` claims to run to byte ``claimed``, beyond ``end``."""

    def __init__(self, number: int, start: int, claimed: int, end: int) -> None:
        super().__init__(start, f"data runs to byte {claimed} but ends at byte {end}", truncated=True)
        self.number = number
        self.start = start
        self.claimed = claimed
        self.end = end


def varint(buffer: Buffer, offset: int, end: int) -> tuple[int, int]:
    """The unsigned number of up to 64 bits at ``offset`` and the offset after it. Raises WireError."""
    value = 0
    for place in range(10):
        if offset + place >= end:
            raise WireError(offset, "a number is cut off", truncated=True)
        byte = buffer[offset + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, offset + place + 1
    raise WireError(offset, "a number is longer than 10 bytes")


def signed(value: int, bits: int) -> int:
    """The low ``bits`` of a varint as protobuf's int32 or int64.

    >>> signed(2**64 - 1, 32), signed(7, 64)
    (-1, 7)
    """
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fields(buffer: Buffer, offset: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of the message in ``buffer[offset:end]``: (number, wire type, a, b).

    ``a`` is the value for VARINT (``b`` is the offset after it); for BYTES the payload is ``buffer[a:b]``. Fixed-size
    numbers of one field that follow each other come as one: ``buffer[a:b]`` with a byte of tag between every two
    (``run_length`` says why). Groups, which no message of Caffe has, are skipped. Raises WireError.
    """
    groups: list[int] = []
    while offset < end:
        at = offset
        tag = buffer[offset]
        offset += 1
        if tag > 127:
            tag, offset = varint(buffer, at, end)
            if tag >> 32:
                raise WireError(at, "a field's tag is longer than 32 bits")
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError(at, "field number 0")
        if kind == BYTES:
            length, offset = varint(buffer, offset, end)
            if offset + length > end:
                raise Overrun(number, offset, offset + length, end)
            a, b = offset, offset + length
        elif kind == VARINT:
            a, b = varint(buffer, offset, end)
        elif kind in (FIXED32, FIXED64):
            a, b = offset, offset + (4 if kind == FIXED32 else 8)
            if b > end:
                raise Overrun(number, a, b, end)
            if b < end and tag < 128 and offset == at + 1 and buffer[b] == tag:
                b += run_length(buffer, tag, b, end, b - a) * (b - a + 1)
        elif kind == START:
            groups.append(number)
            if len(groups) > _DEPTH:
                raise WireError(at, f"groups nest deeper than {_DEPTH}")
            continue
        elif kind == END:
            if not groups or groups.pop() != number:
                raise WireError(at, "a group ends that did not begin")
            continue
        else:
            raise WireError(at, f"wire type {kind} does not exist")
        offset = b
        if not groups:
            yield number, kind, a, b
    if groups:
        raise WireError(end, "a group does not end", truncated=True)


def run_length(buffer: Buffer, tag: int, start: int, end: int, size: int) -> int:
    """How many times in a row ``tag`` (one byte) and ``size`` bytes stand at ``start``: unpacked repeated numbers.

    Looks at the tags of many numbers at once, in steps that grow: a hundred million unpacked floats take a second.
    """
    stride = size + 1
    count, step = 0, 16
    while True:
        room = min(step, (end - start) // stride - count)
        if room <= 0:
            return count
        first = start + count * stride
        tags = buffer[first : first + room * stride : stride]
        same = room - len(tags.lstrip(bytes((tag,))))
        count += same
        if same < room:
            return count
        step = min(step * 8, 1 << 20)


class Pieces:
    """Where the numbers of one repeated field lie: runs of (offset, count, stride in bytes), in order.

    Stride equals the size of a number where they are packed. Kept in one flat array, 24 bytes a run, because a hostile
    file can hold very many.
    """

    __slots__ = ("count", "runs", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self.runs = array("Q")

    def add(self, offset: int, count: int, stride: int) -> None:
        """Appends a run; one that continues the run before it is joined to it."""
        if count == 0:
            return
        self.count += count
        runs = self.runs
        if runs and runs[-1] == stride and runs[-3] + runs[-2] * stride == offset:
            runs[-2] += count
        else:
            runs.extend((offset, count, stride))

    def part(self, first: int, count: int) -> Pieces:
        """Where ``count`` of the numbers lie, from the one with number ``first`` on."""
        found = Pieces(self.size)
        for offset, held, stride in self:
            taken = min(held - first, count)
            if taken > 0:
                found.add(offset + first * stride, taken, stride)
                count -= taken
            first = max(0, first - held)
        return found

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        runs = iter(self.runs)
        return zip(runs, runs, runs, strict=True)
