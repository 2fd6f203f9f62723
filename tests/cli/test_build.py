"""`build`: what it writes, that it is the same every time, and that it is all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import netcompile.files.whole as whole_folder_module

DEMO = ("shapes-fcn8s/deploy.prototxt", "--weights", "shapes-fcn8s.caffemodel")
FILES = ["shapes_fcn8s.py", "offsets.json", "report.html", "shapes_fcn8s.safetensors", "manifest.json"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo net, built once."""
    from netcompile.cli.main import entry

    folder = tmp_path_factory.mktemp("build") / "deep" / "demo"
    assert entry(["build", *DEMO, "-o", str(folder)]) == 0
    return folder


def test_files_and_manifest(demo):
    assert sorted(path.name for path in demo.iterdir()) == sorted(FILES)
    manifest = json.loads((demo / "manifest.json").read_text())
    hashes, keys = manifest.pop("sha256"), manifest.pop("keys")
    assert keys["conv1_1.0"] == "conv1_1.weight"
    assert set(keys.values()) == set(load_file(demo / "shapes_fcn8s.safetensors"))
    assert manifest == {
        "net": "shapes-fcn8s",
        "module": "shapes_fcn8s.py",
        "class": "ShapesFcn8s",
        "weights": "shapes_fcn8s.safetensors",
        "inputs": [{"name": "data", "shape": [1, 3, 96, 128]}],
        "outputs": ["score"],
        "shapes": {"score": [1, 6, 96, 128]},
        "upsampled": ["score"],
        "phase": "test",
        "optimisation": 1,
        "style": "flat",
        "tool": "0.1.0",
    }
    assert hashes == {
        name: hashlib.sha256((demo / name).read_bytes()).hexdigest() for name in FILES if name != "manifest.json"
    }


def test_the_module_runs_with_its_weights(demo):
    import torch
    from safetensors.torch import load_file

    namespace: dict = {"__name__": "built"}
    exec((demo / "shapes_fcn8s.py").read_text(), namespace)
    module = namespace["ShapesFcn8s"]()
    module.load_state_dict(load_file(demo / "shapes_fcn8s.safetensors"))
    module.eval()
    with torch.no_grad():
        assert module(torch.zeros(2, 3, 50, 61)).shape == (2, 6, 50, 61)


def test_offsets_json_is_that_of_the_command(netcompile, demo):
    result = netcompile("offsets", DEMO[0], "--json")
    assert (demo / "offsets.json").read_text() == result.out


def test_html_is_that_of_the_command(netcompile, demo):
    """But for the module's docstring, which says more in a build, and the lines below it."""

    def without_code(page: str) -> tuple[str, dict[str, object]]:
        before, data, after = re.split(r'(?<=id="data">)(.*?)(?=</script>)', page, maxsplit=1, flags=re.DOTALL)
        found = json.loads(data)
        del found["module"]
        for layer in found["layers"]:
            layer.pop("code", None)
        return before + after, found

    (text, data), (other, same) = map(
        without_code, [(demo / "report.html").read_text(), netcompile("offsets", DEMO[0], "--html").out]
    )
    assert data == same
    assert re.sub(r"\d+ lines", "", text) == re.sub(r"\d+ lines", "", other)


def test_it_says_what_it_wrote(netcompile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = netcompile("build", "voc-fcn8s/val.prototxt")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split(" (")[0] for line in lines[:4]] == [
        "wrote voc_fcn8s/voc_fcn8s.py",
        "wrote voc_fcn8s/offsets.json",
        "wrote voc_fcn8s/report.html",
        "wrote voc_fcn8s/manifest.json",
    ]
    assert [line.split()[-4] for line in lines if line.startswith("score")] == ["ok"] * 3
    assert sorted(os.listdir()) == ["voc_fcn8s"]
    assert json.loads((tmp_path / "voc_fcn8s" / "manifest.json").read_text())["weights"] is None


def test_builds_are_byte_identical(netcompile, demo, tmp_path):
    assert netcompile("build", *DEMO, "-o", tmp_path / "again").code == 0
    assert contents(tmp_path / "again") == contents(demo)


