"""Images through a net, batches of equal size at a time; what cannot be read or run is told apart and goes on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from netcompile.diagnostics.diagnostic import refuse
from netcompile.pipeline import Analysed
from netcompile.runtime.images import read_image
from netcompile.runtime.loaded import Loaded
from netcompile.runtime.prepare import Preparation

Array = np.ndarray[Any, np.dtype[Any]]

K = TypeVar("K")
AHEAD = 4  # images read ahead of the net


@dataclass(frozen=True, slots=True)
class Read:
    """An item and its image, H×W×3; `problem` is why there is none."""

    key: Any
    rgb: Array | None
    problem: str = ""
    more: Mapping[str, Array] = field(default_factory=dict)  # what the net's other inputs are fed with, by blob


@dataclass(frozen=True, slots=True)
class Segmented:
    """An item, its image, and each score blob without the batch's axis: C×H×W, or H×W of labels."""

    key: Any
    rgb: Array
    scores: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that gave nothing, and why."""

    key: Any
    why: str


def read_all(
    items: Iterable[tuple[K, str]], others: Callable[[str, Array], Mapping[str, Array]] | None = None
) -> Iterator[Read]:
    """Every image in order, read ahead in threads (Pillow decodes without the interpreter's lock).

    `others(path, rgb)` gives what the net takes besides the image: C×H×W blobs by name.
    """
    waiting: deque[Future[Read]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1)) as pool:
        while True:
            while len(waiting) < 2 * AHEAD and (item := next(source, None)) is not None:
                waiting.append(pool.submit(_read, *item, others))
            if not waiting:
                return
            yield waiting.popleft().result()


def _read(key: Any, path: str, others: Callable[[str, Array], Mapping[str, Array]] | None) -> Read:
    try:
        rgb = read_image(path)
        return Read(key, rgb, more=others(path, rgb) if others is not None else {})
    except MemoryError:
        return Read(key, None, "not enough memory for it")
    except Exception as error:  # damaged files make the decoders raise whatever they like
        return Read(key, None, reason_of(error))


def reason_of(error: Exception) -> str:
    """Why a file could not be read, in one line without its path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    if lines and lines[0].startswith("cannot identify image file"):
        return "it is no image in a format known here"
    return lines[0][:300] if lines else type(error).__name__


def batches(images: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Groups of at most `size` images of equal height and width, every image once; those without an image alone.

    At most a few groups' worth of images are held back at a time.
    """
    groups: dict[tuple[int, ...], list[Read]] = {}
    held = 0
    for image in images:
        if image.rgb is None:
            yield [image]
            continue
        group = groups.setdefault(image.rgb.shape, [])
        group.append(image)
        held += 1
        if len(group) == size or held > 4 * size:
            full = max(groups, key=lambda shape: len(groups[shape]))
            held -= len(groups[full])
            yield groups.pop(full)
    yield from groups.values()


def segment(
    images: Iterable[Read], loaded: Loaded, prepare: Preparation, device: torch.device, *,
    batch: int = 1, legal: Callable[[int, int], str] | None = None, extra: Callable[[Any], Array | None] | None = None,
) -> Iterator[Segmented | Broken]:  # fmt: skip
    """Run the net on every image. `legal(height, width)` says why it cannot take a size, "" where it can.

    `extra(key)` gives the label maps (N inputs × H × W) that the inputs are fed with for which no image is read. Raises
    NetError where the memory does not suffice for a single image.
    """
    for group in batches(images, batch):
        if group[0].rgb is None:
            yield Broken(group[0].key, group[0].problem)
            continue
        height, width = group[0].rgb.shape[:2]
        why = legal(height, width) if legal is not None else ""
        if why:
            yield from (Broken(image.key, why) for image in group)
            continue
        yield from _run(group, loaded, prepare, device, extra)


def _run(
    group: Sequence[Read], loaded: Loaded, prepare: Preparation, device: torch.device,
    extra: Callable[[Any], Array | None] | None,
) -> Iterator[Segmented | Broken]:  # fmt: skip
    images = [image.rgb for image in group if image.rgb is not None]
    try:
        scores = _forward(group, images, loaded, prepare, device, extra)
    except NotImplementedError as error:
        refuse("unknown-layer", str(error))
    except (RuntimeError, ValueError) as error:
        if len(group) > 1:
            for image in group:  # one at a time: less memory, and a culprit spoils its own turn only
                yield from _run([image], loaded, prepare, device, extra)
            return
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            high, wide = images[0].shape[:2]
            refuse("no-memory", f"an image of {wide} by {high} pixels does not fit the memory of {device}")
        yield Broken(group[0].key, f"the net does not take it: {reason_of(error)}")
        return
    for index, (image, rgb) in enumerate(zip(group, images, strict=True)):
        yield Segmented(image.key, rgb, {name: array[index] for name, array in scores.items()})


def _forward(
    group: Sequence[Read], images: Sequence[Array], loaded: Loaded, prepare: Preparation, device: torch.device,
    extra: Callable[[Any], Array | None] | None,
) -> dict[str, Array]:  # fmt: skip
    dtype = next((p.dtype for p in loaded.net.parameters()), torch.float32)
    blob = torch.from_numpy(np.stack([prepare.blob(rgb) for rgb in images])).to(device, dtype)
    feed = {loaded.inputs[0][0]: blob}
    for name in group[0].more:
        feed[name] = torch.from_numpy(np.stack([image.more[name] for image in group])).to(device, dtype)
    rest = [name for name, _ in loaded.inputs if name not in feed]
    labels = [found for image in group if extra is not None and (found := extra(image.key)) is not None]
    for index, name in enumerate(rest):
        if labels and index < len(labels[0]):
            planes = np.stack([found[index] for found in labels])[:, None]
            feed[name] = torch.from_numpy(planes.astype(np.float32)).to(device, dtype)
        else:  # a label that no wanted output needs
            feed[name] = blob.new_zeros(1)
    with torch.inference_mode():
        tops = loaded(feed)
    for name, tensor in tops.items():
        if tensor.ndim and tensor.shape[0] != len(images) and len(images) > 1:
            raise ValueError(f"output '{name}' has a batch of {tensor.shape[0]}, not {len(images)}")
    whole = {name: tensor if tensor.ndim else tensor.reshape(1) for name, tensor in tops.items()}
    return {name: tensor.float().cpu().numpy() for name, tensor in whole.items()}


def legal_sizes(analysed: Analysed) -> Callable[[int, int], str]:
    """Why the net cannot take an image of a size, "" where it can: every extent and every crop is checked exactly."""
    heights, widths = analysed.valid

    def why(height: int, width: int) -> str:
        if height in heights and width in widths:
            return ""
        return f"the net is not legal for {height}×{width} pixels"

    return why
