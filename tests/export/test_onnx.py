"""ONNX files: what ONNX Runtime computes is what the module computes."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.cli.main import entry
from netcompile.diagnostics.diagnostic import NetError
from netcompile.export import onnx_file
from netcompile.export.onnx_file import PACKAGES, check_onnx, convert_onnx, require_onnx, write_onnx
from netcompile.export.program import Exported
from tests.export.nets import FRAMED, Built, built, framed, single

ABSENT = [name for name in PACKAGES if find_spec(name) is None]
with_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"{' and '.join(ABSENT)} not installed")

# Rounding up where Caffe, PyTorch and ONNX Runtime have three opinions on the last window.
POOLS = [
    "pool: MAX kernel_size: 2 stride: 2",
    "pool: MAX kernel_size: 3 stride: 2",
    "pool: MAX kernel_size: 3 stride: 2 pad: 1",
    "pool: MAX kernel_size: 2 stride: 2 pad: 1",
    "pool: MAX kernel_size: 3 stride: 3 pad: 2",
    "pool: MAX kernel_size: 1 stride: 2",
    "pool: AVE kernel_size: 2 stride: 2",
    "pool: AVE kernel_size: 3 stride: 2 pad: 1",
    "pool: AVE kernel_size: 3 stride: 3 pad: 2",
    "pool: AVE kernel_size: 3 stride: 1 pad: 1",
    "pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR",
    "pool: AVE global_pooling: true",
]
POOLING = "".join(
    f'layer {{ name: "p{i}" type: "Pooling" bottom: "data" top: "p{i}" pooling_param {{ {p} }} }}\n'
    for i, p in enumerate(POOLS)
)


@pytest.fixture(scope="module")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Exported, Path]:
    path = tmp_path_factory.mktemp("onnx") / "pools.onnx"
    made = built(single(POOLING))
    return made, write_onnx(*made, str(path)), path


@with_onnx
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_with_the_file() -> None:
    relu = 'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }'
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        convert_onnx(*built(single(relu)), "/dev/full")


@with_onnx
def test_pooling_has_caffes_windows_at_every_small_size(pooling: tuple[Built, Exported, Path]) -> None:
    import onnxruntime

    (_, module, made), exported, path = pooling
    session = onnxruntime.InferenceSession(path)
    least = [axis.least for axis in exported.signature.axes]
    for height in range(least[0], least[0] + 7):
        x = torch.randn(2, 2, height, least[1] + (height * 5) % 9) - 2
        with torch.no_grad():
            wanted = made(x)
        found = session.run(list(module.outputs), {"data": x.numpy()})
        for blob, array in zip(module.outputs, found, strict=True):
            assert torch.allclose(torch.from_numpy(array), wanted[blob], atol=1e-5), (blob, height)


@with_onnx
def test_blobs_and_axes_have_their_names(pooling: tuple[Built, Exported, Path]) -> None:
    import onnx

    graph = onnx.load(pooling[2]).graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["data"] == ["N", 2, "H", "W"]
    assert [value.name for value in graph.output] == list(pooling[0][1].outputs)
    assert shapes["p11"] == ["N", 2, 1, 1]
    assert all("H" in shapes[f"p{i}"][2] and "W" in shapes[f"p{i}"][3] for i in range(11))
    assert not any(a.name == "ceil_mode" and a.i for node in graph.node for a in node.attribute)


@with_onnx
def test_a_file_that_computes_something_else_is_refused(pooling: tuple[Built, Exported, Path]) -> None:
    _, exported, path = pooling
    other = POOLING.replace(POOLS[6], POOLS[0])
    with pytest.raises(NetError) as caught:
        check_onnx(*built(single(other)), exported, str(path))
    (finding,) = caught.value.diagnostics
    assert finding.code == "export"
    assert finding.what == "net is not what ONNX Runtime computes"
    assert re.fullmatch(r"input 1×2×3×3, blob 'p6': a difference of \S+ of the largest value", finding.why)


@with_onnx
def test_build_writes_and_lists_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At -O 2, whose module could not be traced itself: for the declared size, and this is said."""
    _, weights = framed(tmp_path)
    net, out = tmp_path / "framed.prototxt", tmp_path / "out"
    net.write_text(FRAMED)
    assert entry(["build", str(net), "--weights", weights, "-O", "2", "--onnx", "-o", str(out)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["onnx"] == "framed.onnx"
    data = (out / "framed.onnx").read_bytes()
    assert manifest["sha256"]["framed.onnx"] == sha256(data).hexdigest()
    told = capsys.readouterr()
    assert "framed.onnx (" in told.out
    assert "note[export]: framed is exported for images of 60×70 alone\n" in told.err
    assert told.err.endswith(
        "  why: at -O 2 it computes windows of blobs, and holds what surrounds them for one size\n"
        "  fix: --input NAME=1x3xHxW chooses the size; -O 1 exports it for all\n"
    )


@with_onnx
def test_a_blob_that_goes_in_and_out(tmp_path: Path) -> None:
    """Worked on in place, or passed through, beside values of torch's that have a blob's name."""
    import onnx

    text = single('layer { name: "r" type: "ReLU" bottom: "data" top: "data" }') + (
        'layer { name: "i" type: "Input" top: "relu" input_param { shape { dim: 1 dim: 4 } } }'
    )
    exported = write_onnx(*built(text), str(tmp_path / "net.onnx"))
    graph = onnx.load(tmp_path / "net.onnx").graph
    assert [value.name for value in graph.input] == ["data", "relu"]
    names = [value.name for value in graph.output]
    assert len({*names, "data", "relu"}) == 4
    assert [limit.what for limit in exported.limits] == [
        f"output 'data' is called '{names[0]}' in the ONNX file",
        f"output 'relu' is called '{names[1]}' in the ONNX file",
    ]


@with_onnx
def test_all_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    net = tmp_path / "relu.prototxt"
    net.write_text(single('layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'))
    assert entry(["build", str(net), "--onnx", "-o", str(tmp_path / "out")]) == 2
    assert "relu is not what ONNX Runtime computes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@with_onnx
@pytest.mark.parametrize(
    ("options", "words"),
    [((), "no caffemodel is given"), (("--phase", "train"), "cannot be exported for training")],
)
def test_what_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    command = ["build", "shapes-fcn8s/deploy.prototxt", "--onnx", *options, "-o", str(tmp_path / "out")]
    assert entry(command) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name != "onnx" else object())
    assert entry(["build", "shapes-fcn8s/deploy.prototxt", "--onnx", "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "ONNX files need onnxscript and onnxruntime, which are not installed" in err
    assert 'pip install "netcompile[onnx]"' in err
    assert not (tmp_path / "out").exists()


def test_nothing_is_said_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: object())
    require_onnx()


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ([1.0, float("nan"), 200.0], ""),
        ([1.01, float("nan"), 200.0], ""),
        ([1.1, float("nan"), 200.0], "a difference of 0.0005 of the largest value"),
        ([1.0, 3.0, 200.0], "other values that are not finite"),
        ([1.0, float("nan"), float("nan")], "a difference of nan of the largest value"),
        ([1.0], "shape (1,) instead of (3,)"),
    ],
)
def test_differences(found: list[float], wrong: str) -> None:
    expected = np.array([1.0, float("nan"), 200.0], np.float32)
    assert onnx_file._difference(expected, np.array(found, np.float32)) == wrong
