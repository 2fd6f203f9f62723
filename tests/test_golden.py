"""Full-width FCN nets on a real photograph, against real Caffe's scores and label maps."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from netcompile.analyser import analyse
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source

NETS = ("voc-fcn32s", "voc-fcn8s", "siftflow-fcn8s")


@pytest.mark.parametrize("name", NETS)
def test_scores_and_label_maps(name: str, shared: Path, repository: Path, tmp_path: Path) -> None:
    from PIL import Image

    from netcompile.data.images import FCN_MEAN_BGR, read_image, to_blob
    from netcompile.runtime.execute import run

    golden = json.loads((shared / "fcn-golden" / f"{name}.json").read_text())
    weights = tmp_path / "weights.caffemodel"
    make = runpy.run_path(str(shared / "tools" / "make_caffemodel.py"))["write"]
    make(golden["params"], golden["seed"], str(weights))
    image = read_image(shared / "fcn-golden" / "image.jpg")[: golden["image_rows"]]
    data = to_blob(image, FCN_MEAN_BGR)
    source = repository / "prototxt" / golden["prototxt"]
    net = analyse(open_source(source), Options(shapes={"data": data.shape})).require()
    assert {b: list(net.shapes[v]) for b, v in net.graph.blobs.items()} == golden["blobs"]
    found = run(net, weights, {"data": data}, blobs=list(golden["values"]))
    for blob, entry in golden["values"].items():
        places, values = (np.array(column) for column in zip(*entry["samples"], strict=True))
        got = found[blob].ravel()[places.astype(np.int64)]
        assert np.abs(got - values).max() <= 1e-4 * entry["absmax"], blob
    for blob in net.graph.outputs:
        with Image.open(shared / "fcn-golden" / f"{name}.{blob}.argmax.png") as picture:
            labels = np.asarray(picture)
        assert (found[blob][0].argmax(0) == labels).mean() >= 0.9999, blob
