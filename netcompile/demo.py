"""``make demo``: the main job end to end, on the small FCN-8s that comes with the project.

Builds it from its prototxt and caffemodel, which prints the offset report, segments the drawn test images with the
emitted module, which writes palette PNGs and overlays, and scores it. Then a small classifier and a small SSD do
the same with classes and boxes; at last it builds voc-fcn8s.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from netcompile.cli.main import main
from netcompile.data.images import read_labels

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "shapes"
CLASSES = ROOT / "tests" / "data" / "shapes-classes"
SCENES = ROOT / "tests" / "data" / "shapes-detection"


def step(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def command(*words: str | Path) -> None:
    line = [str(word) for word in words]
    print("$ netcompile " + " ".join(line), flush=True)
    status = main(line)
    if status:
        raise SystemExit(status)


def demo(out: Path) -> None:
    """Run every step; the results lie under `out`."""
    expected = json.loads((DATA / "expected.json").read_text())
    weights = ROOT / "weights" / "shapes-fcn8s.caffemodel"
    build, images = out / "shapes-fcn8s", DATA / "VOC"
    mean = ",".join(map(str, expected["mean_bgr"]))
    step("Build a trained FCN-8s from its prototxt and caffemodel")
    command("build", "shapes-fcn8s/deploy.prototxt", "--weights", weights, "-o", build)

    step("Segment the test images with the emitted module, and score it")
    command("predict", build, images / "JPEGImages", "--mean", mean, "-o", out)
    names = out / "classes.txt"
    names.write_text("\n".join(expected["classes"]))
    command("evaluate", build, "--data", images, "--classes", names, "--mean", mean, "-o", out / "scores")
    same = pixels = 0
    for path in (images / "reference").glob("*.png"):
        known, labels = read_labels(path), read_labels(out / "labels" / path.name)
        same, pixels = same + int((known == labels).sum()), pixels + known.size
    found = json.loads((out / "scores" / "scores.json").read_text())["heads"][0]
    print(f"pixels as Caffe labels them: {same} of {pixels} ({same / max(pixels, 1):.4%})")
    for key, name in (
        ("overall_accuracy", "overall accuracy"),
        ("mean_accuracy", "mean accuracy"),
        ("mean_iu", "mean IU"),
    ):
        print(f"{name:<16} {found[key]:.4f}   (Caffe: {expected[key]:.4f})")

    classify(out)
    detect(out)

    step("Build the original voc-fcn8s; its published weights are not bundled")
    command("build", "voc-fcn8s/val.prototxt", "-o", out / "voc-fcn8s")
    print(f"\nRead {out / 'voc-fcn8s' / 'voc_fcn8s.py'}, and open {out / 'voc-fcn8s' / 'report.html'}.")


def classify(out: Path) -> None:
    """The steps of the small classifier; pictures are cut to its size, as they were when it was trained."""
    expected = json.loads((CLASSES / "expected.json").read_text())
    build, crop = out / "shapes-classifier", str(expected["crop"])
    prepared = ("--mean", ",".join(map(str, expected["mean_bgr"])), "--resize", "none", "--crop", crop)
    named = ("--classes", CLASSES / "synset_words.txt")
    step("Classify pictures of shapes with a small trained net, and score it")
    weights = ROOT / "weights" / "shapes-classifier.caffemodel"
    command("build", "shapes-classifier/deploy.prototxt", "--weights", weights, "-o", build)
    command("predict", build, CLASSES / "images", *named, *prepared, "-o", out / "classes")
    scores = out / "classes-scores"
    command("evaluate", build, "--data", CLASSES / "val.txt", *named, *prepared, "-o", scores)
    right = sum(json.loads((scores / "scores.json").read_text())["right"])
    print(f"{'top-1':<16} {right} of {expected['images']}   (on every machine: {expected['top1']})")
    print(f"Open {scores / 'report.html'} for the pictures that it takes for something else.")


def detect(out: Path) -> None:
    """The steps of the small detector."""
    expected = json.loads((SCENES / "expected.json").read_text())
    build, images = out / "shapes-ssd", SCENES / "VOC"
    mean = ("--mean", ",".join(map(str, expected["mean_bgr"])))
    named = ("--classes", SCENES / "labelmap_shapes.prototxt")
    step("Find shapes with a small trained SSD, and score it")
    weights = ROOT / "weights" / "shapes-ssd.caffemodel"
    command("build", "shapes-ssd/deploy.prototxt", "--weights", weights, "-o", build)
    scores = out / "boxes-scores"
    command("predict", build, images / "JPEGImages", *named, *mean, "-o", out / "boxes")
    command("evaluate", build, "--data", images, *named, *mean, "-o", scores)
    found = json.loads((scores / "scores.json").read_text())["mean_ap"]
    for key, name in (("eleven_point", "11 points"), ("area", "area")):
        wanted = expected["map_11_points" if key == "eleven_point" else "map_area"]
        print(f"{f'mean AP, {name}':<18} {found[key]:.4f}   (on every machine: {wanted:.4f})")
    print(f"Look at the pictures in {out / 'boxes' / 'overlays'}.")


if __name__ == "__main__":
    demo(Path("demo-out"))
