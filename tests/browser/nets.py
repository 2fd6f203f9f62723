"""Nets of the tests' own: large ones, and ones with names that are none."""

from __future__ import annotations

EVIL = "</script><img src=x onerror=document.title='broken'>"


def residual(blocks: int) -> str:
    """A chain of residual blocks of nine layers each, every fourth with a convolution beside it."""
    lines = ['name: "long" input: "data" input_dim: 1 input_dim: 3 input_dim: 64 input_dim: 64']
    before = "data"
    for index in range(blocks):
        name = f"block{index:03d}"
        beside = before
        if index % 4 == 0:
            beside = f"{name}_beside"
            lines.append(_convolution(beside, before, beside, 1))
        for part in "ab":
            bottom = before if part == "a" else f"{name}_a"
            lines.append(_convolution(f"{name}_{part}", bottom, f"{name}_{part}", 3))
            for kind in ("BatchNorm", "Scale", "ReLU"):
                top = f"{name}_{part}"
                lines.append(f'layer {{ name: "{top}_{kind}" type: "{kind}" bottom: "{top}" top: "{top}" }}')
        lines.append(f'layer {{ name: "{name}" type: "Eltwise" bottom: "{name}_b" bottom: "{beside}" top: "{name}" }}')
        before = name
    return "\n".join(lines)


def _convolution(name: str, bottom: str, top: str, kernel: int) -> str:
    window = f"num_output: 8 kernel_size: {kernel} pad: {kernel // 2}"
    head = f'name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}"'
    return f"layer {{ {head} convolution_param {{ {window} }} }}"


def dense(layers: int) -> str:
    """Every convolution reads all before it: as many long lines as can be."""
    lines = ['input: "c0" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32']
    for index in range(1, layers):
        bottoms = " ".join(f'bottom: "c{i}"' for i in range(index))
        lines.append(f'layer {{ name: "cat{index}" type: "Concat" {bottoms} top: "cat{index}" }}')
        lines.append(_convolution(f"c{index}", f"cat{index}", f"c{index}", 3))
    return "\n".join(lines)


def named(name: str) -> str:
    """A net with two crops, of which everything that can have a name has this one."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f"""
name: "{quoted}"
layer {{ name: "{quoted}" type: "Input" top: "{quoted}" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "{quoted}1" type: "Convolution" bottom: "{quoted}" top: "{quoted}1"
  convolution_param {{ num_output: 2 kernel_size: 3 pad: 9 }} }}
layer {{ name: "{quoted}2" type: "ReLU" bottom: "{quoted}1" top: "{quoted}1" }}
layer {{ name: "{quoted}3" type: "Crop" bottom: "{quoted}1" bottom: "{quoted}" top: "{quoted}3" }}
"""


# Legal from 7 on only: below, the pooling finds no pixel.
SHRINKING = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 40 input_dim: 48
layer { name: "small" type: "Convolution" bottom: "data" top: "small"
  convolution_param { num_output: 4 kernel_size: 7 } }
layer { name: "cut" type: "Crop" bottom: "data" bottom: "small" top: "cut" crop_param { offset: 3 } }
"""
