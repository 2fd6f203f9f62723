"""What a net is used for: one class for each task.

A task says which outputs it recognises, how an image is prepared for it, what the outputs mean, what is written, and
how it is scored. `predict` and `evaluate` know nothing else of it; `catalogue.TASKS` lists them all. Nothing here
imports torch: arrays come as NumPy's.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

import numpy as np

from netcompile.analysis.outputs import Output
from netcompile.array import Array
from netcompile.data.pictures import Picture
from netcompile.data.preparation import NONE, Preparation, Resize, Size, View
from netcompile.data.preprocessing import Preprocessing
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.layers.base import IntShape

if TYPE_CHECKING:
    from netcompile.runtime.processes import Processes

Arrays = dict[str, Array]  # of one input of the net, by blob, without the axis of the batch
Writer = Callable[[BinaryIO], None]


@dataclass(frozen=True, slots=True)
class Net:
    """What is known of a net before it runs.

    `inputs` and `outputs` at the declared size; `inner` are other blobs of which it is known what they hold. `fixed` is
    the declared height and width of a net that takes few other sizes, or none; None where it takes any. `images` are
    the inputs that take images and what happens to these, as far as the net says.
    """

    inputs: tuple[tuple[str, IntShape], ...]
    outputs: tuple[Output, ...]
    inner: tuple[Output, ...] = ()
    fixed: Size | None = None
    images: Mapping[str, Preprocessing | None] = field(default_factory=dict)

    @property
    def declared(self) -> Size:
        """Height and width of its first input of four axes; (0, 0) without one."""
        return next(((shape[2], shape[3]) for _, shape in self.inputs if len(shape) == 4), (0, 0))

    @property
    def colours(self) -> int:
        """Channels of that input."""
        return next((shape[1] for _, shape in self.inputs if len(shape) == 4), 0)

    def has_each_image(self, output: Output) -> bool:
        """Whether an output's first axis is that of the images, where the net has an input of four axes."""
        batch = next((shape[0] for _, shape in self.inputs if len(shape) == 4), None)
        return batch is None or output.shape[:1] == (batch,)

    def is_plane(self, output: Output) -> bool:
        """Whether an output is N×C×H×W, a picture of what is where: not a single place, nor a line of an image."""
        if len(output.shape) != 4 or not self.has_each_image(output):
            return False
        return min(output.shape[2:]) > 1 or min(self.declared) == 1

    def is_fine(self, output: Output) -> bool:
        """Whether such a plane has about a place for each pixel: convolutions without padding may cost its edges, and
        nothing halves it."""
        return all(8 * side > 5 * whole for side, whole in zip(output.shape[2:], self.declared, strict=True))


@dataclass(frozen=True, slots=True)
class Found:
    """That a net is of a task: the blobs that the task reads, the first the most important, and what tells it."""

    blobs: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that went through the net: its key (a `Picture` for `predict`), its pixels, and the views of it."""

    key: Any
    rgb: Array
    views: tuple[View, ...]

    @property
    def view(self) -> View:
        """The only view, or the first."""
        return self.views[0]


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of file that is written for every image: DIR/`folder`/NAME.`extension`."""

    folder: str
    extension: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What an evaluation is asked for: `data`, `split` and `root` name the data set.

    `worst` is how many images the page shows; `batch` how many run at once. `note` takes what is noticed.
    """

    data: str
    split: str | None
    root: str | None
    classes: tuple[str, ...]
    worst: int
    batch: int
    note: Callable[[Diagnostic], None]


def require_numbers(name: str, values: Array, finite: bool = False) -> None:
    """Raise ValueError where a net's output has NaN in it, which no picture shows; with `finite` infinity, too."""
    ends = (values.max(), values.min()) if values.size and values.dtype.kind == "f" else (0,)
    if np.isnan(ends[0]) or (finite and np.isinf(ends).any()):
        raise ValueError(f"output '{name}' has {'NaN' if np.isnan(ends[0]) else 'infinity'} in it, which is no result")


class Evaluation(ABC):
    """The result of an evaluation, the same in every process."""

    images: int
    broken: int

    @abstractmethod
    def text(self, now: datetime, iteration: int) -> str:
        """What is printed."""

    @abstractmethod
    def as_json(self, net: str, iteration: int) -> dict[str, Any]:
        """The same and more for programs; without the key "task"."""

    @abstractmethod
    def files(self, net: str, iteration: int) -> dict[str, bytes | Writer]:
        """Further files by name: a page, matrices. `scores.json` is written without it."""


