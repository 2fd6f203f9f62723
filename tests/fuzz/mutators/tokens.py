"""The tokens of a prototxt, and tokens to throw in."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*|[\w.+-]+|\s+|.", re.DOTALL)
SPICE = (
    *("{", "}", "<", ">", "[", "]", ":", ",", ";", "#", '"', "'", "\\", "-", "="),
    *("\n", "\r\n", "\t", " ", "$", "."),
    *("0", "1", "-1", "007", "08", "0x1F", "0x", "1.5", "1.", ".5", "1e3", "1e", "1.5f", "1f", "4294967296"),
    *("-0", "- 3", "+3", "1_000", "99999999999999999999", "1e40", "-1e40", "1e-46", "0.1e-5", "00", "0.0"),
    *("inf", "-inf", "nan", "infinity", "INF", "true", "false", "True", "t", "f", "TRUE", "yes", "0b1"),
    *("MAX", "AVE", "LMDB", "TRAIN", "TEST", "CONVOLUTION", "CROP", "LEARN", "NOPE"),
    *('"x"', "'y'", '""', '"a" "b"', "'a' \"b\"", '"\\n"', '"\\x41"', '"\\101"', '"\\u00e9"', '"\\q"'),
    *('"é"', '"\\377"', "layer", "layers", "name", "type", "bottom", "top", "pad", "kernel_size"),
    *("num_output", "lr_mult", "dim", "layer {", "param { lr_mult: 1 }", "pad: 1", "pad: [1, 2]"),
    *('name: "n"', "dim: []", "shape { dim: 2 }", "convolution_param <pad: 1>", "param: [{lr_mult: 1}, {}]"),
    *("clip_param { min: 0 }", "bn_param { eps: 1 }"),
    *("\u00a0", "é", "\x00", "\x0b", "\u2028", "// x", "/* x */", "<<<<<<< a", "${X}", "{{x}}", "[a.b]: 1"),
)  # fmt: skip
