"""Emitted modules pass mypy (strict) and ruff as their owners run them."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.prelude import import_lines
from tests.emit.typed import ELSEWHERE, LEVELS, complaints, complaints_of_ruff, sample, sources, write

IMAGE = """
layer { name: "in" type: "Input" top: "IMAGE" input_param { shape { dim: 1 dim: 4 dim: 40 dim: 40 } } }
"""
CONVOLUTIONS = """
layer { name: "c1" type: "Convolution" bottom: "IMAGE" top: "B1"
        convolution_param { num_output: 4 kernel_size: 3 pad: 30 } }
layer { name: "c2" type: "Convolution" bottom: "B1" top: "B2" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "p" type: "Pooling" bottom: "B2" top: "B3" pooling_param { kernel_size: 2 stride: 2 } }
"""
# What no case has: how the one result of a net comes into being, and names that are types.
WRITTEN = {
    "slice and in place": """
        layer { name: "s" type: "Slice" bottom: "IMAGE" top: "a" top: "b" }
        layer { name: "r" type: "ReLU" bottom: "b" top: "b" } layer { name: "q" type: "Silence" bottom: "a" }""",
    "one of a slice": """
        layer { name: "s" type: "Slice" bottom: "IMAGE" top: "a" top: "b" }
        layer { name: "q" type: "Silence" bottom: "a" }""",
    "one of a split": """
        layer { name: "c" type: "Convolution" bottom: "IMAGE" top: "c"
                convolution_param { num_output: 4 kernel_size: 1 } }
        layer { name: "s" type: "Split" bottom: "c" top: "a" top: "b" }
        layer { name: "q" type: "Silence" bottom: "a" }""",
    "each of a split": """
        layer { name: "s" type: "Split" bottom: "IMAGE" top: "a" top: "b" }
        layer { name: "r" type: "ReLU" bottom: "a" top: "a" } layer { name: "t" type: "TanH" bottom: "b" top: "b" }""",
    "a mask alone": """
        layer { name: "p" type: "Pooling" bottom: "IMAGE" top: "a" top: "b"
                pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "q" type: "Silence" bottom: "a" }""",
    "a mask nobody reads": """
        layer { name: "p" type: "Pooling" bottom: "IMAGE" top: "a" top: "b"
                pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "r" type: "ReLU" bottom: "a" top: "a" } layer { name: "q" type: "Silence" bottom: "b" }""",
    "in place of the image": """layer { name: "r" type: "ReLU" bottom: "IMAGE" top: "IMAGE" }""",
    "of itself": """
        layer { name: "e" type: "ELU" bottom: "IMAGE" top: "a" }
        layer { name: "d" type: "Dropout" bottom: "a" top: "a" }
        layer { name: "r" type: "Power" bottom: "a" top: "a" }""",
    "windows": CONVOLUTIONS,
    "types": CONVOLUTIONS.replace("B1", "dict").replace("B2", "Any").replace("B3", "State").replace('"c2"', '"list"'),
    "image of a type": CONVOLUTIONS.replace("B1", "Kept").replace("IMAGE", "dict"),
    "image called Tensor": CONVOLUTIONS.replace("B1", "bool").replace("IMAGE", "Tensor").replace('"c1"', '"nn"'),
}


def written(text: str, level: int) -> str:
    whole = IMAGE.replace("IMAGE", text.split('bottom: "')[1].split('"')[0]) + text
    return compile_net(analyse(Source(whole, "net.prototxt")), level).source


MISTAKEN = """\
import torch.nn.functional as F
from torch import Tensor, nn


def f(x: Tensor) -> int:
    return F.max_pool2d(F.relu(x), nn.Conv2d(1, 2, "3").stride)
"""
SAID_OF_IT = r"""mistaken.py:6: error: Incompatible return value .*"Tensor", expected "int".*
mistaken.py:6: error: Argument 3 to "Conv2d" has incompatible type "str".*
Found 2 errors in 1 file .*
"""


@pytest.mark.long
def test_owners_tools_find_nothing(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """One run of each tool over modules of every kind; what mypy knows of torch is kept for the next time.

    Ruff, which is quick, sees every module, and is asked for more than by default. One more module has mistakes that
    are none where mypy does not know torch.
    """
    pytest.importorskip("mypy")
    folder, all_of_them = tmp_path / "nets", tmp_path / "all"
    folder.mkdir()
    all_of_them.mkdir()
    found = list(sources())
    assert write(all_of_them, found) > 1000
    assert complaints_of_ruff(all_of_them, "E,F,W") == ""
    count = write(folder, sample(found))
    count += write(
        folder, ((f"{name} {level}", written(WRITTEN[name], level)) for name, level in product(WRITTEN, LEVELS))
    )
    assert count > 100
    cache = getattr(pytestconfig, "cache", None)  # without its plugin there is none
    kept = tmp_path / "mypy" if cache is None else cache.mkdir("mypy")
    (folder / "mistaken.py").write_text(MISTAKEN)
    assert re.fullmatch(SAID_OF_IT, complaints(folder, kept, ELSEWHERE))


MISTAKES = {
    "def f(x):\n    return x\n": "no-untyped-def",
    "def f() -> int:\n    return  1\n": "-    return  1",
    "import os\n\n\ndef f() -> int:\n    return 1\n": "F401",
}


def test_each_tool_is_heard(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for index, source in enumerate(MISTAKES):
        (tmp_path / f"net_{index}.py").write_text(source)
    said = complaints(tmp_path, tmp_path / "cache")
    assert all(wanted in said for wanted in MISTAKES.values()), said


def test_imports_are_in_sections() -> None:
    found = [
        "from torch import nn",
        "from typing import Any",
        "import torch",
        "import math",
        "from torch import Tensor",
    ]
    wanted = ["import math", "from typing import Any", "", "import torch", "from torch import Tensor, nn"]
    assert import_lines(found) == wanted
    assert import_lines(["from a.b import name", "from a.b import NAME"]) == ["from a.b import NAME, name"]