class Task(ABC):
    """A net of this task, and how its results are wanted. Subclasses are frozen dataclasses."""

    name: ClassVar[str]  # of --task
    title: ClassVar[str]  # for people: "label maps"
    one_by_one: ClassVar[bool] = False  # its net takes one image at a time
    averages: ClassVar[bool] = False  # whether the mean over several crops of an image is of use
    has_classes: ClassVar[bool] = False  # whether names of classes (--classes) are of use
    any_blob: ClassVar[bool] = True  # whether a blob that is asked for is of its net's task for its shape alone

    @property
    @abstractmethod
    def blobs(self) -> tuple[str, ...]:
        """The blobs that it reads."""

    # which nets -------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def recognise(cls, net: Net, asked: bool) -> Found | str:
        """Whether a net is of this task; a text says why it is not.

        With `asked` the user says so: then any output of a fitting shape will do.
        """

    @classmethod  # noqa: B027 (most add none)
    def configure(cls, parser: argparse.ArgumentParser, scoring: bool) -> None:
        """Add the options that this task alone has, to `evaluate` where `scoring`, else to `predict`."""

    @classmethod
    @abstractmethod
    def make(cls, net: Net, found: Found, options: argparse.Namespace) -> Task:
        """The task with its options, which are those of `predict`, or of `evaluate`. Raises NetError."""

    @classmethod
    def fed(cls, net: Net) -> tuple[str, ...]:
        """The inputs that the task feeds, since they take no image."""
        return ()

    # preparation ------------------------------------------------------------------------------------------------

    @classmethod
    def preparation(cls, net: Net) -> Preparation:
        """What is done to an image where no option says it: nothing, but that a net of one size gets that size."""
        return Preparation(Resize("exact", *net.fixed) if net.fixed is not None else NONE)

    def feeds(self, view: View) -> Arrays:
        """What the inputs of `fed` are fed with for a view of an image, with their first axis, by blob."""
        return {}

    def prepared_by(self, preprocessing: Preprocessing) -> Self:
        """The task, told what becomes of the values of an image."""
        return self

    # results ----------------------------------------------------------------------------------------------------

    def split(self, tops: Arrays, count: int) -> list[Arrays]:
        """The outputs of a batch of `count`, one for each of its items. ValueError where they do not fit."""
        for name, top in tops.items():
            if (top.ndim and top.shape[0] != count) or (not top.ndim and count > 1):
                raise ValueError(f"output '{name}' has a batch of {top.shape[0] if top.ndim else 0}, not {count}")
        whole = {name: top if top.ndim else top.reshape(1) for name, top in tops.items()}
        return [{name: top[index] for name, top in whole.items()} for index in range(count)]

    @abstractmethod
    def result(self, arrays: Sequence[Arrays], seen: Seen) -> Any:
        """What the outputs of an image's views mean, in coordinates of the image. Raises NetError, ValueError."""

    def value(self, result: Any, seen: Seen) -> Any:
        """The result as Python code gets it."""
        return result

    # writing ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def places(self) -> tuple[Place, ...]:
        """The kinds of files that are written for every image. The last one stands for the whole."""

    @abstractmethod
    def contents(self, result: Any, seen: Seen, made_by: str) -> Iterator[Writer]:
        """What is in them, in the same order. `made_by` is a text that each file keeps."""

    def settings(self) -> str:
        """A text that differs whenever the files could, for the same outputs."""
        return ""

    def knows(self, record: dict[str, Any]) -> bool:
        """Whether a record has all that the task writes of an image: somebody may have changed it meanwhile."""
        return True

    def collect(self, folder: str, pictures: Sequence[Picture], records: Sequence[dict[str, Any] | None]) -> list[str]:
        """Write what is about all images together, from the last file of each (if it is JSON; None where an image is
        broken); the paths written."""
        return []

    def summary(self, pictures: Sequence[Picture], records: Sequence[dict[str, Any] | None]) -> str:
        """What is printed of the results, a table say."""
        return ""

    # scoring ----------------------------------------------------------------------------------------------------

    def folders(self, asked: Asked) -> Mapping[str, str]:
        """Where the data set keeps the images of further inputs."""
        return {}

    def evaluate(self, job: Any, asked: Asked, group: Processes) -> Evaluation:
        """Score the net of a `tasks.inference.Job` on labelled images; each process does its share.

        Raises NetError, OSError.
        """
        refuse("task", f"{self.title} are not scored here", remedy="netcompile predict writes them")
