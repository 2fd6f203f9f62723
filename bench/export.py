"""``python -m bench.export FOLDER``: net.onnx beside net.prototxt and net.caffemodel, for the arms that read it.

In a process of its own, for torch and the weights would stay in the memory of this one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.nets import analysed

ROOT = Path(__file__).resolve().parent.parent


def export(folder: Path) -> str:
    """Why there is no file, or nothing where there is one."""
    command = [sys.executable, "-m", "bench.export", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    (folder / "net.onnx").unlink(missing_ok=True)
    return (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1][:200]


def main() -> None:
    from netcompile.compiler import compile_net
    from netcompile.export.onnx_file import write_onnx
    from netcompile.runtime.execute import with_weights

    folder = Path(sys.argv[1])
    net = analysed(str(folder / "net.prototxt"))
    module = compile_net(net, 1)
    write_onnx(net, module, with_weights(net, module, folder / "net.caffemodel"), str(folder / "net.onnx"))


if __name__ == "__main__":
    main()
