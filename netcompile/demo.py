"""``make demo``: the main job end to end, on the small FCN-8s that comes with the project.

Builds it from its prototxt and caffemodel, which prints the offset report, segments the drawn test images with the
emitted module, which writes palette PNGs and overlays, and scores it. Then a small classifier and a small SSD do
the same with classes and boxes; it builds voc-fcn8s, and shows some of the results in one picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from netcompile.cli.main import main
from netcompile.data.boxes import Detections
from netcompile.data.class_names import named_classes
from netcompile.data.images import read_labels
from netcompile.tasks.detection.drawing import drawn
from netcompile.zoo.find import bundled_folder

ROOT = Path(bundled_folder())
DATA = ROOT / "tests" / "data" / "shapes"
CLASSES = ROOT / "tests" / "data" / "shapes-classes"
SCENES = ROOT / "tests" / "data" / "shapes-detection"
SHOWN_MAPS = ("shapes_0015", "shapes_0011")
SHOWN_CLASSES = ("shape_0004", "shape_0008", "shape_0012", "shape_0021")
SHOWN_BOXES = ("scene_0002", "scene_0013", "scene_0005", "scene_0031")
TILE, LINE, GAP = (232, 174), 22, 8  # pixels: a picture, the line of text under it, and what is between them


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

    step("What to look at")
    results(out).save(out / "results.png")
    for name, what in (
        ("results.png", "some of all results in one picture"),
        ("overlays", "label maps over their images; labels/ has the maps alone"),
        ("boxes/overlays", "boxes with names and scores"),
        ("scores/report.html", "how good the label maps are, the worst first"),
        ("classes-scores/report.html", "the pictures that the classifier takes for something else"),
        ("boxes-scores/report.html", "how good the boxes are"),
        ("voc-fcn8s/report.html", "crops, graph and sources of FCN-8s"),
        ("voc-fcn8s/voc_fcn8s.py", "its PyTorch module"),
    ):
        print(f"{out / name!s:<36} {what}")


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


def results(out: Path) -> Image.Image:
    """One picture of what was found: label maps, classes, boxes, a row each."""
    tiles: list[tuple[Image.Image, str]] = []
    for name in SHOWN_MAPS:
        tiles.append((picture(DATA / "VOC" / "JPEGImages" / f"{name}.jpg"), "a picture"))
        tiles.append((picture(out / "labels" / f"{name}.png"), "the class of each pixel"))
    for found in records(out / "classes" / "classes.jsonl", SHOWN_CLASSES):
        best = found["top"][0]
        tiles.append((picture(Path(found["image"])), f"{best['name']}: {best['score']:.2f}"))
    names = named_classes(str(SCENES / "labelmap_shapes.prototxt"), None)
    for found in records(out / "boxes" / "detections.jsonl", SHOWN_BOXES):
        rows = [row for row in found["detections"] if row["score"] >= 0.5]
        tiles.append((boxes(Path(found["image"]), rows, names), f"{len(rows)} found"))
    return sheet(tiles)


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def records(path: Path, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The lines of a file of results that tell of these images, in the order of the names."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_name = {Path(line["image"]).stem: line for line in lines}
    return [by_name[name] for name in names]


def boxes(path: Path, rows: list[dict[str, Any]], names: tuple[str, ...]) -> Image.Image:
    """An image with boxes, drawn at the size at which it is shown."""
    small = picture(path)
    image = fitted(small)
    scale = image.width / small.width
    corners = np.array([row["box"] for row in rows], np.float64).reshape(-1, 4)
    kinds, scores = (np.array([row[key] for row in rows]) for key in ("class", "score"))
    return Image.fromarray(drawn(np.asarray(image), Detections(kinds, scores, corners * scale), names))


def fitted(image: Image.Image) -> Image.Image:
    """The image as large as its place in the sheet allows."""
    factor = min(TILE[0] / image.width, TILE[1] / image.height)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def sheet(tiles: list[tuple[Image.Image, str]], columns: int = 4) -> Image.Image:
    """Pictures in rows, each as large as its place allows, with a line under it."""
    across, down = TILE[0] + GAP, TILE[1] + LINE + GAP
    made = Image.new("RGB", (columns * across + GAP, len(tiles) // columns * down + GAP), "white")
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(14)
    for index, (image, text) in enumerate(tiles):
        left, top = GAP + index % columns * across, GAP + index // columns * down
        shown = fitted(image)
        made.paste(shown, (left + (TILE[0] - shown.width) // 2, top + (TILE[1] - shown.height) // 2))
        draw.text((left + TILE[0] // 2, top + TILE[1] + 4), text, fill="black", font=font, anchor="mt")
    return made


if __name__ == "__main__":
    demo(Path("demo-out"))
