"""Small nets that the fuzz was stopped by, each with what is right: where and why it is refused, or that it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from tests.fuzz import commands
from tests.fuzz.agree import OTHER_DTYPES, agree
from tests.layers.harness import refusals

FOLDER = Path(__file__).parent / "fuzz"
# file -> line and column, code and words of what is said; None: it runs, at every level alike
FOUND = {
    "bn-eps-negative": ("2:67", "param-range", "eps -0.5 is negative"),
    "bn-inference-two-tops": None,  # the further tops stay zeros, as Caffe leaves fresh blobs
    "bn-two-tops-early": ("2:56", "arity", "this fork's BN makes one top"),
    "correlation1d-scalar": None,
    "decodebbox-scalar": ("3:58", "shape", "layer 'l': a scalar has no rows"),
    "hingeloss-of-an-image-beside-data": ("3:45", "shape", "layer 'h': a loss cannot read a scalar"),
    "infogain-matrix-file-missing": ("3:103", "file", "layer 'l': cannot read 'none.binaryproto'"),
    "lrnmap-five-axes": ("2:42", "shape", "layer 'l': LRNMap wants 4 axes, not 5"),
    "lrnmap-one-axis": ("2:42", "shape", "layer 'l': LRNMap wants 4 axes, not 1"),
    "lrnmap-scalar": ("2:42", "shape", "layer 'l': LRNMap wants 4 axes, not 0"),
    "meanfield-bfloat16": None,
    "normalize-scalar": ("2:45", "shape", "layer 'l': Normalize wants 2 to 4 axes, not 0"),
    "permute-scalar": None,
    "pooling3d-mean-bfloat16": None,
    "priorbox-aspect-ratio-infinite": ("3:47", "param-range", "aspect_ratio inf makes a box without end"),
    "priorbox-aspect-ratio-tiny": ("3:47", "param-range", "aspect_ratio 1.4013e-45 makes a box without end"),
    "priorbox-max-size-negative": ("3:110", "param-range", "max_size must be greater than min_size"),
    "priorbox-min-size-infinite": ("3:98", "param-range", "min_size must be positive and finite"),
    "proposal-ratio-infinite": ("4:27", "param-range", "ratio must be positive and finite"),
    "python-alone": ("1:1", "no-outputs", "nothing comes out of this net"),
    "sigmoid-loss-pre-fixed": (
        "3:128",
        "unsupported",
        "layer 'l': a loss of normalization PRE_FIXED is not computed here",
    ),
    "smooth-l1-scalars": ("3:48", "shape", "layer 'l': a loss cannot read a scalar"),
    "softmax-loss-pre-fixed": (
        "3:104",
        "unsupported",
        "layer 'l': a loss of normalization PRE_FIXED is not computed here",
    ),
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.prototxt")), ids=lambda p: p.stem)
def test_found(path: Path) -> None:
    text, wanted = path.read_text(encoding="utf-8"), FOUND[path.stem]
    codes = commands.examine(text, ["--with-loss"])
    found = [(str(f.span).partition(":")[2], f.code, f.what) for f in refusals(text)]
    assert found == ([] if wanted is None else [wanted])
    if wanted is None:
        assert set(codes.values()) <= {0, 1}
        for other in range(len(OTHER_DTYPES)):
            agree(analyse(Source(text, path.name), Options(with_loss=True)).require(), {}, other)
