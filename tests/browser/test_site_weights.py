"""Weights dropped on the playground: matched, counted, drawn and converted as on the command line."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from netcompile.analyser import analyse
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.writer import Blob, Layer, write_caffemodel
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.weights import weight_plan
from netcompile.zoo.find import bundled_folder
from tests.browser.test_site import command, loaded, page  # noqa: F401
from tests.caffemodel import encode as e
from tests.conftest import REPOSITORY

PANEL = "document.querySelector('#panel-weights')"
CELLS = (
    "[...document.querySelectorAll('.weights tbody tr')].map(row => [...row.children].map(cell => cell.textContent))"
)
WEIGHTS = REPOSITORY / "weights"
BY_HAND = "500 MB, minutes: NETCOMPILE_LARGE=1 runs it, with -s to see the figures"
OTHER = "shapes-classifier.caffemodel"
EVIL = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def weighed(page, tmp_path):  # noqa: F811
    """The page with its tab of weights open; downloads go to a folder of the test."""
    page.browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.tab("check")
    page.tab("weights")
    yield page
    for name in ("alone", "allow_missing"):
        page.browser.evaluate(f"document.querySelector('#weights-options [name={name}]').checked = false")


def open_net(page, name: str) -> None:  # noqa: F811
    page.open(name)
    page.tab("weights")


def drop(page, path: Path) -> None:  # noqa: F811
    """Drop a file, and wait until its numbers are counted, or it is refused."""
    page.browser.evaluate(f"{PANEL}.dataset.told = '', {PANEL}.querySelector('.refused').hidden = true")
    page.drop(path)
    page.until(f"{PANEL}.dataset.told === 'all' || !{PANEL}.querySelector('.refused').hidden")


def saved(page, folder: Path, name: str) -> bytes:  # noqa: F811
    page.browser.evaluate("document.querySelector('#weights-save').click()")
    path = folder / name
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, list(folder.iterdir())
        page.browser.evaluate("0")
        time.sleep(0.05)
    return path.read_bytes()


def rows(page) -> list[list[str]]:  # noqa: F811
    return list(page.browser.evaluate(CELLS))


@pytest.mark.parametrize("net", ["fcn8s", "classifier", "ssd"])
def test_a_caffemodel_is_matched_and_converted_as_by_the_command(weighed, command, tmp_path, net):  # noqa: F811
    definition = f"shapes-{net}/deploy.prototxt"
    open_net(weighed, definition)
    drop(weighed, WEIGHTS / f"shapes-{net}.caffemodel")
    told = rows(weighed)
    assert {row[3] for row in told} == {"fits"}
    assert all(row[5:] and all(row[5:]) for row in told)
    assert weighed.count(".weights svg.histogram") == len(told)
    assert weighed.count(".detail canvas.kernels") == 1
    for level in (1, 0):
        weighed.browser.evaluate(f"{PANEL}.dataset.told = ''")
        weighed.browser.enter("#weights-options [name=level]", level)
        weighed.until(f"{PANEL}.dataset.told === 'all'")
        out = tmp_path / f"{level}.out"
        name = f"prototxt/{definition}"
        command(
            "convert-weights",
            WEIGHTS / f"shapes-{net}.caffemodel",
            "--net",
            Path(bundled_folder(), name),
            "-o",
            out,
            "-O",
            level,
        )
        target = tmp_path / f"shapes-{net}.safetensors"
        target.unlink(missing_ok=True)
        assert saved(weighed, tmp_path, target.name) == out.read_bytes()
    weighed.browser.enter("#weights-options [name=level]", 1)


def test_statistics_are_the_files(weighed):
    open_net(weighed, "shapes-fcn8s/deploy.prototxt")
    drop(weighed, WEIGHTS / "shapes-fcn8s.caffemodel")
    model = read_caffemodel(WEIGHTS / "shapes-fcn8s.caffemodel")
    values = {f"{layer.name}.{i}": blob.array() for layer in model.layers for i, blob in enumerate(layer.blobs)}
    told = {row[0].split()[0]: row[5:] for row in rows(weighed)}
    assert told.keys() == values.keys()
    for name, cells in told.items():
        numbers = values[name].astype(np.float64)
        expected = [numbers.min(), numbers.max(), numbers.mean(), numbers.std(), 100 * (numbers == 0).mean()]
        found = [float(cell.rstrip("%")) for cell in cells]
        assert found == pytest.approx(expected, rel=6e-3, abs=1e-12), name


def test_a_file_of_another_net_is_refused_with_the_commands_words(weighed, command, tmp_path, monkeypatch):  # noqa: F811
    open_net(weighed, "shapes-fcn8s/deploy.prototxt")
    drop(weighed, WEIGHTS / OTHER)
    monkeypatch.chdir(tmp_path)
    Path("shapes-fcn8s").mkdir()
    for name, folder in (("shapes-fcn8s/deploy.prototxt", Path(bundled_folder(), "prototxt")), (OTHER, WEIGHTS)):
        Path(name).write_bytes((folder / name).read_bytes())
    _, said = command("convert-weights", OTHER, "--net", "shapes-fcn8s/deploy.prototxt")
    assert weighed.of("#weights details pre") == said
    assert "does not fit the net" in weighed.of("#weights .verdict")
    assert {row[3] for row in rows(weighed)} > {"missing"}
    assert weighed.browser.evaluate("document.querySelector('#weights-save').disabled")
    weighed.browser.click("#weights-options [name=alone]")
    weighed.until("!document.querySelector('#weights-save').disabled")
    assert {row[3] for row in rows(weighed)} == {"kept"}


def test_the_match_follows_the_net(weighed):
    open_net(weighed, "shapes-fcn8s/deploy.prototxt")
    drop(weighed, WEIGHTS / "shapes-fcn8s.caffemodel")
    weighed.browser.evaluate(f"{PANEL}.dataset.told = ''")
    open_net(weighed, "shapes-classifier/deploy.prototxt")
    weighed.until("document.querySelector('#weights .verdict').textContent.includes('does not fit the net')")
    open_net(weighed, "shapes-fcn8s/deploy.prototxt")
    weighed.until("document.querySelector('#weights .verdict').textContent.includes('39 tensors of ShapesFcn8s')")


def test_a_mean_is_drawn_and_converted(weighed, command, tmp_path):  # noqa: F811
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(e.legacy(1, 3, 8, 9) + e.chunk(5, e.floats(range(216))))
    command("convert-weights", path, "-o", tmp_path / "out")
    drop(weighed, path)
    assert weighed.count(".detail canvas.kernels") == 1
    corner = "[c.width, c.height, ...c.getContext('2d').getImageData(0, 0, 1, 1).data]"
    drawn = weighed.browser.evaluate(f"(c => {corner})(document.querySelector('.kernels'))")
    assert drawn == [9, 8, 171, 85, 0, 255]  # blue, green and red, in this order in the file
    assert saved(weighed, tmp_path, "mean.safetensors") == (tmp_path / "out").read_bytes()


HOSTILE = {
    "truncated": lambda: (WEIGHTS / "shapes-fcn8s.caffemodel").read_bytes()[:-100],
    "empty": lambda: b"",
    "a web page": lambda: b"<!doctype html><script>alert(1)</script>",
    "HDF5's first bytes": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_are_no_weights(weighed, command, tmp_path, monkeypatch, kind):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    Path("w.caffemodel").write_bytes(HOSTILE[kind]())
    drop(weighed, tmp_path / "w.caffemodel")
    said = weighed.of("#panel-weights .refused pre")
    assert said == command("convert-weights", "w.caffemodel")[1]
    assert weighed.browser.evaluate("document.querySelector('#weights-save').disabled")


def test_a_file_that_is_changed_after_it_was_dropped(weighed, tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(e.net(e.v2("a", "X", e.blob((2,), [1, 2]))))
    weighed.browser.evaluate("document.querySelector('#weights-options [name=alone]').checked = true")
    drop(weighed, path)
    path.write_bytes(e.net(e.v2("a", "X", e.blob((3,), [1, 2, 3]))))
    os.utime(path, (1, 1))
    weighed.browser.evaluate("document.querySelector('#weights-save').click()")
    weighed.until(f"!{PANEL}.querySelector('.refused').hidden")
    said = "w.caffemodel: the file was changed or removed after it was dropped: drop it again"
    assert weighed.of("#panel-weights .refused pre") == said
    assert not (tmp_path / "w.safetensors").exists()


def test_hostile_names_stay_text(weighed, tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(e.net(e.v2(EVIL, "X", e.blob((1, 1, 2, 2), [1, float("nan"), 3, 4]))))
    weighed.browser.evaluate("document.querySelector('#weights-options [name=alone]').checked = true")
    drop(weighed, path)
    assert weighed.count("#weights img") == 0
    (row,) = rows(weighed)
    assert row[0] == f"{EVIL[:-1]}\\u202e.0"
    assert row[3] == "not-finite"
    assert "1 NaN" in row[4]


class Memory:
    """Looks again and again at the memory that the browser's processes have: what was most of it."""

    def __init__(self, browser) -> None:
        self.group = browser.process
        self.before = self.most = self.now()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def now(self) -> int:
        found = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getpgid(int(folder.name)) == self.group:
                    found += int((folder / "smaps_rollup").read_text().split("Pss:")[1].split()[0]) << 10
        return found

    def look(self) -> None:
        while not self.ended.wait(0.1):
            self.most = max(self.most, self.now())

    def end(self) -> None:
        self.ended.set()
        self.thread.join()


