"""What holds for every task: odd images, several processes, runs that go on, builds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from netcompile.tasks.catalogue import NAMES
from tests import ranks
from tests.tasks import odd_images

INPUT = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 3, 12, 16] } } }\n'
POOL = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE %s } }\n'
# Nets without weights, one for each task: what tells the task is the shape and the last layer.
NETS = {
    "segmentation": 'layer { name: "s" type: "Softmax" bottom: "data" top: "s" }',
    "map": 'layer { name: "c" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" }\n'
    'layer { name: "q" type: "Silence" bottom: "b" bottom: "c" }\n'
    'layer { name: "s" type: "Sigmoid" bottom: "a" top: "s" }',
    "image": 'layer { name: "s" type: "Power" bottom: "data" top: "s" power_param { scale: -1 } }',
    "points": POOL % "kernel_size: 4 stride: 4",
    "classification": POOL % "global_pooling: true" + 'layer { name: "s" type: "Softmax" bottom: "p" top: "s" }',
    "vector": POOL % "global_pooling: true",
    "raw": 'layer { name: "s" type: "Reduction" bottom: "data" top: "s" reduction_param { axis: 1 } }',
    # Two priors for every cell of 4×4 pixels, whose offsets and scores are what the image is there.
    "detection": """
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "half" type: "Power" bottom: "p" top: "half" power_param { scale: 0.01 } }
layer { name: "conf" type: "Slice" bottom: "half" top: "one" top: "two" slice_param { slice_point: 2 } }
layer { name: "quiet" type: "Silence" bottom: "two" }
layer { name: "perm" type: "Permute" bottom: "one" top: "perm" permute_param { order: [0, 2, 3, 1] } }
layer { name: "resh" type: "Reshape" bottom: "perm" top: "resh" reshape_param { shape { dim: [0, -1, 2] } } }
layer { name: "soft" type: "Softmax" bottom: "resh" top: "soft" softmax_param { axis: 2 } }
layer { name: "flat" type: "Flatten" bottom: "soft" top: "flat" flatten_param { axis: 1 } }
layer { name: "four" type: "Concat" bottom: "one" bottom: "one" top: "four" }
layer { name: "permloc" type: "Permute" bottom: "four" top: "permloc" permute_param { order: [0, 2, 3, 1] } }
layer { name: "loc" type: "Flatten" bottom: "permloc" top: "loc" flatten_param { axis: 1 } }
layer { name: "prior" type: "PriorBox" bottom: "p" bottom: "data" top: "prior"
  prior_box_param { min_size: 4 clip: true variance: [0.1, 0.1, 0.2, 0.2] } }
layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "flat" bottom: "prior" top: "out"
  detection_output_param { num_classes: 2 share_location: true background_label_id: 0 nms_param { nms_threshold: 0.45 }
    code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: 0.5 } }""",
}


@pytest.fixture
def net(request, tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(f'name: "n"\n{INPUT}{NETS[request.param]}\n')
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


every_task = pytest.mark.parametrize("net", NETS, indirect=True)


def test_all_tasks_are_here():
    assert set(NETS) == set(NAMES)


@every_task
def test_odd_images_are_right_or_refused(netcompile, net, tmp_path, request):
    task = request.node.callspec.params["net"]
    good, bad = odd_images.write(tmp_path / "images")
    out = tmp_path / "out"
    done = netcompile("predict", net, tmp_path / "images", "-o", out, "--mean", "0")
    assert done.code == 1, done.err
    for name in bad:
        assert f"warning[image-broken]: {tmp_path / 'images' / name} is skipped\n  why: " in done.err
    assert done.err.count("is skipped") == len(bad), done.err
    assert f"wrote {len(good)} of {len(good) + len(bad)} images to {out}, {len(bad)} broken\n" in done.out
    same = Counter(Path(name).stem for name in good | bad)
    expected = {p.stem if same[p.stem] == 1 else f"{p.stem}_{p.suffix[1:]}" for p in map(Path, good)}
    assert {Path(name).stem for name in files(out)} - {"classes", "points", "detections"} == expected
    assert (task not in ("segmentation", "map")) == ("--task says otherwise" in done.err)


@every_task
def test_a_build_is_of_the_same_task(netcompile, net, images, tmp_path):
    first = netcompile("predict", net, images, "-o", tmp_path / "a", "--mean", "0")
    assert netcompile("build", net, "-o", tmp_path / "build").code == 0
    second = netcompile("predict", tmp_path / "build", images, "-o", tmp_path / "b", "--mean", "0")
    assert (first.code, second.code) == (0, 0), second.err
    assert list(files(tmp_path / "a")) == list(files(tmp_path / "b"))


@every_task
def test_a_run_goes_on_where_it_was_stopped(netcompile, net, images, tmp_path):
    call = ("predict", net, images, "-o", tmp_path / "out", "--mean", "0")
    assert netcompile(*call).code == 0
    whole = files(tmp_path / "out")
    for name in list(whole)[::3]:
        (tmp_path / "out" / name).unlink()
    assert netcompile(*call).code == 0
    assert files(tmp_path / "out") == whole


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_give_the_same(netcompile, images, tmp_path, count):
    """Every task in one start: a start takes seconds."""
    calls = []
    for task, text in NETS.items():
        net = tmp_path / f"{task}.prototxt"
        net.write_text(f'name: "n"\n{INPUT}{text}\n')
        assert netcompile("predict", net, images, "-o", tmp_path / task / "one", "--mean", "0").code == 0
        calls.append(["predict", str(net), str(images), "-o", str(tmp_path / task / "many"), "--mean", "0"])
    program = tmp_path / "all.py"
    program.write_text(
        "from netcompile.cli.main import main\nfrom netcompile.runtime.processes import processes\n"
        f"with processes():\n    for call in {calls!r}:\n        assert main(call) == 0\n"
    )
    done = ranks.run(count, program)
    assert done.returncode == 0, done.stderr
    for task in NETS:
        assert files(tmp_path / task / "one") == files(tmp_path / task / "many"), task


def test_boxes_are_no_picture(netcompile, images, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(f'name: "n"\n{INPUT}{NETS["detection"]}\n')
    for task in set(NAMES) - {"detection", "raw"}:
        done = netcompile("predict", net, images, "-o", tmp_path / "out", "--mean", "0", "--task", task)
        assert done.code == 2, (task, done.err)
        assert done.err.startswith("error[task]: the net gives no ")
        assert "\n  why: its outputs are 'out' 1×1×1×7\n" in done.err


UNKNOWN = 'layer { name: "bad" type: "Power" bottom: "data" top: "data" power_param { shift: -1e6 power: 0.5 } }\n'
ENDLESS = 'layer { name: "bad" type: "Exp" bottom: "data" top: "data" exp_param { scale: 1e6 shift: 1 } }\n'


@pytest.mark.parametrize(
    ("front", "what", "more"),
    [
        *((UNKNOWN, "NaN", (task,)) for task in ("segmentation", "map", "image", "points", "classification")),
        *((ENDLESS, "infinity", (task,)) for task in ("points", "classification")),
        (ENDLESS, "infinity", ("segmentation", "--softmax")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value if len(value) < 9 else "",
)
def test_what_is_no_number_is_no_result(netcompile, images, tmp_path, front, what, more):
    task = more[0]
    text = {"classification": NETS["vector"], "segmentation": NETS["image"]} if what != "NaN" else {}
    net = tmp_path / "net.prototxt"
    net.write_text(f'name: "n"\n{INPUT}{front}{text.get(task, NETS[task])}\n')
    done = netcompile("predict", net, images, "-o", tmp_path / "out", "--mean", "0", "--task", *more)
    assert done.code == 1
    assert f" has {what} in it, which is no result\n" in done.err
    assert "Warning" not in done.err
    assert not [name for name in files(tmp_path / "out") if not name.endswith(".jsonl")]


@every_task
def test_options_that_leave_nothing(netcompile, net, images, tmp_path, request):
    call = ("predict", net, images, "-o", tmp_path / "out")
    for scale in ("nan", "inf", "0", "1e39"):
        done = netcompile(*call, "--mean", "0", "--scale", scale)
        what = f"error[usage]: --scale {float(scale):g} leaves nothing of an image"
        assert (done.code, done.err) == (2, f"{what}\n  why: values are computed in float32\n")
    assert netcompile(*call, "--mean", "1e39").err.startswith(
        "error[mean-file]: '1e39' is neither numbers nor a file\n"
    )
    names = netcompile(*call, "--mean", "0", "--classes", tmp_path / "none.txt")
    assert names.code == 2
    task = request.node.callspec.params["net"]
    if task in ("segmentation", "map", "classification", "detection"):
        assert names.err.startswith(f"error[class-names]: there is no list of classes '{tmp_path / 'none.txt'}'\n")
    else:
        assert names.err.startswith("error[usage]: --classes names classes, and ")


RECORDS = ("classification", "detection", "points")
with_records = pytest.mark.parametrize("net", RECORDS, indirect=True)


@with_records
def test_a_record_that_somebody_changed_is_made_anew(netcompile, net, images, tmp_path):
    out = tmp_path / "out"
    more = ("--voc", "--coco") if "DetectionOutput" in net.read_text() else ()
    call = ("predict", net, images, "-o", out, "--mean", "0", *more)
    assert netcompile(*call).code == 0
    whole = files(out)
    path = next(path for path in sorted(out.rglob("*.json")) if path.parent != out)
    record = json.loads(path.read_text())
    (name, entries) = next((name, value) for name, value in record.items() if isinstance(value, list))
    changed: list[object] = [None, 5, "x", {}, [1], [None], [{}], [dict.fromkeys(entries[0], "y")]]
    changed += [[{**entries[0], key: value}] for key in entries[0] for value in (True, [], float("inf"))]
    texts = [json.dumps({**record, name: value}) for value in changed]
    texts += [json.dumps({key: value for key, value in record.items() if key != lost}) for lost in ("image", name)]
    for text in ("", "{", "null", "[]", path.read_text()[:-9], *texts):
        path.write_text(text)
        done = netcompile(*call)
        assert (done.code, files(out)) == (0, whole), (text, done.err)


@with_records
def test_links_lead_nowhere(netcompile, net, images, tmp_path):
    """Files that lie beside the folder of the outputs stay as they are."""
    out, beside = tmp_path / "out", tmp_path / "beside"
    detects = "DetectionOutput" in net.read_text()
    call = ("predict", net, images, "-o", out, "--mean", "0", *(("--voc", "--coco") if detects else ()))
    assert netcompile(*call).code == 0
    whole = files(out)
    for name in {name.split("/")[0] for name in whole}:
        shutil.rmtree(out)
        out.mkdir()
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        (beside / "file").write_text("here")
        (out / name).symlink_to(beside / "file" if "." in name else beside)
        done = netcompile(*call)
        if "." in name:
            assert (done.code, files(out)) == (0, whole), (name, done.err)
        else:
            assert done.code == 2, (name, done.err)
            assert f"error[path-outside]: {out / name}/" in done.err
        assert files(beside) == {"file": b"here"}, name
