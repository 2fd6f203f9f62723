"""What the page counts of a blob's numbers, in Node, against NumPy."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest

from netcompile.caffemodel.numbers import Numbers
from tests.conftest import REPOSITORY

NODE = shutil.which("node")
PAGE = REPOSITORY / "netcompile" / "site" / "page"
SCRIPT = """
import { openAsBlob } from "node:fs";
import { pieces, statistics } from PAGE;
const file = await openAsBlob(process.argv[2]);
const told = [];
for (const blob of JSON.parse(process.argv[3])) {
  const first = [];
  for await (const piece of pieces(file, blob, 3)) first.push(...piece);
  told.push({ ...(await statistics(file, blob)), first: first.map(String) });
}
console.log(JSON.stringify(told));
"""
RANDOM = np.random.RandomState(0)
SETS = {
    "spread": RANDOM.randn(5000),
    "one value": np.full(7, 0.25),
    "zeros": np.array([0.0, -0.0, 0.0]),
    "nothing finite": np.array([np.nan, np.inf, -np.inf]),
    "some not finite": np.array([np.nan, 1, 2, np.inf, 0]),
    "small": np.array([6e-8, -6e-8, 0]),
    "wide": np.array([-60000.0, 60000.0, 1.0]),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Every set in every type, packed and with a tag between every two numbers, as the page counts it."""
    if NODE is None:
        pytest.skip("there is no Node")
    folder = tmp_path_factory.mktemp("numbers")
    data, blobs, sets = b"abc", [], []
    for dtype in ("float16", "float32", "float64"):
        for name, values in SETS.items():
            numbers = values.astype(dtype)
            for gap in (0, 1):
                size = numbers.itemsize
                half = len(numbers) // 2
                runs = []
                for part in (numbers[:half], numbers[half:]):
                    runs += [len(data), len(part), size + gap] if len(part) else []
                    data += b"".join(number.tobytes() + b"\xff" * gap for number in part)
                blobs.append({"dtype": dtype, "runs": runs})
                sets.append((name, dtype, gap, numbers))
    (folder / "data").write_bytes(data)
    script = folder / "count.mjs"
    script.write_text(SCRIPT.replace("PAGE", json.dumps((PAGE / "weights-numbers.js").as_uri())))
    (folder / "package.json").write_text("{}")
    command = [NODE, "--no-warnings", str(script), str(folder / "data"), json.dumps(blobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [(*one, found) for one, found in zip(sets, json.loads(done.stdout), strict=True)]


def test_they_are_what_numpy_counts(counted):
    for name, dtype, gap, numbers, found in counted:
        where = (name, dtype, gap)
        finite = numbers[np.isfinite(numbers)].astype(np.float64)
        assert found["count"] == len(numbers), where
        assert found["nan"] == np.isnan(numbers).sum(), where
        assert found["infinite"] == np.isinf(numbers).sum(), where
        assert found["zeros"] == (numbers == 0).sum(), where
        assert [float(text.replace("Infinity", "inf")) for text in found["first"]] == pytest.approx(
            numbers[:3].tolist(), rel=0, abs=0, nan_ok=True
        ), where
        if not len(finite):
            assert (found["min"], found["max"], found["mean"], found["bins"]) == (None, None, None, []), where
            continue
        assert (found["min"], found["max"]) == (finite.min(), finite.max()), where
        assert found["mean"] == pytest.approx(finite.mean(), abs=1e-9), where
        assert found["std"] == pytest.approx(finite.std(), abs=1e-9), where
        assert sum(found["bins"]) == len(finite), where
        if finite.min() < finite.max():
            expected, _ = np.histogram(finite, 48)
            assert np.abs(np.array(found["bins"]) - expected).sum() <= 2, (
                where
            )  # a number on a border may fall beside it


def test_they_are_what_the_compiler_counts(counted):
    for name, dtype, gap, values, found in counted:
        numbers = Numbers()
        numbers.look(memoryview(values.tobytes()), dtype)
        told = (found["count"], found["nan"], found["infinite"], found["count"] == found["zeros"])
        assert told == (numbers.count, numbers.nan, numbers.infinite, numbers.nothing), (name, dtype, gap)


def test_half_precision_is_read_exactly():
    if NODE is None:
        pytest.skip("there is no Node")
    code = f"const {{ half }} = await import({json.dumps((PAGE / 'weights-numbers.js').as_uri())});"
    code += "console.log(JSON.stringify(Array.from({ length: 0x7c00 }, (_, bits) => half(bits))))"
    done = subprocess.run(
        [NODE, "--no-warnings", "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    expected = [struct.unpack("<e", struct.pack("<H", bits))[0] for bits in range(0x7C00)]
    assert json.loads(done.stdout) == expected
