"""FCN-8s on a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.cases import FCN, Case
from bench.compare import compare
from bench.measure import definition, printed, say, windowed_macs


def gpu(rounds: int) -> None:
    """The row for a GPU: literal and -O2 in bfloat16, batch 1, 8 and 32; says so where there is none."""
    import torch

    if not torch.cuda.is_available():
        say("no GPU here: this row is not measured")
        return
    peak = gpu_peak()
    say(f"{torch.cuda.get_device_name()}: {peak / 1e3:.0f} TFLOP/s in the best product of bfloat16 matrices")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        definition(FCN, folder)
        for batch in (1, 8, 32):
            case = Case(FCN, "500x500", batch, "bfloat16", 2, False)
            arms = compare(("literal", "O1", "O2"), folder, case, rounds, "cuda")
            printed(case, arms)
            if arms["O2"].seconds:
                needed = 2e-9 * windowed_macs(case)
                say(
                    f"  -O2: {needed:.0f} GFLOP in its windows, {needed / arms['O2'].median / peak:.0%} of the roofline"
                )


def gpu_peak() -> float:
    """GFLOP/s of the best of some products of bfloat16 matrices."""
    import torch

    found = 0.0
    for n in (4096, 8192):
        a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        for _ in range(5):
            a @ a
        begin.record()
        for _ in range(20):
            a @ a
        end.record()
        torch.cuda.synchronize()
        found = max(found, 20 * 2e-9 * n**3 / (begin.elapsed_time(end) * 1e-3))
    return found