def shapes_of(definition: Path) -> list[tuple[str, tuple[tuple[int, ...], ...]]]:
    """The layers of a net that have blobs, and the shapes of these."""
    analysed = analyse(Source(definition.read_text(), str(definition)))
    plan = weight_plan(analysed.graph, compile_net(analysed, 1, comments=False))
    return [(spec.name, spec.blobs) for spec in plan.layers or () if spec.blobs]


def numbers(random: np.random.Generator, shape: tuple[int, ...]) -> Blob:
    return Blob(shape, random.standard_normal(shape, np.float32).tobytes())


@pytest.mark.skipif("NETCOMPILE_LARGE" not in os.environ, reason=BY_HAND)
def test_500_megabytes_in_less_than_one_gigabyte(weighed, command, tmp_path):  # noqa: F811
    """VGG-16 with random weights."""
    definition = Path(bundled_folder(), "prototxt", "vgg16", "deploy.prototxt")
    random = np.random.default_rng(0)
    layers = [Layer(name, "", [numbers(random, shape) for shape in shapes]) for name, shapes in shapes_of(definition)]
    path = tmp_path / "vgg16.caffemodel"
    write_caffemodel(path, "vgg16", layers)
    del layers
    out = tmp_path / "out"
    command("convert-weights", path, "--net", definition, "-o", out)
    open_net(weighed, "vgg16/deploy.prototxt")
    watch = Memory(weighed.browser)
    begun = time.monotonic()
    drop(weighed, path)
    counted = time.monotonic() - begun
    data = saved(weighed, tmp_path, "vgg16.safetensors")
    watch.end()
    print(f"\n{path.stat().st_size / 1e6:.0f} MB: counted in {counted:.1f} s, all in {time.monotonic() - begun:.1f} s;")
    print(
        f"the browser's memory rose from {watch.before / 1e6:.0f} to {watch.most / 1e6:.0f} MB (Pss of all processes)"
    )
    assert data == out.read_bytes()
    assert watch.most - watch.before < 1e9
