"""--max-memory: every command that reads or computes has it, and a net that takes more is refused before."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netcompile as package
from netcompile.analyser import analyse
from netcompile.analysis.footprint import Footprint, footprint
from netcompile.cli.command_line import command_parser
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from tests.cli.conftest import Call

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 1000 dim: 1000 } } }\n'
CHAIN = INPUT + "".join(
    f'layer {{ name: "s{i}" type: "Sigmoid" bottom: "{f"s{i - 1}" if i else "x"}" top: "s{i}" }}\n' for i in range(4)
)
DENSE = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1000 } } }\n'
    'layer { name: "d" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2000 } }\n'
)
WITH = ("build", "convert-weights", "evaluate", "predict", "run", "time", "train", "tune", "verify")


@pytest.mark.parametrize("name", WITH)
def test_commands_that_have_it(name: str) -> None:
    assert "--max-memory SIZE" in command_parser(name).format_help()


@pytest.mark.parametrize("operation", ["convolutionalise", "transplant", "interp", "expand-score"])
def test_operations_that_have_it(operation: str, netcompile: Call) -> None:
    assert "--max-memory SIZE" in netcompile("surgery", operation, "--help").out


def test_a_size_that_is_none(netcompile: Call) -> None:
    done = netcompile("time", "x.prototxt", "--max-memory", "much")
    assert (done.code, "'much' is no size: 2GB, 512MiB and 1000000 are" in done.err) == (2, True)


def footprint_of(text: str, kept: Collection[str] | None = None) -> Footprint:
    found = analyse(Source(text, "t"))
    return footprint(found.graph, found.shapes, kept)


def test_blobs_that_are_there_at_once() -> None:
    """Two of a chain; all that are asked for; memory that is shared counts once."""
    size = 4 * 1000 * 1000
    found = footprint_of(CHAIN)
    assert (found.weights, found.blobs, found.peak, found.largest) == (0, 5 * size, 2 * size, "'x' (1×1×1000×1000)")
    assert footprint_of(CHAIN, ["s0", "s3"]).peak == 3 * size
    branches = INPUT + "".join(f'layer {{ name: "b{i}" type: "TanH" bottom: "x" top: "b{i}" }}\n' for i in range(3))
    assert footprint_of(branches).peak == 4 * size
    flat = INPUT + 'layer { name: "f" type: "Flatten" bottom: "x" top: "f" }\n'
    assert (footprint_of(flat).blobs, footprint_of(flat).peak) == (size, size)
    assert footprint_of(DENSE).weights == 4 * (1000 * 2000 + 2000)


@pytest.mark.parametrize(
    ("arguments", "text", "what"),
    [
        (["time"], CHAIN, "to compute the net with 'x' of 1×1×1000×1000 takes 40.0 MB of memory; --max-memory says"),
        (["verify", "--self"], CHAIN, "to compute the net with 'x' of 1×1×1000×1000 takes 40.0 MB of memory"),
        (["time"], DENSE, "to compute the net with 'x' of 1×1000 takes 24.0 MB of memory"),
        (["verify", "--self"], DENSE, "to compute the net with 'x' of 1×1000 takes 16.0 MB of memory"),
    ],
)  # fmt: skip
def test_nets_that_take_too_much(arguments: list[str], text: str, what: str, netcompile: Call, tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(text)
    name, *options = arguments
    done = netcompile(name, tmp_path / "n.prototxt", *options, "--max-memory", "7MB")
    assert done.code == 2
    assert f"error[too-large]: {tmp_path / 'n.prototxt'}: {what}" in done.err


def test_run_takes_what_the_blobs_that_are_there_at_once_take(netcompile: Call, tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(CHAIN)
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 1, 1000, 1000), np.float32))
    run = ("run", tmp_path / "n.prototxt", "--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz")
    assert netcompile(*run, "--max-memory", "9MB").code == 0
    done = netcompile(*run, "--max-memory", "9MB", "--blobs", "all")
    assert (done.code, "takes 20.0 MB of memory; --max-memory says 9.0 MB" in done.err) == (2, True)
    assert netcompile(*run, "--max-memory", "9MB", "--dtype", "float64").code == 2


def test_from_python(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(DENSE)
    for size in ("7MB", 7_000_000):
        with pytest.raises(NetError, match=r"to hold the weights of the net takes 8\.0 MB of memory"):
            package.load(path, max_memory=size)
    assert sum(p.numel() for p in package.load(path, max_memory="9MB").parameters()) == 2_002_000
    with pytest.raises(ValueError, match="is no size"):
        package.load(path, max_memory="much")
    with pytest.raises(ValueError, match="is no size"):
        package.load(path, max_memory=0)


def test_images_are_bounded_one_by_one(netcompile: Call, tmp_path: Path) -> None:
    """Read in threads, and computed at sizes that the net does not declare; the others go on."""
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "s" type: "Sigmoid" bottom: "data" top: "score" }\n'
    )
    for name, side in (("small", 20), ("wide", 250), ("large", 600)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    images = [tmp_path / f"{name}.png" for name in ("small", "wide", "large")]
    done = netcompile("predict", tmp_path / "n.prototxt", *images, "-o", tmp_path / "out", "--max-memory", "1200kB")
    assert done.code == 1
    assert f"{images[1]} is skipped\n  why: to compute the net at this size takes 1.5 MB of memory; " in done.err
    assert f"{images[2]} is skipped\n  why: {images[2]}, of 600×600 pixels, takes 5.8 MB of memory; " in done.err
    assert (tmp_path / "out" / "labels" / "small.png").exists()
