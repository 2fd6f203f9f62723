"""Nets of extreme numbers, sizes, counts and texts, through every command that takes a net and no weights.

``python -m tests.fuzz.extremes --count 20000``. A case follows from its number; its family says what is extreme in it:

- ``numbers``: layers with a window, an axis or a count, whose fields are at the ends of C's integers
- ``sizes``: chains and joins of layers that divide, multiply and pad, so that size formulas grow
- ``graphs``: ways that fork and join again, many tops, bottoms, rules and parameters
- ``types``: layers of every type, with absurd values in their fields
- ``texts``: tokens, nesting, lines and mistakes without measure

Each command answers within `BUDGET` seconds of processor time, with 0, 1 or 2, and says not more than a person reads.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from netcompile.cli.exit_codes import DONE, FINDINGS, USAGE
from tests.fuzz import commands, hostile

BUDGET = 1.0  # seconds of processor time for a command over a file of less than SMALL characters
CONV = "convolution_param { num_output: 2"
SMALL = 100_000
SAID = 2_000_000  # characters on stderr and stdout for such a file
EVERY = (
    *commands.EVERY,
    ("check", "--diff"),
    ("upgrade",),
    ("repad",),
    ("repad", "--keep-grid"),
)
SURGERY = ("surgery", "convolutionalise", commands.NET, "-o", "conv.prototxt")
EDGES = (0, -1, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**15, 2**16, 46341, 65535, 10**9, 2**24 + 1)
SANE = (1, 2, 3, 4, 5, 7, 8, 16, 31, 64)
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 97, 101, 251, 509, 1021)
EXTENTS = (1, 2, 5, 9, 32, 64, 97, 224, 500, 1000, 4096, 46340)

WINDOWED = (
    ("Convolution", "convolution_param", ("num_output", "kernel_size", "stride", "pad", "dilation", "group", "axis")),
    ("Deconvolution", "convolution_param", ("num_output", "kernel_size", "stride", "pad", "dilation", "group")),
    ("Convolution", "convolution_param", ("num_output", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h")),
    ("Pooling", "pooling_param", ("kernel_size", "stride", "pad")),
    ("Pooling", "pooling_param", ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_w", "pad_h")),
    ("Im2col", "convolution_param", ("kernel_size", "stride", "pad", "dilation")),
    ("SPP", "spp_param", ("pyramid_height",)),
    ("LRN", "lrn_param", ("local_size",)),
    ("Crop", "crop_param", ("axis", "offset")),
    ("Interp", "interp_param", ("height", "width", "zoom_factor", "shrink_factor", "pad_beg", "pad_end")),
    ("Upsample", "upsample_param", ("scale", "scale_h", "upsample_h", "upsample_w")),
)
OTHERS = (
    ("InnerProduct", "inner_product_param", ("num_output", "axis")),
    ("Slice", "slice_param", ("axis", "slice_point")),
    ("Concat", "concat_param", ("axis",)),
    ("Reshape", "reshape_param", ("axis", "num_axes")),
    ("Flatten", "flatten_param", ("axis", "end_axis")),
    ("Tile", "tile_param", ("axis", "tiles")),
    ("ArgMax", "argmax_param", ("axis", "top_k")),
    ("Reduction", "reduction_param", ("axis",)),
    ("Softmax", "softmax_param", ("axis",)),
    ("Scale", "scale_param", ("axis", "num_axes")),
    ("Bias", "bias_param", ("axis", "num_axes")),
    ("Embed", "embed_param", ("num_output", "input_dim")),
    ("Permute", "permute_param", ("order",)),
    ("PriorBox", "prior_box_param", ("min_size", "max_size", "step", "img_size")),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A text, and what is extreme in it."""

    family: str
    text: str

    def __repr__(self) -> str:
        return f"{self.family}\n{self.text[:20000]}"


class Extreme(AssertionError):
    """What a command did with a case."""

    def __init__(self, net: Case, what: str) -> None:
        super().__init__(f"{what[:4000]}\n{net!r}")
        self.net, self.what = net, what


