"""Which images, which outputs, and files that are whole or absent."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netcompile.analyser import analyse
from netcompile.analysis.outputs import output_kinds
from netcompile.data.pictures import pictures
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.files.npz import made_by_npz, write_npz
from netcompile.files.whole import PARTIAL, claimed
from netcompile.runtime.outputs import Outputs
from netcompile.runtime.processes import Processes
from netcompile.tasks.inference import Read, batches
from netcompile.tasks.segmentation.score_maps import grey, labels_of, probabilities


def wait() -> None:
    """A process alone waits for nobody."""


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(path)


# --- sources


def names(*arguments):
    return [picture.name for picture in pictures([str(argument) for argument in arguments])]


def test_folders_files_and_globs(tmp_path):
    touch(tmp_path, "a/x.jpg", "a/sub/y.png", "b.bmp", "c.bmp")
    (tmp_path / "a/notes.txt").write_text("no image")
    touch(tmp_path, "a/.hidden.png", "a/.cache/z.png")
    assert names(tmp_path / "a") == ["x", os.path.join("sub", "y")]
    assert names(tmp_path / "b.bmp") == ["b"]
    assert names(tmp_path / "?.bmp") == ["b", "c"]
    assert sorted(names(tmp_path / "*")) == ["b", "c", os.path.join("sub", "y"), "x"]
    assert names(tmp_path / "b.bmp", tmp_path / "?.bmp", tmp_path / "a/../b.bmp") == ["b", "c"]


def test_equal_names_keep_their_extensions(tmp_path):
    touch(tmp_path, "x.png", "x.jpg", "y.jpg")
    assert sorted(names(tmp_path)) == ["x_jpg", "x_png", "y"]


def test_outputs_that_would_collide_are_refused(tmp_path):
    touch(tmp_path, "a/x.png", "b/x.png")
    assert names(tmp_path) == [os.path.join("a", "x"), os.path.join("b", "x")]
    with pytest.raises(NetError) as caught:
        names(tmp_path / "a", tmp_path / "b")
    a, b = tmp_path / "a/x.png", tmp_path / "b/x.png"
    assert [d.what for d in caught.value.diagnostics] == [f"{a} and {b} would have the same outputs, 'x_png'"]


def test_nothing_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NetError) as caught:
        names(tmp_path / "empty", tmp_path / "*.jpg", tmp_path / "no.jpg")
    assert [d.code for d in caught.value.diagnostics] == ["no-images", "no-images", "no-such-file"]


# --- files


def test_a_file_appears_when_it_is_complete(tmp_path):
    with claimed(str(tmp_path), True, wait):
        out = Outputs(str(tmp_path), "s")
        path = out.path("labels", "deep/x.png")
        seen = []

        def content(file):
            file.write(b"half")
            file.flush()
            seen.append(sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and p.suffix == ".png"))
            file.write(b" whole")

        out.write(path, content)
        assert seen == [[]]
        assert Path(path).read_bytes() == b"half whole"

        def fails(file):
            file.write(b"other")
            raise RuntimeError("stopped")

        with pytest.raises(RuntimeError, match="stopped"):
            out.write(path, fails)
        assert Path(path).read_bytes() == b"half whole"
        assert os.listdir(tmp_path / PARTIAL) == []
    assert not (tmp_path / PARTIAL).exists()


def test_without_unnamed_files(tmp_path, monkeypatch):
    monkeypatch.setattr("netcompile.files.whole._unnamed", lambda folder: None)
    with claimed(str(tmp_path), True, wait):
        out = Outputs(str(tmp_path), "s")
        out.write(str(tmp_path / "x"), lambda file: file.write(b"abc") and None)
        assert (tmp_path / "x").read_bytes() == b"abc"
        assert os.listdir(tmp_path / PARTIAL) == []


def test_leftovers_of_a_killed_run_go(tmp_path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / "0-1-1").write_bytes(b"half")
    with claimed(str(tmp_path), True, wait):
        assert os.listdir(tmp_path / PARTIAL) == []


def test_two_runs_do_not_share_a_folder(tmp_path):
    with claimed(str(tmp_path), True, wait), pytest.raises(NetError) as caught, claimed(str(tmp_path), True, wait):
        pass
    assert [d.code for d in caught.value.diagnostics] == ["output-busy"]


def test_an_archive_says_what_made_it(tmp_path):
    path = tmp_path / "x.npz"
    with path.open("wb") as file:
        write_npz(file, {"prob": np.eye(3)}, "abc", compressed=True)
    assert made_by_npz(str(path)) == "abc"
    with np.load(path) as archive:
        assert np.array_equal(archive["prob"], np.eye(3))
    again = io.BytesIO()
    write_npz(again, {"prob": np.eye(3)}, "abc", compressed=True)
    assert again.getvalue() == path.read_bytes()
    whole = path.read_bytes()
    for end in (0, 10, len(whole) // 2, len(whole) - 20, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert made_by_npz(str(path)) != "abc"


# --- batches


@given(st.lists(st.sampled_from([None, (2, 3), (3, 2), (4, 4)]), max_size=60), st.integers(1, 5))
def test_every_image_is_in_one_batch(sizes, size):
    reads = [
        Read(i, None) if s is None else Read(i, np.zeros((*s, 3), np.uint8), blobs=(np.zeros((3, *s), np.float32),))
        for i, s in enumerate(sizes)
    ]
    found = list(batches(iter(reads), size))
    assert sorted(image.key for group in found for image in group) == list(range(len(reads)))
    for group in found:
        assert 1 <= len(group) <= size
        assert len({image.rgb.shape if image.rgb is not None else None for image in group}) == 1


@given(st.integers(0, 50), st.integers(1, 7))
def test_processes_share_without_loss(items, count):
    shares = [list(Processes(rank, count).share(items)) for rank in range(count)]
    assert sorted(index for share in shares for index in share) == list(range(items))


def test_labels_and_probabilities():
    score = np.array([[[1.0, 5.0]], [[2.0, 5.0]], [[0.0, 1.0]]], np.float32)
    assert labels_of(score).tolist() == [[1, 0]]  # the first of equals
    prob = probabilities(score)
    expected = np.exp(score) / np.exp(score).sum(0)
    assert np.allclose(prob, expected, rtol=1e-6)
    assert np.array_equal(probabilities(prob), prob)
    assert labels_of(np.array([[7.0, 2.0]])).tolist() == [[7, 2]]
    for shape in ((300, 2, 2), (5,)):
        with pytest.raises(NetError):
            labels_of(np.zeros(shape))


def test_one_channel_is_how_likely_something_is():
    logits = np.array([[[-2.0, 0.0, 3.0]]], np.float32)
    likely = 1 / (1 + np.exp(-logits))
    assert np.allclose(probabilities(logits), likely, rtol=1e-6)
    assert labels_of(logits).tolist() == [[0, 0, 1]]
    assert grey(logits).tolist() == np.rint(likely[0] * 255).tolist()
    assert np.array_equal(probabilities(likely, "probabilities"), likely.astype(np.float32))
    assert labels_of(likely, "probabilities").tolist() == [[0, 0, 1]]
    assert labels_of(np.array([[[4.0, 7.0]]]), "labels").tolist() == [[4, 7]]
    assert probabilities(np.array([[[-1e9, 1e9]]], np.float32)).tolist() == [[[0, 1]]]


KINDS = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 2, 4, 4] } } }
layer { name: "a" type: "Sigmoid" bottom: "x" top: "a" }
layer { name: "b" type: "Crop" bottom: "a" bottom: "x" top: "b" crop_param { offset: 0 } }
layer { name: "c" type: "ArgMax" bottom: "x" top: "c" argmax_param { axis: 1 } }
layer { name: "d" type: "ReLU" bottom: "a" top: "d" }
layer { name: "e" type: "Softmax" bottom: "x" top: "e" }
layer { name: "r" type: "ReLU" bottom: "x" top: "r" }
"""


def test_what_outputs_hold():
    kinds = output_kinds(analyse(Source(KINDS)).graph)
    likely = dict.fromkeys("abde", "probabilities")
    assert kinds == {"x": "scores", "c": "labels", "r": "features", **likely}
