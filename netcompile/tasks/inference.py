"""Images through a net, inputs of equal size together; an image that cannot be read or run is left out, with why."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import partial
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
from netcompile.data.preparation import Preparation, View
from netcompile.data.preprocessing import Preprocessing, preprocessing_of
from netcompile.data.resizing import resized
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Graph
from netcompile.progress import Progress
from netcompile.runtime.cuda_graphs import Graphed
from netcompile.runtime.loaded import Loaded, to_device
from netcompile.tasks.task import Arrays, Seen, Task

K = TypeVar("K")
AHEAD = 4  # images read ahead of the net


@dataclass(frozen=True, slots=True)
class Read:
    """An item and its image, H×W×3, with what goes into the net: a C×H×W blob for each view.

    `more` is what the net's further images give, by blob, for each view. `problem` is why there is no image.
    """

    key: Any
    rgb: Array | None
    problem: str = ""
    views: tuple[View, ...] = ()
    blobs: tuple[Array, ...] = ()
    more: tuple[Mapping[str, Array], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """An image that went through the net, and what came out for each of its views."""

    seen: Seen
    arrays: tuple[Arrays, ...]

    @property
    def key(self) -> Any:
        return self.seen.key


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that gave nothing, and why."""

    key: Any
    why: str


@dataclass(frozen=True, slots=True)
class Job:
    """A net on its device with its task, and what images must go through before it.

    `image` is the input that takes them. `preparation` gives them their size, `preprocessing` their values. `legal` are
    the heights and widths that the net can take, None where nobody knows them. `extra_inputs` are the images that the
    net takes besides.
    """

    loaded: Loaded
    task: Task
    image: str
    preparation: Preparation
    preprocessing: Preprocessing
    device: torch.device
    legal: tuple[NSet, NSet] | None
    extra_inputs: ExtraInputs = field(default_factory=ExtraInputs)

    @property
    def image_blobs(self) -> tuple[str, ...]:
        """All inputs that take images."""
        return (self.image, *(one.blob for one in self.extra_inputs.all))

    def read(self, key: Any, path: str) -> Read:
        """The image of a file, prepared; or why there is none. Never raises."""
        try:
            return self.prepared(key, read_image(path), path)
        except MemoryError:
            return Read(key, None, "not enough memory for it")
        except Exception as error:  # damaged files make the decoders raise whatever they like
            return Read(key, None, reason_of(error))

    def prepared(self, key: Any, rgb: Array, path: str = "") -> Read:
        """An image, H×W×3 bytes, as the net takes it. Raises ValueError; OSError where companions are missing."""
        height, width = rgb.shape[:2]
        views = self.preparation.views(height, width)
        require_memory(12 * sum(view.size[0] * view.size[1] for view in views), "to prepare the image")
        whole = [(None, self.preprocessing, rgb), *self.extra_inputs.images(path, rgb)]
        blobs = {}
        for name, made, pixels in whole:
            planes = made.normalised(resize_planes(made, pixels, views[0].resized))
            blobs[name] = tuple(view.cut(planes) for view in views)
        first = blobs.pop(None)
        more = tuple({name: found[index] for name, found in blobs.items() if name} for index in range(len(views)))
        return Read(key, rgb, "", views, first, more)


def resize_planes(made: Preprocessing, pixels: Array, size: tuple[int, int]) -> Array:
    """The planes of an image at another size. Raises ValueError for a depth map that would have to be resized."""
    planes = made.planes(pixels)
    if planes.shape[1:] == size:
        return planes
    if made.order == "depth":
        raise ValueError("a map of depths is not resized here: give it in the size that the net takes")
    return resized(planes, *size).astype(np.float32)


def make_job(
    loaded: Loaded, task: Task, preparation: Preparation, images: Mapping[str, Preprocessing | None],
    folders: Mapping[str, str], *, device: str = "cpu", dtype: str = "float32",
    legal: tuple[NSet, NSet] | None = None, mean: str | None = None, scale: float | None = None,
    order: str | None = None,
) -> tuple[Job, list[Diagnostic]]:  # fmt: skip
    """The net on its device, and remarks on how its images are prepared.

    `images` says what each input's images go through, None where nobody says; `mean`, `scale` and `order` replace that
    for the first, and `folders` are where those of the others lie. Raises NetError, OSError.
    """
    shapes = dict(loaded.inputs)
    (first, found), *others = images.items()
    preprocessing, notes = preprocessing_of(found, shapes[first][1], mean, scale, order)
    if preprocessing.order == "depth":
        refuse("image-input", f"input '{first}' is a depth map: there is no image to work on")
    extra_inputs = []
    for name, found in others:
        made, remarks = preprocessing_of(found, shapes[name][1])
        notes += remarks
        extra_inputs.append(ExtraInput(name, folders[name], made))
    placed = to_device(loaded, device, dtype)
    if placed.type == "cuda":
        loaded = replace(loaded, net=Graphed(loaded.net).eval())
    task = task.prepared_by(preprocessing)
    job = Job(loaded, task, first, preparation, preprocessing, placed, legal, ExtraInputs(tuple(extra_inputs)))
    return job, notes


FeedsOf = Callable[[Any], "Mapping[str, Array]"]
Results = Iterator[Done | Broken]


def read_all(items: Iterable[tuple[K, str]], job: Job) -> Iterator[Read]:
    """Every image in order, read and prepared ahead in threads (Pillow decodes without the interpreter's lock)."""
    yield from ahead(partial(job.read, key, path) for key, path in items)