def test_foreign_files_stay(netcompile, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "shapes_fcn8s.py").write_text("old")
    assert netcompile("build", *DEMO, "-o", tmp_path).code == 0
    assert sorted(os.listdir(tmp_path)) == sorted([*FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "shapes_fcn8s.py").read_text() != "old"


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("failing", range(5))
def test_a_failing_rename_undoes_everything(netcompile, tmp_path, monkeypatch, existing, failing):
    folder = tmp_path / "a" / "b"
    if existing:
        folder.mkdir(parents=True)
        for name in (*FILES, "foreign"):
            (folder / name).write_text(f"old {name}")
    before = contents(folder) if existing else None
    real, count = os.replace, iter(range(100))

    def replace(source, target):
        if os.path.dirname(target) == str(folder) and next(count) == failing:
            raise OSError(5, "Input/output error", target)
        real(source, target)

    monkeypatch.setattr(whole_folder_module.os, "replace", replace)
    result = netcompile("build", *DEMO, "-o", folder)
    assert result.code == 3
    assert result.err.startswith("netcompile: error: ")
    assert result.err.endswith(": Input/output error\n")
    if existing:
        assert contents(folder) == before
    else:
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("error", "code"), [(OSError(28, "No space left on device"), 3), (KeyboardInterrupt(), 130)])
def test_a_failing_write_leaves_the_old_build(netcompile, demo, tmp_path, monkeypatch, error, code):
    folder = tmp_path / "out"
    assert netcompile("build", *DEMO, "-o", folder).code == 0
    before = contents(folder)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("netcompile.caffemodel.tensorfile.header", fail)
    assert netcompile("build", *DEMO, "-O", "0", "-o", folder).code == code
    assert contents(folder) == before


def test_a_build_that_was_killed_half_way_is_finished_when_read(netcompile, demo, tmp_path):
    from netcompile.runtime.loaded import is_build, load_build

    folder = tmp_path / "out"
    assert netcompile("build", *DEMO, "-O", "0", "-o", folder).code == 0
    partial = folder / ".netcompile-partial"
    (partial / "before").mkdir(parents=True)
    (partial / "ready").mkdir()
    ready = (partial / "ready").rename(partial / f"ready-{(partial / 'ready').stat().st_ino}")
    new = contents(demo)
    for name in ("manifest.json", "shapes_fcn8s.py"):  # the others were moved already
        (ready / name).write_bytes(new.pop(name))
        (folder / name).rename(partial / "before" / name)
    for name, data in new.items():
        (folder / name).write_bytes(data)
    assert is_build(str(folder))
    assert contents(folder) == contents(demo)
    assert load_build(str(folder)).name == load_build(str(demo)).name