class Draw:
    """Draws the text of one case."""

    def __init__(self, number: int) -> None:
        self.random = Random(number)
        self.lines: list[str] = []
        self.blobs: list[str] = []
        self.edge = self.choice((5, 10, 30))  # percent of the numbers

    def int(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def choice(self, options: Sequence[Any]) -> Any:
        return self.random.choice(options)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def number(self) -> str:
        """A number as a file may write it."""
        if not self.chance(self.edge):
            return str(self.choice(SANE))
        value = self.choice(EDGES)
        return self.choice((str(value), str(value), f"-{hex(-value)}" if value < 0 else hex(value)))

    def input(self, dims: Sequence[object]) -> str:
        name = f"x{len(self.lines)}"
        shape = "input_param { shape { " + " ".join(f"dim: {dim}" for dim in dims) + " } }"
        self.lines.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" {shape} }}')
        self.blobs.append(name)
        return name

    def layer(self, kind: str, bottoms: Sequence[str], body: str = "", tops: int = 1) -> str:
        """A layer behind these blobs; its first top."""
        name = f"l{len(self.lines)}"
        made = [name, *(f"{name}_{i}" for i in range(1, tops))][:tops]
        wires = "".join(f'bottom: "{b}" ' for b in bottoms) + "".join(f'top: "{t}" ' for t in made)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {wires}{body} }}')
        self.blobs += made
        return name

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    # families ------------------------------------------------------------------------------------------------------

    def numbers(self) -> str:
        rank = self.choice((4, 4, 4, 2, 5))
        extents = [self.number() if self.chance(20) else self.choice(EXTENTS[:9]) for _ in range(rank)]
        self.input([1, *extents[1:]] if self.chance(80) else extents)
        if self.chance(30):
            self.input([self.number() for _ in range(self.choice((0, 1, 4, 32, 33)))])
        for _ in range(self.int(1, 4)):
            kind, block, fields = self.choice((*WINDOWED, *WINDOWED, *OTHERS))
            body = "".join(
                f"{field}: {self.number()} "
                for field in fields
                if self.chance(60)
                for _ in range(self.choice((1, 1, 1, 2, 3)) if self.chance(15) else 1)
            )
            if block == "convolution_param" and self.chance(25):
                body += f'weight_filler {{ type: "{self.choice(("bilinear", "msra", "xavier"))}" }} '
            if block == "pooling_param" and self.chance(30):
                body += self.choice(("pool: AVE ", "round_mode: FLOOR ", "global_pooling: true ", "pool: STOCHASTIC "))
            if block == "reshape_param":
                body += "shape { " + "".join(f"dim: {self.number()} " for _ in range(self.int(0, 5))) + "} "
            count = 2 if kind in ("Crop", "Concat", "PriorBox") else 1
            bottoms = [self.choice(self.blobs[-2:]) for _ in range(count)]
            self.layer(kind, bottoms, f"{block} {{ {body}}}", self.choice((1, 1, 1, 2)) if kind == "Slice" else 1)
        return self.text()

    def sizes(self) -> str:
        """Formulas that grow: divisions by numbers without common factors, and joins of what differs."""
        self.input([1, self.choice((1, 2, 4)), self.choice(EXTENTS[3:]), self.choice(EXTENTS[3:])])
        if self.chance(20):
            self.input([1, 2, *self.choice(((64, 64), (97, 224)))])
        style = self.choice(("any", "pool", "updown", "primes", "same"))
        joins = self.choice((0, 10, 30))
        for _ in range(self.int(2, self.choice((6, 12, 40, 120)))):
            if self.chance(joins):
                self.join()
            else:
                self.window(style)
        if self.chance(30):
            self.layer("InnerProduct", self.blobs[-1:], "inner_product_param { num_output: 3 }")
        return self.text()

    def window(self, style: str) -> None:
        bottom = self.blobs[-1] if self.chance(80) else self.choice(self.blobs)
        step = self.choice(PRIMES if style == "primes" else (1, 2, 3) if style != "same" else (1,))
        kernel = self.choice((step, step + 1, 2 * step, 3, 5)) if style != "same" else 3
        pad = self.choice((0, 0, 1, kernel // 2, 100)) if style != "same" else 1
        kind = {"pool": "Pooling", "updown": self.choice(("Deconvolution", "Convolution", "Pooling"))}.get(
            style, self.choice(("Convolution", "Pooling", "Deconvolution", "Convolution"))
        )
        if kind == "Pooling":
            mode = self.choice(("", "", "round_mode: FLOOR "))
            body = f"pooling_param {{ kernel_size: {kernel} stride: {step} pad: {min(pad, kernel - 1)} {mode}}}"
        else:
            group = self.choice(("", "", f"dilation: {self.choice((1, 2, 5))} "))
            body = (
                f"convolution_param {{ num_output: 2 kernel_size: {kernel} stride: {step} pad: {pad} {group}"
                'weight_filler { type: "bilinear" } }'
            )
        self.layer(kind, [bottom], body)

    def join(self) -> None:
        pair = [self.choice(self.blobs[-6:]), self.choice(self.blobs[-6:])]
        kind = self.choice(JOINS)
        if kind == "Concat2":
            self.layer("Concat", pair, f"concat_param {{ axis: {self.choice((2, 3))} }}")
        elif kind == "Crop":
            declared = self.choice(("", "crop_param { offset: 0 }", "crop_param { axis: 2 offset: 5 }"))
            self.layer("Crop", pair, declared)
        elif kind == "Flat":
            flat = [self.layer("Flatten", [blob]) for blob in pair]
            self.layer("Concat", flat)
            if self.chance(50):
                self.layer("Reshape", self.blobs[-1:], "reshape_param { shape { dim: 0 dim: -1 dim: 2 dim: 1 } }")
        elif kind == "SPP":
            self.layer("SPP", pair[:1], f"spp_param {{ pyramid_height: {self.choice((1, 2, 3))} }}")
        elif kind == "Reshape":
            dims = " ".join(f"dim: {self.choice((0, -1, 2, 1, 0, 0))}" for _ in range(4))
            self.layer("Reshape", pair[:1], f"reshape_param {{ shape {{ {dims} }} }}")
        elif kind == "Interp":
            self.layer("Interp", pair[:1], f"interp_param {{ zoom_factor: {self.choice((2, 3, 8))} }}")
        elif kind == "Permute":
            self.layer("Permute", pair[:1], "permute_param { order: 0 order: 1 order: 3 order: 2 }")
        elif kind == "Slice":
            self.layer("Slice", pair[:1], f"slice_param {{ axis: {self.choice((1, 2, 3))} }}", 2)
        else:
            self.layer(kind, pair)

    def graphs(self) -> str:
        last = self.input([1, 2, 32, 32])
        kind = self.choice(("diamonds", "ladder", "wide", "slices", "rules", "params", "places", "data", "cross"))
        count = self.choice((10, 40, 120))
        if kind == "diamonds":
            for _ in range(count):
                ways = [self.layer(self.choice(("ReLU", "TanH")), [last]) for _ in range(self.choice((2, 2, 3)))]
                if self.chance(30):
                    ways[0] = self.layer("Convolution", ways[:1], f"{CONV} kernel_size: 3 pad: 1 }}")
                last = self.layer(self.choice(("Eltwise", "Eltwise", "Concat")), ways)
                if "Concat" in self.lines[-1]:
                    last = self.layer("Convolution", [last], f"{CONV} kernel_size: 1 }}")
        elif kind == "ladder":
            for _ in range(count):
                down = self.layer("Convolution", [last], f"{CONV} kernel_size: 3 pad: 2 }}")
                last = self.layer("Crop", [down, self.choice(self.blobs)])
        elif kind == "wide":
            windows = (f"pooling_param {{ kernel_size: {i % 20 + 1} stride: {i % 7 + 1} }}" for i in range(count))
            tops = [self.layer("Pooling", [last], window) for window in windows]
            self.layer("Concat", [self.layer("Flatten", [top]) for top in tops])
        elif kind == "slices":
            big = self.input([1, count * 4, 3, 3])
            self.layer("Slice", [big], "", count * self.choice((1, 2, 3, 4)))
            self.layer(self.choice(("Concat", "Eltwise", "Silence")), self.blobs[-count:])
        elif kind == "rules":
            rules = " ".join(f'include {{ stage: "s{i}" }}' for i in range(10 * count))
            self.layer("ReLU", [last], rules + self.choice(("", " include { phase: TEST }")))
            if self.chance(50):
                self.layer("ReLU", self.blobs[-1:])
        elif kind == "params":
            for _ in range(3):
                rate, most = self.choice((1, 2)), count * self.choice((1, 10))
                specs = " ".join(f'param {{ name: "p{i}" lr_mult: {rate} }}' for i in range(most))
                last = self.layer("Convolution", [last], f"{specs} {CONV} kernel_size: 1 }}")
        elif kind == "places":
            for _ in range(count):
                blob, kind = self.choice(self.blobs), self.choice(("ReLU", "Reshape", "Split"))
                top = self.choice((blob, "q"))
                self.lines.append(
                    f'layer {{ name: "r{len(self.lines)}" type: "{kind}" bottom: "{blob}" top: "{top}" }}'
                )
        elif kind == "data":
            for i in range(count):
                self.lines.append(f'layer {{ name: "d{i}" type: "Data" top: "d{i}" top: "t{i}" }}')
                self.layer("SoftmaxWithLoss", [f"d{i}", self.choice((f"t{i}", last))])
        else:
            for _ in range(count):
                self.layer("Eltwise", [self.choice(self.blobs) for _ in range(self.choice((2, 3, 50)))])
        return self.text()

    def types(self) -> str:
        writer = hostile.Writer(self.int(0, 2**40), ())
        writer.absurd = self.choice((3, 8, 15))
        text = "".join(writer.input() for _ in range(self.int(1, 3)))
        for _ in range(self.int(1, 3)):
            text += writer.layer(*writer.type())
        return text

    def texts(self) -> str:
        """Texts of up to a few hundred thousand characters."""
        text = self.choice(TEXTS)(self.choice((100, 3000, 30000)))
        net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        return self.choice(PLACES).format(net, text)


PLACES = (
    "{0}{1}",
    "{1}{0}",
    '{0}layer {{ name: "r" {1} type: "ReLU" bottom: "x" top: "r" }}',
    '{0}layer {{ name: "r" type: "ReLU" bottom: "x" top: {1} }}',
    '{0}layer {{ type: "Convolution" bottom: "x" top: "c" convolution_param {{ num_output: 2 kernel_size: {1} }} }}',
    '{0}layer {{ type: "Dropout" bottom: "x" top: "c" dropout_param {{ dropout_ratio: {1} }} }}',
)
TEXTS: tuple[Callable[[int], str], ...] = (
    lambda n: "\n" * n,
    lambda n: " \t" * n,
    lambda n: "# x\n" * n,
    lambda n: "#" * n,
    lambda n: "}" * n,
    lambda n: "{" * n,
    lambda n: "a {" * n,
    lambda n: "layer {" * n,
    lambda n: "layer { name: " * n,
    lambda n: "x: 1\n" * n,
    lambda n: "layer { x: 1 }\n" * n,
    lambda n: "layer { name: 1 }\n" * n,
    lambda n: "layer { type: \"X\" }\n" * n,
    lambda n: "layer { type: \"ReLU\" bottom: \"zz\" top: \"y\" }\n" * n,
    lambda n: '"' + "a" * n + '"',
    lambda n: '"' + "a" * n,
    lambda n: '"' + "\\" * n + '"',
    lambda n: '"' + "\\q" * n + '"',
    lambda n: '"' + "\\ud800" * n + '"',
    lambda n: '"' + "\\x" * n + '"',
    lambda n: '"a"' * n,
    lambda n: '"a" ' * n,
    lambda n: "a" * n,
    lambda n: "a " * n,
    lambda n: "a: " * n,
    lambda n: ": " * n,
    lambda n: ";" * n,
    lambda n: "[" * n,
    lambda n: "[1," * n,
    lambda n: "[" + "1," * n,
    lambda n: "[" + "{}," * n,
    lambda n: "a: [" * n,
    lambda n: "9" * n,
    lambda n: "-" * n,
    lambda n: "- " * n,
    lambda n: "1." * n,
    lambda n: "1e" + "9" * n,
    lambda n: "0x" + "f" * n,
    lambda n: "0" + "7" * n,
    lambda n: "0." + "0" * n + "1",
    lambda n: "1e999999999",
    lambda n: "1e-999999999",
    lambda n: "${x}" * n,
    lambda n: "${" * n,
    lambda n: "{{" * n,
    lambda n: "{%" * n,
    lambda n: "<%" * n,
    lambda n: "%(" * n,
    lambda n: "@a" * n,
    lambda n: "<" * n,
    lambda n: ">" * n,
    lambda n: "<<<<<<<\n" * n,
    lambda n: "=======\n" * n,
    lambda n: "<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n" * n,
    lambda n: "/*" * n,
    lambda n: "//\n" * n,
    lambda n: "\u00a0" * n,
    lambda n: "“" * n,
    lambda n: "“a” " * n,
    lambda n: "\u202e" * n,
    lambda n: "\udc80" * n,
    lambda n: "\x01" * n,
    lambda n: "\r" * n,
    lambda n: "\x0b\x0c" * n,
    lambda n: "net_param" + " " * n,
    lambda n: "\n" * n + "net_param:",
    lambda n: "include { stage: \"a\" } " * n,
    lambda n: "param { } " * n,
    lambda n: "top: \"a\" " * n,
    lambda n: "bottom: \"a\" " * n,
    lambda n: "loss_weight: 1 " * n,
    lambda n: "convolution_param { kernel_size: 1 } " * n,
    lambda n: "convolution_param { " + "kernel_size: 1 " * n + "} ",
    lambda n: "input: \"a\" " * n,
    lambda n: "input_dim: 1 " * n,
    lambda n: "input_shape { } " * n,
    lambda n: "layers { layer { name: \"a\" type: \"conv\" } } " * n,
    lambda n: "layers { name: \"a\" type: 40 bottom: \"a\" bottom: \"b\" top: \"a\" } " * n,
    lambda n: "layers { name: \"a\" type: RELU bottom: \"x\" top: \"x\" blobs_lr: 1 } " * n,
)  # fmt: skip
JOINS = ("Eltwise", "Concat", "Concat2", "Crop", "Flat", "SPP", "Reshape", "Interp", "Permute", "Slice")
FAMILIES = ("numbers", "sizes", "graphs", "types", "texts")


def case(number: int, family: str = "") -> Case:
    """The case of this number, of one family or any."""
    draw = Draw(number)
    family = family or draw.choice(("numbers", "numbers", "sizes", "sizes", "graphs", "types", "types", "texts"))
    return Case(family, getattr(draw, family)())


def check(net: Case, chosen: Sequence[tuple[str, ...]] = EVERY) -> None:
    """Run the commands over the case. Raises Extreme."""
    with commands.folder_with(net.text):
        for arguments in chosen:
            examine(net, commands.command, arguments)
        examine(net, commands.ran, SURGERY)


def examine(net: Case, run: Callable[[tuple[str, ...]], commands.Outcome], arguments: tuple[str, ...]) -> None:
    """Run one command in the folder that holds the net. Raises Extreme."""
    outcome = run(arguments)
    if outcome.took > BUDGET and len(net.text) < SMALL:
        outcome = min(outcome, run(arguments), key=lambda found: found.took)  # not the machine's fault
    small = len(net.text) < SMALL
    if outcome.code not in (DONE, FINDINGS, USAGE):
        raise Extreme(net, str(outcome))
    if outcome.took > (BUDGET if small else BUDGET * len(net.text) / SMALL):
        raise Extreme(net, f"slow: {outcome.took:.1f} s: {outcome}")
    said = len(outcome.out) + len(outcome.err)
    if small and said > SAID:
        raise Extreme(net, f"said {said} characters: {outcome.arguments}: {outcome.err[:500]}")
    if outcome.code == USAGE and not outcome.out and "error[" not in outcome.err:
        raise Extreme(net, f"refused without a reason: {outcome}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.extremes", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", default="", choices=("", *FAMILIES))
    parser.add_argument("--one", type=int, help="the case of this number alone: print it, and what happens")
    options = parser.parse_args()
    if options.one is not None:
        print(case(options.one, options.family).text)
        check(case(options.one, options.family))
        return 0
    seen: Counter[str] = Counter()
    begun = time.monotonic()
    for number in range(options.seed, options.seed + options.count):
        try:
            check(case(number, options.family))
        except Extreme as error:
            alike = f"{error.net.family} {error.what.splitlines()[0][:60]} {hostile.kind(error)}"
            seen[alike] += 1
            if seen[alike] == 1:
                print(f"\nnumber {number}: {error}"[:3000] + "\n", flush=True)
        if (number + 1 - options.seed) % 500 == 0:
            done, took = number + 1 - options.seed, time.monotonic() - begun
            print(f"{done} cases, {seen.total()} failures, {took:.0f} s", flush=True)
    print(f"{options.count} cases, {seen.total()} failures of {len(seen)} kinds")
    return bool(seen)


if __name__ == "__main__":
    sys.exit(main())
