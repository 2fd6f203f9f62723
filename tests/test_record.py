"""`@record` against `dataclasses`: whoever uses a record finds a frozen dataclass."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from netcompile.record import OFTEN, factory, record, replace


@record
class Point:
    """Two numbers."""

    kind: ClassVar[str] = "point"
    x: int
    y: float = 0.5


@record
class Named(Point):
    names: list[str] = factory(list)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("negative")


@record
class Empty:
    pass


@record
class Own:
    """Equal wherever its first field is."""

    a: int
    b: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.a == other.a

    def __hash__(self) -> int:
        return self.a


@dataclasses.dataclass(frozen=True)
class Twin:
    x: int
    y: float = 0.5


def often(cls, *arguments):
    """The class behind its compiled ``__init__``."""
    for _ in range(OFTEN + 1):
        cls(*arguments)
    return cls


@pytest.mark.parametrize("made", [Point(1), Point(1, 0.5), Point(x=1), Point(y=0.5, x=1), Point(1, y=0.5)])
def test_fields_defaults_and_equality(made):
    assert (made.x, made.y, made.kind) == (1, 0.5, "point")
    assert made == Point(1)
    assert hash(made) == hash(Point(1))
    assert made != Point(2)
    assert made != Twin(1)
    assert repr(made) == "Point(x=1, y=0.5)"


def test_bases_first_and_factories():
    first, second = Named(1), Named(1)
    assert (first.x, first.y, first.names) == (1, 0.5, [])
    assert first.names is not second.names
    assert repr(often(Named, 1)(2, names=["n"])) == "Named(x=2, y=0.5, names=['n'])"
    assert Named(1).names is not Named(1).names
    with pytest.raises(ValueError, match="negative"):
        Named(-1)


def test_empty_and_own_equality():
    assert Empty() == Empty()
    assert repr(Empty()) == "Empty()"
    assert Own(1, 2) == Own(1, 3)
    assert hash(Own(7, 2)) == 7


WRONG = [
    ((), {}, r"__init__\(\) missing 1 required positional argument: 'x'"),
    ((1, 2, 3), {}, r"__init__\(\) takes from 2 to 3 positional arguments but 4 were given"),
    ((1,), {"x": 2}, r"__init__\(\) got multiple values for argument 'x'"),
    ((1,), {"z": 2}, r"__init__\(\) got an unexpected keyword argument 'z'"),
]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("given", "named", "message"), WRONG)
def test_wrong_calls_say_what_python_says(given, named, message, warm):
    @record
    class Fresh:
        x: int
        y: float = 0.5

    with pytest.raises(TypeError, match=message):
        (often(Fresh, 1) if warm else Fresh)(*given, **named)


def test_frozen():
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'y'"):
        del point.y


def test_dataclasses_knows_records():
    assert dataclasses.is_dataclass(Point)
    assert [(f.name, f.default) for f in dataclasses.fields(Point)] == [("x", dataclasses.MISSING), ("y", 0.5)]
    assert dataclasses.fields(Named)[2].default_factory is list
    assert dataclasses.replace(Point(1), y=2.0) == Point(1, 2.0)
    assert dataclasses.asdict(Named(1)) == {"x": 1, "y": 0.5, "names": []}


def test_a_dataclass_may_follow():
    @dataclasses.dataclass(frozen=True)
    class Third(Point):
        z: int = 3

    assert repr(Third(1)).endswith("Third(x=1, y=0.5, z=3)")
    assert replace(Third(1, z=4), x=2) == Third(2, z=4)
    with pytest.raises(TypeError, match="the base Twin of a record is none"):

        @record
        class _(Twin):
            pass


def test_replace():
    assert replace(Point(1), y=2.0) == Point(1, 2.0)
    assert replace(Twin(1), y=2.0) == Twin(1, 2.0)
    with pytest.raises(TypeError, match="'z'"):
        replace(Point(1), z=1)


def test_order_of_defaults():
    with pytest.raises(TypeError, match="non-default argument 'b' follows default argument"):

        @record
        class _:
            a: int = 1
            b: int


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(again):
    assert again(Named(1, 2.0, ["n"])) == Named(1, 2.0, ["n"])


def test_patterns():
    match Point(1, 2.0):
        case Point(x, y):
            assert (x, y) == (1, 2.0)