def test_a_refused_net_writes_nothing(netcompile, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    result = netcompile("build", net, "-o", tmp_path / "out")
    assert result.code == 2
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_write_nothing(netcompile, tmp_path):
    result = netcompile("build", "voc-fcn8s/val", "--weights", "shapes-fcn8s.caffemodel", "-o", tmp_path / "out")
    assert result.code == 2
    assert "error[weights-shape]: layer 'conv1_1' blob 0 is " in result.err
    assert not (tmp_path / "out").exists()


def test_the_output_is_a_file(netcompile, tmp_path):
    (tmp_path / "out").write_text("x")
    result = netcompile("build", *DEMO, "-o", tmp_path / "out")
    assert result.code == 3
    assert result.err == f"netcompile: error: {tmp_path}/out: this is a file, not a folder\n"


def test_a_folder_is_in_the_way(netcompile, tmp_path):
    (tmp_path / "report.html").mkdir()
    result = netcompile("build", *DEMO, "-o", tmp_path)
    assert result.code == 3
    assert result.err == f"netcompile: error: {tmp_path}/report.html: there is a folder of that name\n"
    assert os.listdir(tmp_path) == ["report.html"]


EVIL = '"; import os; os.system("x")  #'
MARKUP = "</script><img onerror=alert(1)>"
EVIL_NET = r"""
name: "%(name)s"
layer { name: "in" type: "Input" top: "%(evil)s" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "%(evil)s" type: "Convolution" bottom: "%(evil)s" top: "%(markup)s"
  convolution_param { num_output: 2 kernel_size: 3 pad: 9 } }
layer { name: "%(markup)s" type: "Crop" bottom: "%(markup)s" bottom: "%(evil)s" top: "\n'''\\" }
"""


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_names_never_become_code_or_markup(netcompile, tmp_path):
    quoted = EVIL.replace('"', '\\"')
    net = tmp_path / "net.prototxt"
    net.write_text(EVIL_NET % {"name": f"../{quoted}", "evil": quoted, "markup": MARKUP})
    out = tmp_path / "out"
    assert netcompile("build", net, "-o", out).code == 0
    (module,) = [path for path in out.iterdir() if path.suffix == ".py"]
    assert module.name == "import_os__os_system__x.py"
    assert "os.system" not in module.read_text().replace('"""', "").split("class ")[1].split("def forward")[1]
    py_compile.compile(str(module), cfile=str(tmp_path / "x.pyc"), doraise=True)
    page = (out / "report.html").read_text()
    assert MARKUP not in page
    assert "&lt;/script&gt;&lt;img onerror=alert(1)&gt;" in page
    assert page.count("<script") == page.count("</script") == 2  # its data and its own script
    tags = Tags(page)
    assert tags.tags.isdisjoint({"img", "link", "iframe"})
    assert not any(name.startswith("on") or name in ("src", "href", "style") for name in tags.attributes)
    report = json.loads((out / "offsets.json").read_text())
    assert report["crops"][0]["bottoms"] == [MARKUP, EVIL]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.prototxt", "out", "x.pyc"]


def test_the_manifest_says_what_images_go_through(tmp_path):
    """As the data layer says; labels are no images."""
    from netcompile.cli.main import entry

    assert entry(["build", "nyud-fcn32s-color-hha/test.prototxt", "-o", str(tmp_path / "a"), "--with-loss"]) == 0
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert [one["name"] for one in manifest["inputs"]] == ["color", "hha", "label"]
    assert manifest["images"] == {
        "color": {"order": "bgr", "mean": [116.19, 97.203, 92.318], "scale": 1.0, "origin": "NYUDSegDataLayer"},
        "hha": {"order": "rgb", "mean": [132.431, 94.076, 118.477], "scale": 1.0, "origin": "NYUDSegDataLayer"},
    }
    assert "kinds" not in manifest


@pytest.mark.parametrize("level", [0, 1, 2])
def test_output_cuts_the_build(netcompile, tmp_path, level):
    """Module, weights, manifest and report are of the layers that the outputs need; the file's others do not matter."""
    from safetensors import safe_open

    weights = [*DEMO[1:], "-O", level, "-o", tmp_path]
    asked = ["--output", "score_pool4", "--output", "pool3"]
    result = netcompile("build", "shapes-fcn8s/deploy.prototxt", *weights, *asked)
    assert (result.code, result.err) == (0, "")
    assert "no crop layers" in result.out
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["outputs"] == ["score_pool4", "pool3"]
    with safe_open(tmp_path / "shapes_fcn8s.safetensors", "pt") as file:
        names = {key.split(".")[0] for key in file.keys()}  # noqa: SIM118
    assert "score_pool4" in names
    assert names.isdisjoint({"fc6", "fc7", "upscore2", "score_pool3"})
    assert "upscore2" not in json.loads((tmp_path / "offsets.json").read_text())["blobs"]


def test_an_output_that_the_net_lacks(netcompile, tmp_path):
    result = netcompile("build", "shapes-fcn8s/deploy.prototxt", "--output", "score_pool5", "-o", tmp_path / "b")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error[unknown-blob]: the net has no blob 'score_pool5'\n"
        "  fix: did you mean 'score_pool4' or 'score_pool3' or 'score_pool4c'?\n"
    )
    assert not (tmp_path / "b").exists()


