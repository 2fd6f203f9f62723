"""One arm of a comparison, in a process of its own: loads a net, then runs it for each line on stdin.

    python -m bench.arm ARM FOLDER DTYPE THREADS DEVICE

Answers in JSON lines: first {"ready": …}, {"absent": why} or {"failed": why}, then the seconds of each run of a turn: a
turn is one run of a slow net, and as many as fit in TURN of a fast one, whose first run finds its memory in no cache.
FOLDER holds net.prototxt, net.caffemodel, input.npy, and net.onnx for the arms that want it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

from netcompile.prototxt.recognise import open_source

ARMS = ("literal", "compile", "opencv", "onnxruntime", "openvino", "O1", "O2", "plan", "auto")
LEVELS = {"literal": 0, "compile": 0, "O1": 1, "O2": 2, "plan": 2}
TURN = 0.25  # seconds
# Runs and seconds at most before the first turn, but three runs at least: weights are laid out, calls are recorded.
WARM, WARM_SECONDS = 13, 5.0
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
Run = Callable[[], Any]


def torch_arm(arm: str, folder: Path, shape: tuple[int, ...], dtype: str, threads: int, device: str) -> Run:
    import numpy as np
    import torch

    from netcompile.analyser import analyse
    from netcompile.compiler import compile_net
    from netcompile.ir.build import Options
    from netcompile.prelude.inference import freeze
    from netcompile.runtime.cuda_graphs import accelerate
    from netcompile.runtime.execute import DTYPES, with_weights
    from netcompile.runtime.tuning import tune

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    level = LEVELS[arm]
    source = open_source(folder / "net.prototxt")
    image = analyse(source).graph.inputs[0].value.blob
    analysed = analyse(source, Options(shapes={image: shape})).require()
    weights = str(folder / "net.caffemodel")
    module = compile_net(analysed, level, None, weights, dtype=dtype)
    net = with_weights(analysed, module, weights, dtype=DTYPES[dtype])
    if arm == "O2" and device != "cpu":
        net = accelerate(net, device, DTYPES[dtype])
    net = net.to(device)
    freeze(net)
    if arm == "compile":
        net = torch.compile(net)  # type: ignore[assignment]
    x = torch.from_numpy(np.load(folder / "input.npy")).to(device, DTYPES[dtype])
    if arm == "plan":
        note(tune(net, [x]))

    def run() -> Any:
        y = net(x)
        y = y if isinstance(y, torch.Tensor) else next(iter(y.values()))
        if device != "cpu":
            torch.cuda.synchronize()
        return y.float().cpu().numpy() if y.dtype != torch.float32 else y.cpu().numpy()

    return run


def auto_arm(folder: Path, shape: tuple[int, ...], threads: int) -> Run:
    """What `engine="auto"` takes; measured here, for nothing is kept of another run."""
    import numpy as np
    import torch

    from netcompile.analyser import analyse
    from netcompile.engines.compiled import Wanted, load_in
    from netcompile.engines.module import EngineModule
    from netcompile.ir.build import Options

    torch.set_num_threads(threads)
    source = open_source(folder / "net.prototxt")
    image = analyse(source).graph.inputs[0].value.blob
    analysed = analyse(source, Options(shapes={image: shape})).require()
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, XDG_CACHE_HOME=cache):
        loaded, _ = load_in(analysed, str(folder / "net.caffemodel"), Wanted("auto"))
    say(chosen=loaded.net.engine.name if isinstance(loaded.net, EngineModule) else "O2")
    x = torch.from_numpy(np.load(folder / "input.npy"))

    def run() -> Any:
        with torch.inference_mode():
            return loaded.net(x).numpy()

    return run


def note(found: Any) -> None:
    """Tell what a plan was found to be: how many layers compute otherwise, and what the net is thought to take."""
    other = sum(choice.way != choice.rule for choice in found.choices) if found.faster else 0
    say(
        plan={
            "seconds": found.seconds, "layers": len(found.choices), "other": other,
            "rule_milliseconds": found.by_rule, "plan_milliseconds": found.by_plan,
        }
    )  # fmt: skip


def opencv_arm(folder: Path, threads: int) -> Run:
    import cv2
    import numpy as np

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))
    x = np.load(folder / "input.npy")

    def run() -> Any:
        net.setInput(x)
        return net.forward()

    return run


def onnxruntime_arm(folder: Path, threads: int) -> Run:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.load(folder / "input.npy")}
    return lambda: session.run(None, feed)[0]


def openvino_arm(folder: Path, dtype: str, threads: int) -> Run:
    import numpy as np
    import openvino

    x = np.load(folder / "input.npy")
    core = openvino.Core()
    model = core.read_model(str(folder / "net.onnx"))
    model.reshape(list(x.shape))
    precision = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer([x])[0]


def load(arm: str, folder: Path, shape: tuple[int, ...], dtype: str, threads: int, device: str) -> Run:
    if arm in LEVELS:
        return torch_arm(arm, folder, shape, dtype, threads, device)
    if dtype != "float32" and arm != "openvino":
        raise ModuleNotFoundError(f"no {dtype} on a CPU")
    if arm == "auto":
        return auto_arm(folder, shape, threads)
    if arm == "opencv":
        return opencv_arm(folder, threads)
    if not (folder / "net.onnx").exists():
        raise ModuleNotFoundError("the net was not exported to ONNX")
    return onnxruntime_arm(folder, threads) if arm == "onnxruntime" else openvino_arm(folder, dtype, threads)


def peak() -> float:
    """Peak memory of this process in megabytes; not ru_maxrss, which begins with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


def turn(run: Run, clock: Callable[[], float]) -> list[float]:
    """Seconds of each run of a turn."""
    found: list[float] = []
    while sum(found) < TURN:
        begin = clock()
        run()
        found.append(clock() - begin)
    return found


def main() -> None:
    arm, place, dtype, count, device = sys.argv[1:6]
    folder, threads = Path(place), int(count)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with suppress(OSError, AttributeError):  # a process that is paused does not see that its stdin was closed
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    begin = time.perf_counter()
    try:
        import numpy as np

        shape = np.load(folder / "input.npy", mmap_mode="r").shape
        run = load(arm, folder, shape, dtype, threads, device)
        loaded = time.perf_counter() - begin
        found = run()
    except ImportError as error:
        say(absent=str(error))
        return
    except Exception as error:
        say(failed=f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")
        return
    np.save(folder / f"{arm}.npy", found)
    del found
    first = time.perf_counter() - begin - loaded
    began = time.perf_counter()
    for runs in range(1, WARM):
        if runs < 3 or time.perf_counter() - began < WARM_SECONDS:
            run()
    say(ready=True, load=loaded, first=first, peak=peak())
    for _ in sys.stdin:
        say(seconds=turn(run, time.perf_counter), peak=peak())


if __name__ == "__main__":
    main()
