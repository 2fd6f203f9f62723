"""Images through a net, batches of equal size at a time; an image that cannot be read or run is left out, with why."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch

from netcompile.algebra.nset import NSet
from netcompile.analysis.footprint import footprint
from netcompile.analysis.shapes import infer
from netcompile.array import Array
from netcompile.data.extra_inputs import ExtraInput, ExtraInputs
from netcompile.data.image_file import reason_of
from netcompile.data.images import read_image
from netcompile.data.preprocessing import Preprocessing, preprocessing_of
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Graph
from netcompile.progress import Progress
from netcompile.runtime.cuda_graphs import Graphed
from netcompile.runtime.loaded import Loaded, to_device

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


@dataclass(frozen=True, slots=True)
class Job:
    """A net on its device, and what images must go through before it.

    `heads` are the score blobs; the loaded net may have a loss besides. `legal` are the heights and widths that the net
    can take, None where nobody knows them. `extra_inputs` are the images that the net takes besides.
    """

    loaded: Loaded
    heads: tuple[str, ...]
    preprocessing: Preprocessing
    device: torch.device
    legal: tuple[NSet, NSet] | None
    extra_inputs: ExtraInputs


def make_job(
    loaded: Loaded, heads: tuple[str, ...], images: Mapping[str, Preprocessing | None], folders: Mapping[str, str], *,
    device: str = "cpu", dtype: str = "float32", legal: tuple[NSet, NSet] | None = None, mean: str | None = None,
    scale: float | None = None, order: str | None = None,
) -> tuple[Job, list[Diagnostic]]:  # fmt: skip
    """The net on its device, and remarks on how its images are prepared.

    `images` says what each input's images go through, None where nobody says; `mean`, `scale` and `order` replace that
    for the first, and `folders` are where those of the others lie. Raises NetError, OSError.
    """
    shapes = dict(loaded.inputs)
    (first, found), *others = images.items()
    preprocessing, notes = preprocessing_of(found, shapes[first][1], mean, scale, order)
    if preprocessing.order == "depth":
        refuse("image-input", f"input '{first}' is a depth map: there is no image to label")
    extra_inputs = []
    for name, found in others:
        made, remarks = preprocessing_of(found, shapes[name][1])
        notes += remarks
        extra_inputs.append(ExtraInput(name, folders[name], made))
    placed = to_device(loaded, device, dtype)
    if placed.type == "cuda":
        loaded = replace(loaded, net=Graphed(loaded.net).eval())
    return Job(loaded, heads, preprocessing, placed, legal, ExtraInputs(tuple(extra_inputs))), notes


LabelMaps = Callable[[Any], "Array | None"]
Results = Iterator[Segmented | Broken]


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
                waiting.append(pool.submit(_read_in, copy_context(), *item, others))
            if not waiting:
                return
            yield waiting.popleft().result()


def _read_in(context: Context, key: Any, path: str, others: Callable[[str, Array], Mapping[str, Array]] | None) -> Read:
    """As `_read`, in the context of the caller, which knows the bound of the memory: a thread has one of its own."""
    return context.run(_read, key, path, others)


def _read(key: Any, path: str, others: Callable[[str, Array], Mapping[str, Array]] | None) -> Read:
    try:
        rgb = read_image(path)
        return Read(key, rgb, more=others(path, rgb) if others is not None else {})
    except MemoryError:
        return Read(key, None, "not enough memory for it")
    except Exception as error:  # damaged files make the decoders raise whatever they like
        return Read(key, None, reason_of(error))


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


def segment(images: Iterable[Read], job: Job, batch: int = 1, label_maps: LabelMaps | None = None) -> Results:
    """Run the net on every image, at most `batch` of one size at a time.

    `label_maps(key)` gives the label maps (N inputs × H × W) that the inputs are fed with for which no image is read.
    Raises NetError where the memory does not suffice for a single image.
    """
    known: dict[tuple[int, int], int] = {}
    for group in batches(images, batch):
        if group[0].rgb is None:
            yield Broken(group[0].key, group[0].problem)
            continue
        height, width = group[0].rgb.shape[:2]
        if job.legal is None or (height in job.legal[0] and width in job.legal[1]):
            yield from _bounded(group, job, label_maps, known)
        else:
            yield from (Broken(image.key, f"the net is not legal for {height}×{width} pixels") for image in group)


def _bounded(
    group: Sequence[Read], job: Job, label_maps: LabelMaps | None, known: dict[tuple[int, int], int]
) -> Results:
    """Run images of one size, one at a time where together they take more memory than they may.

    `known` has the bytes that an image of a size takes. Nothing is known of a build, and a device tells by itself.
    """
    assert group[0].rgb is not None
    size = group[0].rgb.shape[0], group[0].rgb.shape[1]
    if job.loaded.graph is not None and job.device.type == "cpu":
        if size not in known:
            known[size] = _peak(job.loaded.graph, *size)
        try:
            require_memory(len(group) * known[size], "to compute the net at this size")
        except NetError as error:
            if len(group) == 1:
                yield Broken(group[0].key, reason_of(error))
                return
            for image in group:
                yield from _bounded([image], job, label_maps, known)
            return
    yield from _run(group, job, label_maps)


def _peak(graph: Graph, height: int, width: int) -> int:
    """Bytes of the blobs that are there at once for one image of this size."""
    sizes = {e.value: (1, e.shape[1], height, width) for e in graph.inputs if len(e.shape) == 4}
    sized = graph.with_inputs(sizes)
    return footprint(sized, infer(sized)[0]).peak


def each(
    results: Results, total: int, show: bool, path_of: Callable[[Any], str], report: Callable[[Diagnostic], None],
    work: Callable[[Segmented], str],
) -> tuple[int, int]:  # fmt: skip
    """Let `work` have every result; it says "" or why it could not use it. How many images were used, and broken.

    `report` is told of every broken one. The progress is shown where `show` says so.
    """
    done = broken = 0
    with Progress(total, "images", show) as progress:
        for result in results:
            why = result.why if isinstance(result, Broken) else work(result)
            if why:
                progress.clear()
                what = f"{path_of(result.key)} is skipped"
                report(Diagnostic("image-broken", what, why=why, severity="warning"))
            done, broken = (done, broken + 1) if why else (done + 1, broken)
            progress.step()
    return done, broken


def _run(group: Sequence[Read], job: Job, label_maps: LabelMaps | None) -> Results:
    images = [image.rgb for image in group if image.rgb is not None]
    try:
        scores = _forward(group, images, job, label_maps)
    except NotImplementedError as error:
        refuse("unknown-layer", str(error))
    except (RuntimeError, ValueError) as error:
        if len(group) > 1:
            for image in group:  # one at a time: less memory, and a culprit spoils its own turn only
                yield from _run([image], job, label_maps)
            return
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            high, wide = images[0].shape[:2]
            what = f"an image of {wide} by {high} pixels does not fit the memory of {job.device}"
            refuse("no-memory", what)
        yield Broken(group[0].key, f"the net does not take it: {reason_of(error)}")
        return
    for index, (image, rgb) in enumerate(zip(group, images, strict=True)):
        yield Segmented(image.key, rgb, {name: array[index] for name, array in scores.items()})


def _forward(
    group: Sequence[Read], images: Sequence[Array], job: Job, label_maps: LabelMaps | None
) -> dict[str, Array]:
    dtype = next((p.dtype for p in job.loaded.net.parameters()), torch.float32)

    def tensor(arrays: Iterable[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(list(arrays))).to(job.device, dtype)

    inputs = [name for name, _ in job.loaded.inputs]
    feed = {inputs[0]: tensor(map(job.preprocessing.blob, images))}
    for name in group[0].more:
        feed[name] = tensor(image.more[name] for image in group)
    labels = [found for image in group if label_maps is not None and (found := label_maps(image.key)) is not None]
    for index, name in enumerate(name for name in inputs if name not in feed):
        if labels and index < len(labels[0]):
            feed[name] = tensor(found[index][None].astype(np.float32) for found in labels)
        else:  # a label that no wanted output needs
            feed[name] = feed[inputs[0]].new_zeros(1)
    with torch.inference_mode():
        tops = job.loaded(feed)
    for name, top in tops.items():
        if top.ndim and top.shape[0] != len(images) and len(images) > 1:
            raise ValueError(f"output '{name}' has a batch of {top.shape[0]}, not {len(images)}")
    whole = {name: top if top.ndim else top.reshape(1) for name, top in tops.items()}
    return {name: top.float().cpu().numpy() for name, top in whole.items()}
