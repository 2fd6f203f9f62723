"""``make demo``: the main job end to end, on the small FCN-8s that comes with the project.

Builds it from its prototxt and caffemodel, prints the offset report, segments the drawn test images with the emitted
module, writes palette PNGs and overlays, prints the scores, and builds voc-fcn8s.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from netcompile.api import load
from netcompile.cli.main import main
from netcompile.data.images import overlay, read_image, read_labels, to_blob, write_labels
from netcompile.tasks.segmentation.metrics import confusion, scores

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "shapes"


def step(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def command(*words: str) -> None:
    print("$ netcompile " + " ".join(words), flush=True)
    status = main(list(words))
    if status:
        raise SystemExit(status)


def demo(out: Path) -> None:
    """Run every step; the results lie under `out`."""
    expected = json.loads((DATA / "expected.json").read_text())
    weights = ROOT / "weights" / "shapes-fcn8s.caffemodel"
    build = out / "shapes-fcn8s"
    step("Build a trained FCN-8s from its prototxt and caffemodel")
    command("build", "shapes-fcn8s/deploy.prototxt", "--weights", str(weights), "-o", str(build))

    step("Segment the test images with the emitted module")
    images = sorted((DATA / "VOC" / "JPEGImages").glob("*.jpg"))
    for folder in ("labels", "overlays"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    net = load(build)
    classes = len(expected["classes"])
    matrix = np.zeros((classes, classes), np.int64)
    same = pixels = 0
    with torch.no_grad():
        for path in images:
            rgb = read_image(path)
            score = net(torch.from_numpy(to_blob(rgb, expected["mean_bgr"])))
            labels = score.argmax(1)[0].numpy()
            write_labels(out / "labels" / f"{path.stem}.png", labels)
            Image.fromarray(overlay(rgb, labels)).save(out / "overlays" / f"{path.stem}.png")
            matrix += confusion(read_labels(DATA / "VOC" / "SegmentationClass" / f"{path.stem}.png"), labels, classes)
            reference = DATA / "VOC" / "reference" / f"{path.stem}.png"
            if reference.exists():
                known = read_labels(reference)
                same, pixels = same + int((known == labels).sum()), pixels + known.size
    found = scores(matrix)
    print(f"{len(images)} images: label maps in {out / 'labels'}, overlays in {out / 'overlays'}")
    print(f"pixels as Caffe labels them: {same} of {pixels} ({same / max(pixels, 1):.4%})")
    print(f"overall accuracy {found.overall_accuracy:.4f}   (Caffe: {expected['overall_accuracy']:.4f})")
    print(f"mean accuracy    {found.mean_accuracy:.4f}   (Caffe: {expected['mean_accuracy']:.4f})")
    print(f"mean IU          {found.mean_iu:.4f}   (Caffe: {expected['mean_iu']:.4f})")
    for name, iu in zip(expected["classes"], found.iu, strict=True):
        print(f"  {name:<12} IU {iu:.3f}")

    step("Build the original voc-fcn8s; its published weights are not bundled")
    command("build", "voc-fcn8s/val.prototxt", "-o", str(out / "voc-fcn8s"))
    print(f"\nRead {out / 'voc-fcn8s' / 'voc_fcn8s.py'}, and open {out / 'voc-fcn8s' / 'report.html'}.")


if __name__ == "__main__":
    demo(Path("demo-out"))
