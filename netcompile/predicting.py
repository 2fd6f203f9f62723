"""What a net says of images, from Python: the values that `netcompile predict` writes.

>>> import netcompile
>>> net = netcompile.load("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel")
>>> labels = netcompile.predict(net, np.zeros((40, 56, 3), np.uint8), mean="0")
>>> labels.shape, labels.dtype
((40, 56), dtype('uint8'))
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from netcompile.array import Array
from netcompile.data.image_file import reason_of
from netcompile.data.images import read_image
from netcompile.data.pictures import Picture
from netcompile.data.preparation import crop_option, resize_option
from netcompile.data.preprocessing import preprocessing_of
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.runtime.loaded import Loaded
from netcompile.tasks.catalogue import NAMES, TASKS, choose, require_use
from netcompile.tasks.inference import Broken, Done, Job, Read, infer_images
from netcompile.tasks.inputs import image_inputs, prepared
from netcompile.tasks.task import Net

ABOUT = "_netcompile_about"  # the attribute of a loaded module; no layer's begins with "_"


def with_about(net: nn.Module, name: str, about: Net) -> nn.Module:
    """The same module, told what `predict` has to know of it."""
    net.__dict__[ABOUT] = (name, about)
    return net


def predict(
    net: nn.Module, images: Any, *, task: str | None = None, classes: str | os.PathLike[str] | None = None,
    mean: str | None = None, scale: float | None = None, order: str | None = None, resize: str | None = None,
    crop: str | int | None = None, oversample: bool = False, batch: int = 4, **options: Any,
) -> Any:  # fmt: skip
    """What a net that `netcompile.load` gave says of images: the same values as the command `predict` writes.

    `images`: a path, an array H×W×3 of bytes (RGB), a Pillow image, or a sequence of such. `task` and all that follows
    are the command's options, as texts where they are texts there; `options` are those of single tasks: `top`,
    `min_score`, `palette`, …

    Returns, for each image of a sequence: H×W bytes of labels (levels 0 … 255 of a map of one channel; by blob where
    there are several outputs), a dictionary as in classes.jsonl, detections.jsonl or points.jsonl, H×W×3 bytes of an
    image, or arrays by blob. Raises NetError for an image that cannot be read or computed; TypeError, ValueError.
    """
    single = isinstance(images, str | os.PathLike | np.ndarray | Image.Image)
    job = _job(net, task, classes, mean, scale, order, resize, crop, oversample, options)
    reads = [_read(job, image, index) for index, image in enumerate([images] if single else images)]
    found: dict[int, Any] = {}
    for done in infer_images(reads, job, batch):
        if isinstance(done, Broken):
            refuse("image-broken", f"{done.key.path} cannot be computed", why=done.why)
        found[int(done.key.name)] = _value(job, done)
    values = [found[index] for index in range(len(reads))]
    return values[0] if single else values


def _value(job: Job, done: Done) -> Any:
    try:
        return job.task.value(job.task.result(done.arrays, done.seen), done.seen)
    except ValueError as error:
        refuse("image-broken", f"{done.key.path} cannot be computed", why=reason_of(error))


def _job(
    net: nn.Module, task: str | None, classes: Any, mean: str | None, scale: float | None, order: str | None,
    resize: str | None, crop: str | int | None, oversample: bool, options: dict[str, Any],
) -> Job:  # fmt: skip
    if ABOUT not in net.__dict__:
        raise TypeError(f"{type(net).__name__} is no net that netcompile.load gave: nothing is known of its inputs")
    if task is not None and task not in NAMES:
        raise ValueError(f"task is one of {', '.join(NAMES)}, not {task!r}")
    name, about = net.__dict__[ABOUT]
    kind, found = choose(about, task)
    chosen = _options(options, classes)
    require_use(kind, chosen.classes)
    made = kind.make(about, found, chosen)
    images = image_inputs(about.inputs, made.fed(about), {}, ())
    try:
        sized = None if resize is None else resize_option(resize)
        cropped = None if crop is None else crop_option(str(crop))
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None
    preparation = prepared(about, made, sized, cropped, oversample)
    values, _ = preprocessing_of(about.images.get(images[0]), dict(about.inputs)[images[0]][1], mean, scale, order)
    loaded = Loaded(net, name, about.inputs, tuple(output.name for output in about.outputs), "")
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    return Job(loaded, made.prepared_by(values), images[0], preparation, values, device, None)


def _options(given: dict[str, Any], classes: Any) -> argparse.Namespace:
    """The options of all tasks with their defaults. Raises TypeError for a name that is none."""
    parser = argparse.ArgumentParser()
    for task in TASKS:
        task.configure(parser, False)
    known = vars(parser.parse_args([]))
    for name in given:
        if name not in known:
            raise TypeError(f"predict has no option {name!r}; those of tasks are {', '.join(sorted(known))}")
    return argparse.Namespace(**{**known, **given}, classes=[] if classes is None else [os.fspath(classes)])


def _read(job: Job, image: Any, index: int) -> Read:
    """An image, prepared. Raises NetError for a file that is none; TypeError, ValueError for other arrays."""
    path = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
    key = Picture(path or f"image {index}", str(index))
    try:
        return job.prepared(key, read_image(path) if path else pixels(image), path)
    except NetError:
        raise
    except (OSError, ValueError) as error:
        if not path:
            raise
        refuse("image-broken", f"{path} cannot be read", why=reason_of(error))


def pixels(image: Any) -> Array:
    """An array or a Pillow image as H×W×3 bytes. Raises TypeError, ValueError."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image is a path, an array or a Pillow image, not a {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image is H×W×3 bytes (RGB, 0 … 255), not {image.dtype} of shape {image.shape}")
    return image
