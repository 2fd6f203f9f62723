"""All tasks, and which of them a net is of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from netcompile.analysis.outputs import Output
from netcompile.diagnostics.diagnostic import refuse
from netcompile.tasks.arrays import RawOutputs, Vectors
from netcompile.tasks.classification.task import Classification
from netcompile.tasks.detection.task import Detection
from netcompile.tasks.image_to_image import ImageToImage
from netcompile.tasks.points import Points
from netcompile.tasks.segmentation.task import Maps, Segmentation
from netcompile.tasks.task import Found, Net, Task

# In the order in which a net is tried; the last one takes every net.
TASKS: tuple[type[Task], ...] = (
    Detection,
    Segmentation,
    Maps,
    ImageToImage,
    Points,
    Classification,
    Vectors,
    RawOutputs,
)
NAMES = tuple(task.name for task in TASKS)


def choose(net: Net, wanted: str | None, asked: tuple[Output, ...] | None = None) -> tuple[type[Task], Found]:
    """The task of a net, and what tells it; `wanted` names one, `asked` are outputs that the user wants.

    Outputs that are asked for are of the net's own task if they can be, but features of inner layers, and what is no
    score of classes in a net of these. Raises NetError where the one that is wanted does not fit.
    """
    net = replace(net, outputs=_computed(net) or net.outputs)
    narrowed = net if asked is None else replace(net, outputs=asked)
    if wanted is not None:
        task = TASKS[NAMES.index(wanted)]
        found = task.recognise(narrowed, True)
        if isinstance(found, str):
            shapes = ", ".join(f"'{o.name}' {'×'.join(map(str, o.shape))}" for o in narrowed.outputs)
            refuse("task", f"the net gives no {task.title}: {found}", why=f"its outputs are {shapes}",
                   remedy="--output BLOB names another blob; --task raw writes what there is")  # fmt: skip
        return task, found
    own, found = _first(net)
    if asked is None:
        return own, replace(found, why=found.why + _left_aside(net, found))
    for_these = own.recognise(narrowed, own.any_blob and any(output.holds != "features" for output in narrowed.outputs))
    return (own, for_these) if isinstance(for_these, Found) else _first(narrowed)


def _computed(net: Net) -> tuple[Output, ...]:
    """The outputs that are no inputs."""
    given = dict(net.inputs)
    return tuple(output for output in net.outputs if output.name not in given)


def _left_aside(net: Net, found: Found) -> str:
    """The outputs that the task does not read, for people."""
    others = [f"'{output.name}'" for output in net.outputs if output.name not in found.blobs]
    if not others:
        return ""
    more = f" and {len(others) - 4} more" if len(others) > 5 else ""
    return f"; {', '.join(others[:4] if more else others)}{more} {'are' if others[1:] else 'is'} left aside"


def require_use(task: type[Task], classes: Collection[str]) -> None:
    """Raise NetError where names of classes are given and the task has none."""
    if classes and not task.has_classes:
        fitting = " or ".join(other.name for other in TASKS if other.has_classes and other is not Maps)
        what = f"--classes names classes, and {task.title} have none"
        refuse("usage", what, remedy=f"leave it out, or say what the outputs are: --task {fitting}")


def _first(net: Net) -> tuple[type[Task], Found]:
    for task in TASKS:
        found = task.recognise(net, False)
        if isinstance(found, Found):
            return task, found
    raise AssertionError("the last task takes every net")