def ahead(work: Iterable[Callable[[], Read]]) -> Iterator[Read]:
    """What each of these gives, in order, computed ahead in threads."""
    waiting: deque[Future[Read]] = deque()
    source = iter(work)
    with ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1)) as pool:
        while True:
            while len(waiting) < 2 * AHEAD and (item := next(source, None)) is not None:
                waiting.append(pool.submit(_in_context, copy_context(), item))
            if not waiting:
                return
            yield waiting.popleft().result()


def _in_context(context: Context, work: Callable[[], Read]) -> Read:
    """In the context of the caller, which knows the bound of the memory: a thread has one of its own."""
    return context.run(work)


def batches(images: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Groups of at most `size` images whose inputs have equal sizes, every image once; those without one alone.

    At most a few groups' worth of images are held back at a time.
    """
    groups: dict[tuple[int, ...], list[Read]] = {}
    held = 0
    for image in images:
        if image.rgb is None:
            yield [image]
            continue
        group = groups.setdefault(image.blobs[0].shape, [])
        group.append(image)
        held += 1
        if len(group) == size or held > 4 * size:
            full = max(groups, key=lambda shape: len(groups[shape]))
            held -= len(groups[full])
            yield groups.pop(full)
    yield from groups.values()


def infer_images(images: Iterable[Read], job: Job, batch: int = 1, feeds_of: FeedsOf | None = None) -> Results:
    """Run the net on every image, at most `batch` of one size at a time.

    `feeds_of(key)` gives what inputs are fed with for which no image is read (label maps, H×W), by blob. Raises
    NetError where the memory does not suffice for a single image.
    """
    known: dict[tuple[int, int], int] = {}
    for group in batches(images, 1 if job.task.one_by_one else batch):
        if group[0].rgb is None:
            yield Broken(group[0].key, group[0].problem)
            continue
        height, width = group[0].views[0].size
        declared = (height, width) == tuple(dict(job.loaded.inputs)[job.image][2:])
        if declared or job.legal is None or (height in job.legal[0] and width in job.legal[1]):
            yield from _bounded(group, job, feeds_of, known)
        else:
            yield from (Broken(image.key, f"the net is not legal for {height}×{width} pixels") for image in group)


def _bounded(group: Sequence[Read], job: Job, feeds_of: FeedsOf | None, known: dict[tuple[int, int], int]) -> Results:
    """Run images of one size, one at a time where together they take more memory than they may.

    `known` has the bytes that an input of a size takes. Nothing is known of a build, and a device tells by itself.
    """
    size = group[0].views[0].size
    if job.loaded.graph is not None and job.device.type == "cpu":
        if size not in known:
            known[size] = _peak(job.loaded.graph, *size)
        try:
            require_memory(len(group) * len(group[0].views) * known[size], "to compute the net at this size")
        except NetError as error:
            if len(group) == 1:
                yield Broken(group[0].key, reason_of(error))
                return
            for image in group:
                yield from _bounded([image], job, feeds_of, known)
            return
    yield from _run(group, job, feeds_of)


def _peak(graph: Graph, height: int, width: int) -> int:
    """Bytes of the blobs that are there at once for one image of this size."""
    sizes = {e.value: (1, e.shape[1], height, width) for e in graph.inputs if len(e.shape) == 4}
    sized = graph.with_inputs(sizes)
    return footprint(sized, infer(sized)[0]).peak


def each(
    results: Results, total: int, show: bool, path_of: Callable[[Any], str], report: Callable[[Diagnostic], None],
    work: Callable[[Done], str],
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


def _run(group: Sequence[Read], job: Job, feeds_of: FeedsOf | None) -> Results:
    try:
        arrays = _forward(group, job, feeds_of)
    except NotImplementedError as error:
        refuse("unknown-layer", str(error))
    except (RuntimeError, ValueError) as error:
        if len(group) > 1:
            for image in group:  # one at a time: less memory, and a culprit spoils its own turn only
                yield from _run([image], job, feeds_of)
            return
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            high, wide = group[0].views[0].size
            what = f"an image of {wide} by {high} pixels does not fit the memory of {job.device}"
            refuse("no-memory", what)
        yield Broken(group[0].key, f"the net does not take it: {reason_of(error)}")
        return
    at = 0
    for image in group:
        count = len(image.views)
        assert image.rgb is not None
        yield Done(Seen(image.key, image.rgb, image.views), tuple(arrays[at : at + count]))
        at += count


def _forward(group: Sequence[Read], job: Job, feeds_of: FeedsOf | None) -> list[Arrays]:
    """What comes out for each view of each image."""
    dtype = next((p.dtype for p in job.loaded.net.parameters()), torch.float32)

    def tensor(arrays: Iterable[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(list(arrays))).to(job.device, dtype)

    inputs = [name for name, _ in job.loaded.inputs]
    feed = {job.image: tensor(blob for image in group for blob in image.blobs)}
    for name in group[0].more[0]:
        feed[name] = tensor(more[name] for image in group for more in image.more)
    views = [view for image in group for view in image.views]
    made = [job.task.feeds(view) for view in views]
    for name in made[0]:
        feed[name] = torch.from_numpy(np.concatenate([one[name] for one in made])).to(job.device, dtype)
    labels = [found for image in group if feeds_of is not None and (found := feeds_of(image.key))]
    for name in (name for name in inputs if name not in feed):
        if labels and name in labels[0]:
            feed[name] = tensor(found[name][None].astype(np.float32) for found in labels)
        else:  # a label that no wanted output needs
            feed[name] = feed[job.image].new_zeros(1)
    with torch.inference_mode():
        tops = job.loaded(feed)
    return job.task.split({name: top.float().cpu().numpy() for name, top in tops.items()}, len(views))
