"""Draws losses and Accuracy, their labels with them."""

from __future__ import annotations

from math import prod

from tests.fuzz.draw import Blob, Gen, Layer, section


def labels(g: Gen, shape: tuple[int, ...], classes: int, ignore: int | None) -> Blob:
    values = g.integers(shape, 0, classes)
    if ignore is not None and g.chance(80):
        values[g.rng().random(shape) < 0.3] = ignore
    return g.input(values)


def loss_param(g: Gen, ignore: int | None, old: bool = True) -> str:
    fields = "" if ignore is None else f"ignore_label: {ignore} "
    modes = ("", "", "VALID", "FULL", "BATCH_SIZE", "NONE")
    if mode := g.choice(modes):
        fields += f"normalization: {mode} "
    if old and g.chance(25):
        fields += f"normalize: {g.choice(('true', 'false'))} "
    return section("loss_param", fields)


def scores(g: Gen) -> tuple[Blob, int, tuple[int, ...]]:
    """Scores, the axis of their classes, the shape of their labels."""
    x = g.any()
    rank = len(x.shape)
    axis = min(1, rank - 1) if g.chance(60) else g.int(0, rank - 1)
    return x, axis, (*x.shape[:axis], *x.shape[axis + 1 :])


def class_loss(g: Gen) -> Layer:
    """The label's first axis must be the scores': Caffe's LossLayer asks for that."""
    x, axis, positions = scores(g)
    rank, batch = len(x.shape), x.shape[0]
    shapes = [(batch, prod(positions) // batch)] if prod(positions) % batch == 0 else []
    if positions[:1] == (batch,):
        shapes = [positions, positions, *shapes, (*positions[:1], 1, *positions[1:])]
    if prod(positions) == batch:
        shapes += [(batch,), (batch, 1, 1, 1)]
    shape = g.choice(shapes) if shapes else None
    if shape is None:
        return accuracy(g)
    ignore = g.choice((None, None, 255, -1, 0))
    label = labels(g, shape, x.shape[axis], ignore)
    field = g.opt("axis", g.axis(axis, rank), 1)
    if g.chance(70):
        params = section("softmax_param", field) + " " + loss_param(g, ignore)
        return Layer("SoftmaxWithLoss", [x, label], params, fixed=(1,), auto_top=True)
    classes = x.shape[axis]
    matrix = g.bottom(lambda b: prod(b.shape) == classes**2, lambda: g.array((1, 1, classes, classes)))
    tops = 1 + g.chance(40)
    params = section("infogain_loss_param", field) + " " + loss_param(g, ignore, old=False)
    params += " loss_weight: 1 loss_weight: 0" * (tops - 1)
    return Layer("InfogainLoss", [x, label, matrix], params, tops, fixed=(1,), auto_top=True)


def accuracy(g: Gen) -> Layer:
    x, axis, positions = scores(g)
    rank, classes = len(x.shape), x.shape[axis]
    ignore = g.choice((None, None, 255, -1, 0))
    label = labels(g, g.choice((positions, positions, (prod(positions),))), classes, ignore)
    fields = g.opt("axis", g.axis(axis, rank), 1) + g.opt("top_k", g.int(1, classes), 1)
    fields += "" if ignore is None else f"ignore_label: {ignore} "
    params = section("accuracy_param", fields)
    return Layer("Accuracy", [x, label], params, 1 + g.chance(40), exact=True, fixed=(1,))


def multinomial(g: Gen) -> Layer:
    x = g.bottom(
        lambda b: 1 <= len(b.shape) <= 4 and bool((b.value > 0).all()),
        lambda: g.array(g.shape(2, 4), "positive"),
    )
    n = x.shape[0]
    label = labels(g, g.choice(((n,), (n, 1), (n, 1, 1, 1))), prod(x.shape[1:]), None)
    return Layer("MultinomialLogisticLoss", [x, label], fixed=(1,), auto_top=True)


def hinge(g: Gen) -> Layer:
    x = g.any(1, 4)
    n = x.shape[0]
    label = labels(g, g.choice(((n,), (n, 1), (n, 1, 1, 1))), prod(x.shape[1:]), None)
    params = section("hinge_loss_param", g.opt("norm", g.choice(("L1", "L2")), "L1"))
    return Layer("HingeLoss", [x, label], params, fixed=(1,), auto_top=True)


def sigmoid_loss(g: Gen) -> Layer:
    x = g.any()
    n = x.shape[0]
    ignore = g.choice((None, None, 1, -1))
    target = g.integers(x.shape, -1 if ignore == -1 else 0, 2) if g.chance(60) else g.array(x.shape)
    if g.chance(30):
        target = target.reshape(n, -1)
    params = loss_param(g, ignore)
    return Layer("SigmoidCrossEntropyLoss", [x, g.input(target)], params, fixed=(1,), auto_top=True)


def euclidean(g: Gen) -> Layer:
    x = g.any(1, 4)
    n, rest = x.shape[0], prod(x.shape[1:])
    other = g.bottom(
        lambda b: b.shape[:1] == (n,) and prod(b.shape[1:]) == rest,
        lambda: g.array(g.choice((x.shape, (n, rest)))),
    )
    return Layer("EuclideanLoss", [x, other], auto_top=True)


def contrastive(g: Gen) -> Layer:
    n, c = g.int(1, 4), g.int(1, 4)
    shape = g.choice(((n, c), (n, c, 1, 1)))
    a, b = (g.bottom(lambda k: k.shape == shape, lambda: g.array(shape)) for _ in range(2))
    similar = g.input(g.integers(g.choice(((n,), (n, 1), (n, 1, 1, 1))), 0, 2))
    fields = g.opt("margin", g.choice((1.0, 2.0, 8.0, 0.5)), 1.0) + g.opt("legacy_version", g.chance(40), False)
    params = section("contrastive_loss_param", fields)
    return Layer("ContrastiveLoss", [a, b, similar], params, fixed=(2,), auto_top=True)


DRAWS = {
    "SoftmaxWithLoss": class_loss,
    "Accuracy": accuracy,
    "MultinomialLogisticLoss": multinomial,
    "HingeLoss": hinge,
    "SigmoidCrossEntropyLoss": sigmoid_loss,
    "EuclideanLoss": euclidean,
    "ContrastiveLoss": contrastive,
}
