"""Draws layers that work element by element, or along one axis: activations, arithmetic, normalisation, dense."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.fuzz.draw import Array, Blob, Gen, Layer, Unsuitable, section


def _unary(type_: str, exact: bool = False, in_place: bool = True) -> object:
    def draw(g: Gen) -> Layer:
        return Layer(type_, [g.any()], in_place=in_place, exact=exact)

    return draw


def relu(g: Gen) -> Layer:
    params = section("relu_param", g.opt("negative_slope", g.choice((0.0, 0.0, 0.25, -0.5, 2.0)), 0.0))
    return Layer("ReLU", [g.any()], params, in_place=True, exact=True)


def dropout(g: Gen) -> Layer:
    if g.net.train:
        raise Unsuitable
    params = section("dropout_param", g.opt("dropout_ratio", g.choice((0.5, 0.25, 0.9)), 0.5))
    return Layer("Dropout", [g.any()], params, in_place=True, exact=True)


def elu(g: Gen) -> Layer:
    params = section("elu_param", g.opt("alpha", g.dyadic(), 1.0))
    return Layer("ELU", [g.any()], params, in_place=True)


def swish(g: Gen) -> Layer:
    return Layer("Swish", [g.any()], section("swish_param", g.opt("beta", g.dyadic(), 1.0)), in_place=True)


def threshold(g: Gen) -> Layer:
    params = section("threshold_param", g.opt("threshold", g.dyadic(), 0.0))
    return Layer("Threshold", [g.any()], params, in_place=True, exact=True)


def clip(g: Gen) -> Layer:
    low, high = g.dyadic(), g.dyadic()
    if low > high and g.chance(70):
        low, high = high, low
    fields = f"min: {low!r} max: {high!r} "
    return Layer("Clip", [g.any()], section("clip_param", fields), in_place=True, exact=True)


def power(g: Gen) -> Layer:
    exponents = (1.0, 1.0, 2.0, 3.0, 0.0, 0.5, -1.0, -0.5, -2.0)
    params = section(
        "power_param",
        g.opt("power", g.choice(exponents), 1.0),
        g.opt("scale", g.dyadic(), 1.0),
        g.opt("shift", g.dyadic(), 0.0),
    )
    return Layer("Power", [g.any()], params, in_place=True)


def exp(g: Gen) -> Layer:
    params = section(
        "exp_param",
        g.opt("base", g.choice((-1.0, 2.0, 0.5, 10.0, 1.0, 3.0)), -1.0),
        g.opt("scale", g.dyadic(), 1.0),
        g.opt("shift", g.dyadic(), 0.0),
    )
    return Layer("Exp", [g.any()], params, in_place=True)


def log(g: Gen) -> Layer:
    scale, shift = g.dyadic(), g.choice((0.0, 0.5, 3.0, 8.0))
    x = g.bottom(
        lambda b: bool((scale * b.value + shift > 0.01).all()),
        lambda: g.array(g.shape(), "positive") * (1 if scale >= 0 else -1 / 64),
    )
    params = section(
        "log_param",
        g.opt("base", g.choice((-1.0, 2.0, 10.0, 0.5, 3.0)), -1.0),
        g.opt("scale", scale, 1.0),
        g.opt("shift", shift, 0.0),
    )
    return Layer("Log", [x], params, in_place=True)


def prelu(g: Gen) -> Layer:
    x, shared = g.any(2, 4), g.chance(30)
    blob = g.array(() if shared else x.shape[1:2])
    params = section("prelu_param", g.opt("channel_shared", shared, False))
    return Layer("PReLU", [x], params, blobs=[blob], in_place=True)


def eltwise(g: Gen) -> Layer:
    x = g.any()
    bottoms = [x, *(g.like(x) for _ in range(g.choice((1, 1, 1, 2, 3))))]
    operation = g.choice(("SUM", "SUM", "PROD", "MAX"))
    coeff = [g.dyadic() for _ in bottoms] if operation != "PROD" and g.chance(50) else []
    params = section(
        "eltwise_param",
        g.opt("operation", operation, "SUM"),
        "".join(f"coeff: {c!r} " for c in coeff),
        g.opt("stable_prod_grad", g.chance(50), True),
    )
    return Layer("Eltwise", bottoms, params, exact=operation == "MAX")


def _span(g: Gen, x: Blob) -> tuple[list[Blob], str, Array | None, tuple[int, ...]]:
    """Bottoms, fields, the learned blob, its shape, for Scale and Bias."""
    rank = len(x.shape)
    start = min(1, rank - 1) if g.chance(50) else g.int(0, rank - 1)
    end = g.int(start, rank)
    shape = x.shape[start:end]
    axis = g.axis(start, rank)
    if g.chance(35):
        other = g.bottom(lambda b: b.shape == shape and b is not x, lambda: g.array(shape))
        return [x, other], g.opt("axis", axis, 1) + g.opt("num_axes", g.int(-1, 4), 1), None, shape
    num_axes = -1 if end == rank and g.chance(40) else end - start
    fields = g.opt("axis", axis, 1) + g.opt("num_axes", num_axes, 1)
    return [x], fields, g.array(shape), shape


def scale(g: Gen) -> Layer:
    bottoms, fields, blob, shape = _span(g, g.any())
    bias = g.chance(40)
    blobs = ([] if blob is None else [blob]) + ([g.array(shape)] if bias else [])
    params = section("scale_param", fields, g.opt("bias_term", bias, False))
    return Layer("Scale", bottoms, params, blobs=blobs, in_place=True)


def bias(g: Gen) -> Layer:
    bottoms, fields, blob, _ = _span(g, g.any())
    params = section("bias_param", fields)
    return Layer("Bias", bottoms, params, blobs=[] if blob is None else [blob], in_place=True)


def batch_norm(g: Gen) -> Layer:
    x = g.any(2, 5)
    channels = x.shape[1]
    use = g.choice((None, None, True, False))
    blobs = [
        g.array((channels,)),
        g.array((channels,), "positive"),
        np.array([g.choice((1.0, 2.0, 0.5, 0.0, 1024.0))]),
    ]
    params = section(
        "batch_norm_param",
        "" if use is None else f"use_global_stats: {str(use).lower()} ",
        g.opt("eps", g.choice((1e-5, 0.0625, 0.001953125, 1e-5 if g.net.train else 0.0)), 1e-5),
        g.opt("moving_average_fraction", g.choice((0.999, 0.5)), 0.999),
    )
    return Layer("BatchNorm", [x], params, blobs=blobs, in_place=True, learned=False)


def mvn(g: Gen) -> Layer:
    params = section(
        "mvn_param",
        g.opt("normalize_variance", g.chance(70), True),
        g.opt("across_channels", g.chance(40), False),
        g.opt("eps", g.choice((1e-9, 0.0625, 0.5)), 1e-9),
    )
    return Layer("MVN", [g.any(1, 4)], params)


def softmax(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = g.int(0, rank - 1)
    params = section("softmax_param", g.opt("axis", g.axis(axis, rank), 1))
    return Layer("Softmax", [x], params, in_place=True)


def inner_product(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = min(1, rank - 1) if g.chance(70) else g.int(0, rank - 1)
    inputs, outputs = prod(x.shape[axis:]), g.int(1, 5)
    if inputs > 200:
        raise Unsuitable
    transpose, has_bias = g.chance(30), g.chance(70)
    weight = g.array((inputs, outputs) if transpose else (outputs, inputs)) / 4
    params = section(
        "inner_product_param",
        f"num_output: {outputs} ",
        g.opt("axis", g.axis(axis, rank), 1),
        g.opt("transpose", transpose, False),
        g.opt("bias_term", has_bias, True),
    )
    blobs = [weight, *([g.array((outputs,))] if has_bias else [])]
    return Layer("InnerProduct", [x], params, blobs=blobs, linear=True)


def embed(g: Gen) -> Layer:
    inputs, outputs, has_bias = g.int(1, 6), g.int(1, 4), g.chance(60)
    x = g.input(g.integers(g.shape(1, 3), 0, inputs))
    fields = f"input_dim: {inputs} num_output: {outputs} " + g.opt("bias_term", has_bias, True)
    blobs = [g.array((inputs, outputs)), *([g.array((outputs,))] if has_bias else [])]
    return Layer("Embed", [x], section("embed_param", fields), blobs=blobs, fixed=(0,), linear=True)


def _recurrent(g: Gen, type_: str) -> Layer:
    gates, states = (4, 2) if type_ == "LSTM" else (1, 1)
    x = g.bottom(
        lambda b: len(b.shape) in (3, 4) and prod(b.shape[2:]) <= 24,
        lambda: g.array((g.int(1, 4), g.int(1, 3), g.int(1, 4))),
    )
    steps, streams, features = x.shape[0], x.shape[1], prod(x.shape[2:])
    outputs = g.int(1, 3)
    cont = g.input(g.integers((steps, streams), 0, 2))
    bottoms, rows = [x, cont], gates * outputs
    blobs = [g.array((rows, features)) / 4, g.array((rows,)) / 2]
    if g.chance(30):
        static = g.bottom(
            lambda b: len(b.shape) >= 2 and b.shape[0] == streams and prod(b.shape[1:]) <= 24,
            lambda: g.array((streams, g.int(1, 4))),
        )
        bottoms.append(static)
        blobs.append(g.array((rows, prod(static.shape[1:]))) / 4)
    blobs.append(g.array((rows, outputs)) / 4)
    if type_ == "RNN":
        blobs += [g.array((outputs, outputs)) / 4, g.array((outputs,))]
    expose = g.chance(40)
    if expose:
        bottoms += [g.input(g.array((1, streams, outputs))) for _ in range(states)]
    fields = f"num_output: {outputs} " + g.opt("expose_hidden", expose, False)
    tops = 1 + states * expose
    return Layer(type_, bottoms, section("recurrent_param", fields), tops, blobs)


def lstm_unit(g: Gen) -> Layer:
    streams, width = g.int(1, 3), g.int(1, 3)
    bottoms = [g.input(g.array((1, streams, k * width))) for k in (1, 4)]
    return Layer("LSTMUnit", [*bottoms, g.input(g.integers((1, streams), 0, 2))], tops=2)


DRAWS = {
    "AbsVal": _unary("AbsVal", exact=True, in_place=False),
    "BNLL": _unary("BNLL"),
    "Sigmoid": _unary("Sigmoid"),
    "TanH": _unary("TanH"),
    "ReLU": relu,
    "Dropout": dropout,
    "ELU": elu,
    "Swish": swish,
    "Threshold": threshold,
    "Clip": clip,
    "Power": power,
    "Exp": exp,
    "Log": log,
    "PReLU": prelu,
    "Eltwise": eltwise,
    "Scale": scale,
    "Bias": bias,
    "BatchNorm": batch_norm,
    "MVN": mvn,
    "Softmax": softmax,
    "InnerProduct": inner_product,
    "Embed": embed,
    "LSTM": lambda g: _recurrent(g, "LSTM"),
    "RNN": lambda g: _recurrent(g, "RNN"),
    "LSTMUnit": lstm_unit,
}
