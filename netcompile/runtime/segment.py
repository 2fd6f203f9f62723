"""Images through a net, batches of equal size at a time; what cannot be read or run is told apart and goes on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from netcompile.prototxt.diagnostic import Diagnostic, NetError
from netcompile.runtime.images import read_image
from netcompile.runtime.loaded import Loaded

if TYPE_CHECKING:
    from netcompile.pipeline import Analysed
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


def read_all(items: Iterable[tuple[K, str]]) -> Iterator[Read]:
    """Every image in order, read ahead in threads (Pillow decodes without the interpreter's lock)."""
    waiting: deque[Future[Read]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1)) as pool:
        while True:
            while len(waiting) < 2 * AHEAD and (item := next(source, None)) is not None:
                waiting.append(pool.submit(_read, *item))
            if not waiting:
                return
            yield waiting.popleft().result()


def _read(key: Any, path: str) -> Read:
    try:
        return Read(key, read_image(path))
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

    `extra(key)` gives what all inputs but the first are fed with (a label map, N inputs × H × W). Raises NetError where
    the memory does not suffice for a single image.
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
        raise NetError(Diagnostic("unknown-layer", str(error))) from None
    except (RuntimeError, ValueError) as error:
        if len(group) > 1:
            for image in group:  # one at a time: less memory, and a culprit spoils its own turn only
                yield from _run([image], loaded, prepare, device, extra)
            return
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            high, wide = images[0].shape[:2]
            raise NetError(
                Diagnostic("no-memory", f"an image of {wide} by {high} pixels does not fit the memory of {device}")
            ) from None
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
    if extra is not None and len(loaded.inputs) > 1:
        labels = [found for image in group if (found := extra(image.key)) is not None]
        for index, (name, _) in enumerate(loaded.inputs[1:]):
            planes = np.stack([found[index] for found in labels])[:, None]
            feed[name] = torch.from_numpy(planes.astype(np.float32)).to(device, dtype)
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


def labels_of(score: Array) -> Array:
    """The class with the largest score, H×W bytes (the first of equals); labels are passed on.

    Raises NetError for what is no score map of 2 … 256 classes.
    """
    if score.ndim == 2:
        return np.asarray(score, np.uint8)
    if score.ndim != 3 or not 2 <= score.shape[0] <= 256:
        shape = "×".join(map(str, score.shape))
        raise NetError(
            Diagnostic(
                "score-map",
                f"the output is {shape}, no map of 2 to 256 classes",
                why="labels are the class of the largest score at each pixel",
                remedy="--output BLOB names another blob; netcompile run saves any blob as it is",
            )
        )
    return np.asarray(score.argmax(0), np.uint8)


def probabilities(score: Array) -> Array:
    """Softmax over the classes, C×H×W float32; a map that already is one (Softmax ends the net) stays as it is."""
    if score.min() >= 0 and np.abs(score.sum(0) - 1).max() < 1e-3:
        return np.asarray(score, np.float32)
    exponents = np.exp(score - score.max(0, keepdims=True))
    return np.asarray(exponents / exponents.sum(0, keepdims=True), np.float32)