def test_verbose_says_where_optimisations_did_not_apply(netcompile, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'name: "two"\n'
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { '
        "num_output: 4 kernel_size: 3 } }\n"
        'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }\n'
        'layer { name: "e" type: "Eltwise" bottom: "c" bottom: "r" top: "e" }\n'
    )
    folder = tmp_path / "out"
    build = ("build", str(net), "-o", str(folder))
    told = netcompile(*build, "-O2", "-v").out.split("\nNot optimised:\n")[1].splitlines()
    assert told == [
        "  fuse-convolution: 'r' (line 4): 'c' has another use",
        "  winograd: 'c' (line 3): 3 and 4 channels are too few for it to pay",
        "  image-window: the net: no blob has pixels that see nothing of the image",
        "  needed-window: the net: what no output needs is 0.0% of the multiplications",
    ]
    assert "&#39;c&#39; has another use</td>" in (folder / "report.html").read_text()
    assert netcompile(*build, "--verbose").out.endswith("\nNot optimised:\n  nothing\n")
    assert "Not optimised" not in netcompile(*build, "-O2").out


def test_what_an_earlier_build_left_is_told(netcompile, tmp_path):
    assert netcompile("build", *DEMO, "-o", tmp_path).code == 0
    done = netcompile("build", DEMO[0], "-o", tmp_path)
    assert done.code == 0
    assert f"warning[build-folder]: {tmp_path}: 'shapes_fcn8s.safetensors' is of an earlier build\n" in done.err
    assert netcompile("build", DEMO[0], "-o", tmp_path).err.count("earlier build") == 0  # its manifest lists it no more


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_lies_in_the_folder_is_not_waited_for(netcompile, tmp_path, kind):
    """A manifest of the build before is only looked into where it is a file."""
    manifest = tmp_path / "manifest.json"
    if kind == "pipe":
        os.mkfifo(manifest)
    elif kind == "device":
        manifest.symlink_to("/dev/zero")
    else:
        manifest.mkdir()
    done = netcompile("build", DEMO[0], "-o", tmp_path)
    assert done.code == (3 if kind == "folder" else 0), done.err
    assert manifest.is_file() == (kind != "folder")


@pytest.mark.parametrize("name", ["shapes_fcn8s.py", "shapes_fcn8s.safetensors", "manifest.json"])
def test_a_mixture_of_two_builds_is_refused(netcompile, tmp_path, name):
    """However it came about: every file is that of the other build in turn."""
    from netcompile.diagnostics.diagnostic import NetError
    from netcompile.runtime.loaded import load_build

    for level in ("0", "2"):
        assert netcompile("build", *DEMO, "-O", level, "-o", tmp_path / level).code == 0
    (tmp_path / "0" / name).write_bytes((tmp_path / "2" / name).read_bytes())
    with pytest.raises(NetError) as caught:
        load_build(str(tmp_path / "0"))
    assert [found.code for found in caught.value.diagnostics] == ["build-folder"]
    assert "its checksum differs from the manifest's" in caught.value.diagnostics[0].what


def test_edits_are_trusted_where_that_is_asked_for(netcompile, tmp_path):
    """The module is run as it is, its name is told, and what it computes is what the edit says."""
    import netcompile as package

    folder, other = tmp_path / "built", tmp_path / "other"
    for out in (folder, other):
        assert netcompile("build", *DEMO, "-O", "0", "-o", out).code == 0
    module = folder / "shapes_fcn8s.py"
    module.write_text(module.read_text().replace("        return score\n", "        return 2 * score\n"))
    np.savez(tmp_path / "in.npz", data=np.ones((1, 3, 32, 32), np.float32))
    line = ("verify", folder, "--reference", other, "--inputs", tmp_path / "in.npz")
    refused = netcompile(*line)
    assert (refused.code, refused.err) == (2, (
        f"error[build-folder]: {folder}: 'shapes_fcn8s.py' is not the file that was built: its checksum differs from "
        "the manifest's\n  fix: build it again; --trust-edits takes it as it is (Python: trust_edits=True)\n"
    ))  # fmt: skip
    trusted = netcompile(*line, "--trust-edits")
    assert trusted.code == 1
    assert "the first is 'score'" in trusted.out
    assert (
        f"note[build-folder]: {folder}: 'shapes_fcn8s.py' is not as built, and is trusted as asked for\n" in trusted.err
    )
    with pytest.warns(UserWarning, match=r"not as built, and trusted as asked for: 'shapes_fcn8s\.py'$"):
        net = package.load(folder, trust_edits=True)
    x = torch.ones(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(net(x), 2 * package.load(other, trust_edits=True)(x))


@pytest.mark.parametrize(("text", "what"), [
    ("def", "cannot be run: SyntaxError: "), ("1 / 0", "cannot be run: ZeroDivisionError: "),
    ("x = 1", "the module has no class"), (None, "does not fit the module: "),
])  # fmt: skip
def test_edits_that_cannot_be_run(netcompile, tmp_path, text, what):
    assert netcompile("build", *DEMO, "-o", tmp_path / "b").code == 0
    module = tmp_path / "b" / "shapes_fcn8s.py"
    text = module.read_text().replace("self.fc7 =", "self.fc7_ = self.fc7 =") if text is None else text
    module.write_text(text)
    done = netcompile("verify", tmp_path / "b", "--reference", tmp_path / "b", "--trust-edits")
    assert done.code == 2
    assert f"error[build-folder]: {tmp_path / 'b'}: " in done.err
    assert what in done.err


def test_a_file_without_a_checksum_is_refused(netcompile, tmp_path):
    from netcompile.diagnostics.diagnostic import NetError
    from netcompile.runtime.loaded import load_build

    assert netcompile("build", *DEMO, "-o", tmp_path).code == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["sha256"]["shapes_fcn8s.py"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(NetError, match="is not the file that was built"):
        load_build(str(tmp_path))
