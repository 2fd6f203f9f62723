"""What layers answer to passes and tasks that ask for their traits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """Which pixels of a bottom one pixel of the top sees along an axis: a window, or the transpose of one.

    `extent` is the window's whole width, dilation included.
    """

    extent: int = 1
    stride: int = 1
    pad: int = 0
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """A bottom that holds class labels: whole numbers from 0 up to `classes` - 1, or `ignore`."""

    bottom: int
    classes: int
    ignore: int | None = None
    section: str = ""  # the message whose ignore_label gives `ignore`
    field: str = ""  # the field that gives `classes`; "" where it is the number of scores


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows of detections say: image, label, score, and xmin, ymin, xmax, ymax as parts of the net's input.

    `labels` is how many labels there are; with `background` label 0 is what belongs to no class. `centred`: the last
    four numbers are the box's centre x, y, its width and height.
    """

    labels: int
    background: bool = True
    centred: bool = False


@dataclass(frozen=True, slots=True)
class InPlaceGradient:
    """The gradient that Caffe computes where a layer writes over its bottom, and that is not its derivative.

    `formula` is one of train/in_place.py. `lost`: it does not depend on the gradient from above.
    """

    formula: str
    numbers: tuple[float, ...] = ()
    lost: bool = False
