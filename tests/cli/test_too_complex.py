"""Exact sizes that end in the middle of any command: the steps that they may take are spent there, for good or once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netcompile.algebra import effort
from netcompile.algebra.effort import SizeTooComplex
from netcompile.cli.main import entry

# An FCN whose levels are three, seven and ten pixels apart: its slacks are tables.
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 210 dim: 200 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 1 kernel_size: 5 stride: 3 pad: 13 } }
layer { name: "b" type: "Pooling" bottom: "data" top: "b" pooling_param { kernel_size: 9 stride: 7 } }
layer { name: "up" type: "Deconvolution" bottom: "a" top: "up"
  convolution_param { num_output: 1 kernel_size: 6 stride: 3 } }
layer { name: "wide" type: "Deconvolution" bottom: "b" top: "wide"
  convolution_param { num_output: 1 kernel_size: 14 stride: 7 } }
layer { name: "c1" type: "Crop" bottom: "up" bottom: "wide" top: "c1" crop_param { offset: 11 } }
layer { name: "sum" type: "Eltwise" bottom: "c1" bottom: "wide" top: "sum" }
layer { name: "far" type: "Pooling" bottom: "sum" top: "far" pooling_param { kernel_size: 10 stride: 10 } }
layer { name: "up10" type: "Deconvolution" bottom: "far" top: "up10"
  convolution_param { num_output: 1 kernel_size: 20 stride: 10 } }
layer { name: "score" type: "Crop" bottom: "up10" bottom: "data" top: "score" crop_param { axis: 2 offset: 3 } }
"""
COMMANDS = (
    ("check",),
    ("offsets",),
    ("offsets", "--json"),
    ("offsets", "--html"),
    ("inspect",),
    ("repad",),
    ("build", "-O", "1", "-o", "out"),
    ("build", "-O", "2", "-o", "out"),
)
POINTS = 6  # of a command's run


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bool], list[int]]:
    """Lets no more steps be taken from the given call of `spend` on, or at that one alone; counts the calls."""
    calls, real = [0], effort.spend
    end, once = sys.maxsize, False

    def spend(steps: int) -> None:
        if effort._left.get() is None:  # without a limit
            return
        calls[0] += 1
        if calls[0] == end or (calls[0] > end and not once):
            raise SizeTooComplex("here")

    def choose(at: int, alone: bool) -> list[int]:
        nonlocal end, once
        calls[0], end, once = 0, at, alone
        return calls

    for name, module in list(sys.modules.items()):
        if name.startswith("netcompile.algebra") and getattr(module, "spend", None) is real:
            monkeypatch.setattr(module, "spend", spend)
    return choose


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_fails(
    command: tuple[str, ...], ends: Callable[[int, bool], list[int]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    arguments = [command[0], "net.prototxt", *command[1:]]
    calls = ends(sys.maxsize, False)
    assert entry(arguments) in {0, 1}, capsys.readouterr().err
    whole = calls[0]
    assert whole > POINTS or command == ("inspect",)
    for alone in (False, True):
        for at in range(1, whole + 1, max(whole // POINTS, 1)):
            ends(at, alone)
            assert entry(arguments) in {0, 1}, (at, alone, capsys.readouterr().err)
