"""Command lines that take every file of `payloads.write_files` through every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.terminal.payloads import PAYLOADS, WRONG, Strings

Line = list[str]


def light(s: Strings) -> Iterator[Line]:
    """Those that compute no tensor."""
    f = s.file
    for net in ("net.prototxt", "labels.prototxt", "old.prototxt"):
        for command in ("check", "offsets", "inspect", "upgrade", "repad"):
            yield [command, f(net)]
    for form in ("--json", "--explain", "--html"):
        yield ["offsets", f("net.prototxt"), form]
    for form in ("--json", "--dot", "--graphml"):
        yield ["inspect", f("net.prototxt"), form]
    yield ["inspect", f("net.prototxt"), "--input", f"{s('x')}=1x3x20x20"]
    yield ["inspect", f("net.prototxt"), "--input", f"{s('nothing')}=1x3x20x20"]
    yield ["check", f("net.prototxt"), "--json"]
    yield ["check", f("net.prototxt"), "--diff"]
    yield ["check", f("net.prototxt"), "--against", f("labels.prototxt")]
    yield ["offsets", f("net.prototxt"), "--pad", f"{s('conv')}=8"]
    yield ["repad", f("net.prototxt"), "--layer", s("conv"), "-o", f("out.prototxt")]
    yield ["repad", f("net.prototxt"), "--layer", s("no layer")]
    names = [f"wrong{i}.prototxt" for i in range(len(WRONG))]
    for name in (*names, "raw.prototxt", "binary.prototxt", "gone", "images", "model.caffemodel", "solver.prototxt"):
        yield ["check", f(name)]
    for name in names:
        yield ["inspect", f(name), "--allow-unknown", "--with-loss"]
    for payload in PAYLOADS:
        argument = payload.replace("\0", "")
        yield ["explain", f"x{argument}"]
        yield [f"x{argument}"]
        yield ["check", f"--x{argument}"]
        yield ["check", f("net.prototxt"), "--phase", argument]
        yield ["inspect", f("net.prototxt"), "--input", argument]


def heavy(s: Strings) -> Iterator[Line]:
    """Those that import torch or write weights."""
    f = s.file
    weights = ["--weights", f("model.caffemodel")]
    for level in "012":
        yield ["build", f("net.prototxt"), *weights, "-O", level, "-v", "-o", f(f"built{level}")]
    yield ["build", f("net.prototxt"), "--output", s("nothing")]
    yield ["build", f("net.prototxt"), "--classes", f("classes.txt"), "-o", f("built")]
    for name in ("torn.caffemodel", "shape.caffemodel", "model.caffemodel.h5", "model.safetensors", "in.npz"):
        yield ["build", f("net.prototxt"), "--weights", f(name), "-o", f("unbuilt")]
        yield ["convert-weights", f(name), "-o", f"{f(name)}.st"]
    yield ["convert-weights", f("model.caffemodel"), "--net", f("net.prototxt"), "-o", f("out.st")]
    yield ["convert-weights", "--manifest", f("manifest.toml")]
    yield ["convert-weights", "--manifest", f("wrong.toml")]
    inputs = ["--inputs", f("in.npz"), "--out", f("out.npz")]
    yield ["run", f("net.prototxt"), *weights, *inputs, "--blobs", "all"]
    yield ["run", f("net.prototxt"), *weights, *inputs, "--blobs", s("nothing")]
    yield ["run", f("net.prototxt"), *weights, "--inputs", f("bad.npz"), "--out", f("out.npz")]
    yield ["run", f("net.prototxt"), *weights, "--inputs", f("gone.npz"), "--out", f("no/folder")]
    yield ["verify", f("net.prototxt"), *weights, "--self", "--html", f("verify.html")]
    yield ["verify", f("net.prototxt"), *weights, "--inputs", f("in.npz"), "--reference", f("out.npz")]
    yield ["verify", f("net.prototxt"), "--reference", f("bad.npz")]
    yield ["verify", f("build"), "--reference", f("out.npz")]
    yield ["time", f("net.prototxt"), "--iterations", "1"]
    yield ["tune", f("net.prototxt"), "--seconds", "0"]
    yield ["surgery", "convolutionalise", f("net.prototxt"), *weights, "-o", f("conv.prototxt")]
    yield ["surgery", "transplant", f("net.prototxt"), *weights, "-o", f("new.safetensors")]
    yield ["surgery", "transplant", f("net.prototxt"), *weights, "-o", f("new.odd")]
    yield ["surgery", "interp", f("net.prototxt"), *weights, "--layers", s("up"), "-o", f("new.caffemodel")]
    yield ["surgery", "expand-score", f("net.prototxt"), *weights, "--layer", s("up"), "-o", f("new.caffemodel")]
    shared = ["--palette", "voc"]
    yield ["predict", f("net.prototxt"), *weights, f("images"), "-o", f("predicted"), *shared]
    yield ["predict", f("net.prototxt"), *weights, s("nothing*"), "-o", f("predicted")]
    yield ["predict", f("build"), f("images"), "-o", f("predicted")]
    yield ["predict", f("built1"), f("images"), "-o", f("predicted")]
    data = ["--data", f("list.txt"), "--classes", f("classes.txt")]
    yield ["evaluate", f("net.prototxt"), *weights, *data, "-o", f("scored")]
    yield ["evaluate", f("net.prototxt"), *weights, *data, "--json"]
    yield ["evaluate", f("net.prototxt"), *weights, "--data", f("absent.txt")]
    yield ["train", f("solver.prototxt"), "--data", f("batches.npz"), "-o", f("trained")]
    yield ["train", f("solver.prototxt"), "--data", f("batches.npz"), "-o", f("trained"), *weights]
    yield ["train", f("prefix.prototxt"), "--data", f("batches.npz"), "-o", f("trained")]
    prefix = ["--snapshot-prefix", f("user's")]
    yield ["train", f("solver.prototxt"), "--data", f("batches.npz"), "-o", f("trained"), *prefix]
    for name in ("fedsolver", "h5solver", "oddsolver", "net"):
        yield ["train", f(f"{name}.prototxt"), "-o", f("untrained")]
    yield ["train", f("solver.prototxt"), "--resume", f("snapshot.json")]
    yield ["spec", f("net.py")]


def texts(folder: Path) -> Iterator[Path]:
    """Files for people that the commands wrote."""
    for pattern in ("**/*.html", "**/*.json", "built*/*.py", "conv*", "out.prototxt*"):
        yield from (path for path in folder.glob(pattern) if path.is_file() and path.stat().st_size < 1 << 22)
