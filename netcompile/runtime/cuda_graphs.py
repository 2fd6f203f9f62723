"""A net on a GPU: its kernels recorded once for each input size, and launched all at once from then on.

A forward pass of FCN-8s launches about a hundred kernels, each some microseconds after the other; at batch 1 and in
bfloat16 the GPU waits for the CPU. A CUDA graph is recorded on the first call with a size: the same kernels on the same
memory, launched by one call. It holds its blobs' memory, so only the sizes used last are kept, in one memory pool.

Emitted forwards never wait for the GPU (no `.item()`, no copy to the host), which is what recording demands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.prelude.inference import is_known, state_of, tensors_of

Blobs = Any  # a tensor, or a dictionary of tensors by blob name
# Records what a function launches: returns what that gave, and a function that launches it again.
Recorder = Callable[[Callable[[], Blobs]], tuple[Blobs, Callable[[], None]]]
WARM_UP = 3  # runs before recording: cuDNN chooses its algorithms, borders are made


class CudaRecorder:
    """Records CUDA graphs that share one memory pool."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], Blobs]) -> tuple[Blobs, Callable[[], None]]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            result = run()
        return result, graph.replay


class Graphed(nn.Module):
    """`net`, replayed from recordings where nothing has to be recorded for a gradient.

    A recording is for one input shape, type and device; the `keep` used last are kept. They are made anew when a
    parameter or buffer is written, in whatever way, or replaced. The result is a copy: the next call does not change
    it. `record` makes a recording; without one, CUDA graphs are used for inputs on a GPU, and other inputs go to `net`.
    """

    def __init__(self, net: nn.Module, keep: int = 8, record: Recorder | None = None) -> None:
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep is {keep}, less than 1")
        self.net, self.keep, self.record = net, keep, record
        self.on_gpu: CudaRecorder | None = None
        self.recordings: OrderedDict[Any, tuple[list[Tensor], Blobs, Callable[[], None], Any]] = OrderedDict()
        self.recorded_from: Any = None

    def forward(self, *inputs: Tensor) -> Blobs:
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *self.parameters()))
        if learns or self.training or not (self.record or all(t.is_cuda for t in inputs)):
            return self.net(*inputs)
        state = state_of(*tensors_of(self.net))
        if state is None:
            return self.net(*inputs)
        if not is_known(self.recorded_from, state):
            self.recordings.clear()
            self.recorded_from = state
        key = tuple((t.shape, t.dtype, t.device) for t in inputs)
        found = self.recordings.get(key)
        if found is None:
            found = self.recordings[key] = self.recording(inputs)
            if len(self.recordings) > self.keep:
                self.recordings.popitem(last=False)
        self.recordings.move_to_end(key)
        held, result, replay, _ = found
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given)
        replay()
        return {name: blob.clone() for name, blob in result.items()} if isinstance(result, dict) else result.clone()

    def recording(self, inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], Blobs, Callable[[], None], Any]:
        """The tensors that inputs are copied to, the net's result, what replays it, and memory that must stay alive."""
        record: Recorder | None = self.record
        if record is None:
            record = self.on_gpu = self.on_gpu or CudaRecorder()
        with torch.no_grad():
            held = [_channels_last(t.detach().clone()) for t in inputs]
            result, replay = record(lambda: self.net(*held))
        # The recorded kernels read the borders' memory: it must live as long as the recording.
        borders = [dict(made) for m in self.net.modules() if isinstance(made := getattr(m, "borders", None), dict)]
        return held, result, replay, borders


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def accelerate(
    net: nn.Module, device: str | torch.device = "cuda", dtype: torch.dtype = torch.bfloat16, *, tf32: bool = False,
    keep: int = 8,
) -> nn.Module:  # fmt: skip
    """The net on a GPU in `dtype`, its weights channels last, run by CUDA graphs; inputs must be of that type.

    `tf32` lets float32 products be rounded to TensorFloat-32, which is several times faster and keeps ten bits. With
    device "cpu" the net is converted and has no graphs.
    """
    target = torch.device(device)
    net = net.to(target, dtype)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = _channels_last(parameter.data)
    if target.type != "cuda":
        return net
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    return Graphed(net.eval(), keep)
