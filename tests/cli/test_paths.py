"""What a file names is written below the output folder and read from files alone, whatever command follows it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from netcompile.diagnostics.diagnostic import NetError
from netcompile.runtime.loaded import load_build
from netcompile.surgery import write_weights

NET = """\
name: "small"
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: [1, 1, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot: 1 random_seed: 1\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with files of every kind; beside it what must stay as it is, a pipe in it included."""
    folder = tmp_path / "outer" / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    Path("net.prototxt").write_text(NET)
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(2, 1, 3, 8, 8)), "label": rng.integers(0, 3, (2, 1, 1, 8, 8))}
    np.savez("batches.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    write_weights("small.caffemodel", {"conv": (np.ones((3, 3, 1, 1), np.float32), np.zeros(3, np.float32))}, "small")
    os.mkdir("images")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("images/a.png")
    os.mkfifo("pipe")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("kept")
    os.symlink(elsewhere, "link")
    os.symlink(elsewhere / "mine", "file-link")
    yield folder
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]
    assert (elsewhere / "mine").read_text() == "kept"
    assert sorted(path.name for path in (tmp_path / "outer").iterdir()) == ["here"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "outer"]


def solver(prefix: str | None = None, **fields: str) -> str:
    given = {"snapshot_prefix": json.dumps(prefix) if prefix is not None else None, **fields}
    Path("solver.prototxt").write_text(SOLVER + "".join(f"{name}: {value}\n" for name, value in given.items() if value))
    return "solver.prototxt"


PREFIXES = [
    "../x",
    "../../x",
    "a/../../x",
    "/tmp/netcompile-no/x",
    "link/x",
    "..",
    "x" * 201,
    "link/deep/x",
    "\\000x",
    "\\033[31mx",
]
PREFIXES += ["\\342\\200\\256x", "\\nx"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_snapshot_prefix_that_leads_out_is_refused(here, netcompile, prefix):
    """Before anything is computed, with its place and the option that allows it."""
    os.mkdir("out")
    os.symlink(here.parent.parent / "elsewhere", "out/link")
    name = solver(**{"snapshot_prefix": f'"{prefix}"'})
    found = netcompile("train", name, "--data", "batches.npz", "-o", "out")
    assert found.code == 2
    assert "error[path-outside]: snapshot_prefix '" in found.err
    assert found.err.startswith("solver.prototxt:2:18: ")
    assert "fix: --snapshot-prefix PREFIX says where, whatever it is" in found.err
    assert os.listdir("out") == ["link"]


@pytest.mark.parametrize("prefix", ["snap", "a/b/snap", "./snap", "a/../snap", "~/snap", "é/ü", "deep/", ""])
def test_other_prefixes_stay_below_the_folder(here, netcompile, prefix):
    found = netcompile("train", solver(prefix), "--data", "batches.npz", "-o", "out")
    assert found.code == 0, found.err
    made = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.json"))
    assert len(made) == 3


def test_an_absolute_prefix_below_the_folder_is_taken(here, netcompile):
    found = netcompile("train", solver(str(here / "out" / "snap")), "--data", "batches.npz", "-o", "out")
    assert (found.code, Path("out/snap_iter_2.json").exists()) == (0, True), found.err


def test_the_user_says_where_snapshots_go(here, netcompile):
    line = ("train", solver("/nowhere/x"), "--data", "batches.npz", "-o", "out", "--snapshot-prefix", "../here/mine/s")
    found = netcompile(*line)
    assert found.code == 0, found.err
    assert sorted(os.listdir("mine"))[0] == "s_iter_1.json"
    assert netcompile("train", "solver.prototxt", "--data", "batches.npz", "-o", "out", "--snapshot-prefix", "s",
                      "--resume", "mine/s_iter_1.json").code == 0  # fmt: skip


def test_a_prefix_of_the_users_alone_asks_for_the_last_snapshot(here, netcompile):
    Path("solver.prototxt").write_text(SOLVER.replace("snapshot: 1", ""))
    line = ("train", "solver.prototxt", "--data", "batches.npz", "-o", "out", "--snapshot-prefix", "mine/s")
    assert netcompile(*line).code == 0
    assert "s_iter_2.json" in os.listdir("mine")


def test_links_in_the_output_folder_are_replaced(here, netcompile):
    os.mkdir("out")
    for name in ("final.safetensors", "log.json", "snap_iter_1.json", "snap_iter_2.safetensors"):
        os.symlink(here / "file-link", f"out/{name}")
    assert netcompile("train", solver("snap"), "--data", "batches.npz", "-o", "out").code == 0
    assert not any(path.is_symlink() for path in Path("out").iterdir())


def test_a_net_does_not_choose_a_folder_through_a_link(here, netcompile):
    os.symlink("link", "small")
    found = netcompile("build", "net.prototxt")
    assert (found.code, "error[path-outside]: 'small' is a link that leads elsewhere" in found.err) == (2, True)
    os.remove("small")
    os.mkdir("real")
    os.symlink("real", "small")
    assert netcompile("build", "net.prototxt").code == 0
    assert netcompile("build", "net.prototxt", "-o", "small").code == 0
    assert "small.py" in os.listdir("real")


def test_predictions_do_not_go_through_a_link(here, netcompile):
    os.mkdir("out")
    os.symlink(here / "link", "out/labels")
    found = netcompile("predict", "net.prototxt", "--weights", "small.caffemodel", "images", "-o", "out")
    assert (found.code, "error[path-outside]" in found.err) == (2, True), found.err
    os.remove("out/labels")
    os.mkdir("out/labels")
    os.symlink(here / "file-link", "out/labels/a.png")
    assert netcompile("predict", "net.prototxt", "--weights", "small.caffemodel", "images", "-o", "out").code == 0
    assert not os.path.islink("out/labels/a.png")


def test_a_target_named_after_the_input_is_no_link(here, netcompile):
    os.symlink("file-link", "small.safetensors")
    found = netcompile("convert-weights", "small.caffemodel")
    assert (found.code, "error[path-outside]: small.safetensors is a link" in found.err) == (2, True)
    Path("manifest.toml").write_text('[[weights]]\nname = "s"\nnet = "net.prototxt"\nfile = "small.caffemodel"\n')
    found = netcompile("convert-weights", "--manifest", "manifest.toml")
    assert (found.code, "error[path-outside]" in found.err) == (2, True)
    os.mkdir("deep")
    os.symlink("deep/there", "named")
    assert netcompile("convert-weights", "small.caffemodel", "-o", "named").code == 0  # the user's own link is kept
    assert os.path.islink("named")
    assert os.path.isfile("deep/there")


@pytest.mark.parametrize("file", ["../../elsewhere/../outer/here/small.caffemodel", "{here}/small.caffemodel"])
def test_a_manifest_writes_beside_itself(here, netcompile, file):
    file = file.format(here=here)
    Path("sub").mkdir()
    Path("sub/manifest.toml").write_text(f'[[weights]]\nname = "s"\nnet = "net.prototxt"\nfile = "{file}"\n')
    netcompile("convert-weights", "--manifest", "sub/manifest.toml")
    assert {path.name for path in Path().rglob("*.safetensors")} <= {"small.safetensors"}
    assert not Path("small.safetensors").exists()


@pytest.mark.parametrize("net", ["pipe", "/dev/zero", "-"])
def test_a_manifest_names_no_pipe(here, netcompile, net):
    Path("manifest.toml").write_text(f'[[weights]]\nname = "s"\nnet = "{net}"\nfile = "small.caffemodel"\n')
    found = netcompile("convert-weights", "--manifest", "manifest.toml")
    assert (found.code, f"error[manifest]: the net '{net}' of s is no file" in found.err) == (2, True)


def image_data(source: str, mean: str = "") -> str:
    mean = f' transform_param {{ mean_file: "{mean}" }}' if mean else ""
    one = 'name: "data" type: "ImageData" top: "x" top: "label" image_data_param { batch_size: 1 source: "%s" }%s'
    return f"layer {{ {one % (source, mean)} }}\n"


def hdf5_data(source: str) -> str:
    section = f'hdf5_data_param {{ batch_size: 1 source: "{source}" }}'
    return f'layer {{ name: "data" type: "HDF5Data" top: "x" top: "label" {section} }}\n'


def python_data(folder: str) -> str:
    section = f"python_param {{ module: 'm' layer: 'SBDDSegDataLayer' param_str: '{{\"sbdd_dir\": \"{folder}\", "
    section += '"split": "train", "mean": (0, 0, 0)}\' }'
    return f'layer {{ name: "data" type: "Python" top: "x" top: "label" {section} }}\n'


READ: dict[str, Callable[[str], tuple[str, str]]] = {  # a path → the net's data layer, and further fields of the solver
    "net": lambda path: ("", f'net: "{path}"'),
    "weights": lambda path: ("", f'weights: "{path}"'),
    "source": lambda path: (image_data(path), ""),
    "source's line": lambda path: (image_data("list.txt"), ""),
    "mean_file": lambda path: (image_data("good.txt", path), ""),
    "hdf5 source": lambda path: (hdf5_data(path), ""),
    "hdf5 line": lambda path: (hdf5_data("files.txt"), ""),
    "param_str": lambda path: (python_data(path), ""),
}


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "/dev/null", "x\\000y", "\\377", "a" * 5000])
@pytest.mark.parametrize("place", READ)
def test_what_a_file_names_is_read_from_files_alone(here, netcompile, place, path):
    """It neither waits nor fills the memory: it says what is wrong, and stops."""
    data, fields = READ[place](path)
    Path("list.txt").write_bytes(path.encode().replace(b"\\000", b"\0").replace(b"\\377", b"\xff") + b" 1\n")
    Path("files.txt").write_bytes(path.encode().replace(b"\\000", b"\0").replace(b"\\377", b"\xff") + b"\n")
    Path("good.txt").write_text("images/a.png 1\n")
    net = NET if not data else data + "".join(NET.splitlines(keepends=True)[3:])
    Path("net.prototxt").write_text(net)
    text = SOLVER.replace('net: "net.prototxt"', "") + fields if fields.startswith("net") else SOLVER + fields
    Path("solver.prototxt").write_text(text + ' snapshot_prefix: "s"\n')
    more = () if data else ("--data", "batches.npz")
    found = netcompile("train", "solver.prototxt", *more, "-o", "out")
    assert found.code in (2, 3), found.err
    assert not Path("out/final.safetensors").exists()


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "x\\000y", "a" * 5000])
def test_matrices_are_read_from_files_alone(here, netcompile, path):
    Path("net.prototxt").write_text(
        NET.replace("SoftmaxWithLoss", "InfogainLoss").replace(
            'top: "loss"', f'top: "loss" infogain_loss_param {{ source: "{path}" }}'
        )
    )
    found = netcompile("build", "net.prototxt", "--with-loss", "-o", "out")
    assert (found.code, "error[" in found.err) == (2, True), found.err


def test_a_list_of_images_names_no_pipe(here, netcompile):
    for line in ("pipe images/a.png", "images/a.png pipe"):
        Path("list.txt").write_text(f"images/a.png images/a.png\n{line}\n")
        found = netcompile("evaluate", "net.prototxt", "--weights", "small.caffemodel", "--data", "list.txt")
        assert found.code in (1, 2), found.err
        assert "pipe is a pipe, not a file" in found.err


def test_hdf5_rows_lie_in_their_file(here, netcompile):
    """External links, virtual data sets and external storage would have any file of the machine read."""
    with h5py.File("secret.h5", "w") as file:
        file["x"], file["label"] = np.ones((2, 3, 8, 8), "f4"), np.zeros((2, 1, 8, 8), "f4")
    Path("files.txt").write_text("rows.h5\n")
    Path("net.prototxt").write_text(hdf5_data("files.txt") + "".join(NET.splitlines(keepends=True)[3:]))
    virtual = h5py.VirtualLayout((2, 3, 8, 8), "f4")
    virtual[:] = h5py.VirtualSource("secret.h5", "x", (2, 3, 8, 8))
    kinds: dict[str, Callable[[h5py.File], object]] = {
        "is a link to another file, which is not followed": lambda f: f.update(
            {"x": h5py.ExternalLink("secret.h5", "/x")}
        ),
        "keeps its numbers in another file": lambda f: f.create_dataset(
            "x", (2, 3, 8, 8), "f4", external=[("secret.h5", 0, 1536)]
        ),
        "is a virtual data set": lambda f: f.create_virtual_dataset("x", virtual),
        "no data set 'x'": lambda f: f.create_group("x"),
        "is behind more than 16 soft links": lambda f: f.update({"x": h5py.SoftLink("/x")}),
        "'x' is a link to another file": lambda f: f.update(
            {"x": h5py.SoftLink("/y/x"), "y": h5py.ExternalLink("secret.h5", "/")}
        ),
        "": lambda f: f.update({"x": h5py.SoftLink("/a/./b"), "a/b": np.ones((2, 3, 8, 8), "f4")}),
    }
    for said, make in kinds.items():
        with h5py.File("rows.h5", "w") as file:
            file["label"] = np.zeros((2, 1, 8, 8), "f4")
            make(file)
        found = netcompile("train", solver("s"), "-o", "out")
        assert found.code == (2 if said else 0), found.err
        assert said in found.err


def test_a_manifest_of_a_build_names_files_of_its_folder(here, netcompile):
    assert netcompile("build", "net.prototxt", "--weights", "small.caffemodel", "-o", "built").code == 0
    manifest = json.loads(Path("built/manifest.json").read_text())
    for name in ("../net.prototxt", "/etc/passwd", "", ".", "..", "a\0b", "\ud800", "pipe"):
        for key in ("module", "weights"):
            Path("built/manifest.json").write_text(json.dumps({**manifest, key: name}))
            if (key, name) == ("weights", ""):
                continue
            with pytest.raises(NetError, match="is not in it"):
                load_build("built")
    Path("built/manifest.json").write_text(json.dumps(manifest))
    os.rename("built/small.py", "outside.py")
    os.symlink("../outside.py", "built/small.py")
    with pytest.raises(NetError, match=r"'small.py' is a link that leads out of it"):
        load_build("built")


OVER = {
    "run net": ("run", "net.prototxt", "--inputs", "x.npz", "--out", "net.prototxt"),
    "run weights": ("run", "net.prototxt", "--inputs", "x.npz", "--weights", "small.caffemodel", "--out", "hard"),
    "run inputs": ("run", "net.prototxt", "--inputs", "x.npz", "--out", "./x.npz"),
    "verify": ("verify", "net.prototxt", "--weights", "small.caffemodel", "--self", "--html", "small.caffemodel"),
    "convert": ("convert-weights", "small.caffemodel", "--net", "net.prototxt", "-o", "net.prototxt"),
}


@pytest.mark.parametrize("line", OVER.values(), ids=OVER)
def test_no_output_replaces_an_input(here, netcompile, line):
    np.savez("x.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    os.link("small.caffemodel", "hard")
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    found = netcompile(*line)
    assert found.code == 2
    assert f"error[output-path]: {line[-1]}: the output is the input " in found.err
    assert before == {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
