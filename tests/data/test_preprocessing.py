"""What a data layer says about images: means, scales, orders; nothing is evaluated."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from netcompile.analyser import analyse
from netcompile.data.images import FCN_MEAN_BGR, to_blob
from netcompile.data.preprocessing import Preprocessing, as_json, from_json, of_input
from netcompile.data.preprocessing import preprocessing_of as prepared
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.layers.param_str import read_literal
from tests.caffemodel.encode import chunk, floats, varint
from tests.runtime.conftest import picture

CONV = (
    'layer { name: "c" type: "Convolution" bottom: "%s" top: "c" convolution_param { num_output: 2 kernel_size: 1 } }'
)


def graph(data: str, top: str = "data"):
    return analyse(Source(data + "\n" + CONV % top)).graph


def python(layer: str, params: str, top: str = "data") -> str:
    return (
        f'layer {{ name: "d" type: "Python" top: "{top}" python_param {{ module: "m" layer: "{layer}" '
        f'param_str: "{params}" }} }}'
    )


def data(transform: str) -> str:
    return f'layer {{ name: "d" type: "Data" top: "data" data_param {{ batch_size: 1 }} {transform} }}'


def preparation(net, channels, beside="", **options):
    """What the first input of a net goes through."""
    found, notes = of_input(net.inputs[0], beside) if net is not None else (None, [])
    made, more = prepared(found, channels, **options)
    return made, notes + more


CASES = [
    (python("X", "{'mean': (1, 2, 3)}"), (1, 2, 3), 1, "bgr", []),
    (python("X", "{'mean': [1.5]}"), (1.5,), 1, "bgr", []),
    (python("X", '{\\"mean\\": [1, 2, 3], \\"shuffle\\": true}'), (1, 2, 3), 1, "bgr", []),
    (python("VOCSegDataLayer", "{'split': 'val', 'mean': (1, 2, 3)}"), (1, 2, 3), 1, "bgr", []),
    (python("VOCSegDataLayer", "{'split': 'val'}"), FCN_MEAN_BGR, 1, "bgr", ["mean-assumed"]),
    (python("SIFTFlowSegDataLayer", "dict(split='val')"), (114.578, 115.294, 108.353), 1, "bgr", []),
    (python("X", "{}"), FCN_MEAN_BGR, 1, "bgr", ["mean-assumed"]),
    (python("X", "__import__('os').abort()"), FCN_MEAN_BGR, 1, "bgr", ["param-str", "mean-assumed"]),
    (data("transform_param { mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 }"), (104, 117, 123), 0.5,
     "bgr", []),
    (data("transform_param { mean_value: 127 }"), (127,), 1, "bgr", []),
    (data("transform_param { mirror: true }"), (0,), 1, "bgr", []),
    (data(""), (0,), 1, "bgr", []),
    (data('transform_param { mean_file: "/nowhere/mean.binaryproto" }'), FCN_MEAN_BGR, 1, "bgr",
     ["mean-file", "mean-assumed"]),
    ('layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }', FCN_MEAN_BGR, 1,
     "bgr", ["mean-assumed"]),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "mean", "scale", "order", "codes"), CASES)
def test_data_layers(layer, mean, scale, order, codes):
    found, notes = preparation(graph(layer), 3)
    assert found.mean == pytest.approx(mean)
    assert (found.scale, found.order) == (scale, order)
    assert [note.code for note in notes] == codes


def test_the_hha_input_keeps_its_order():
    found, notes = preparation(graph(python("NYUDSegDataLayer", "{'tops': ['hha', 'label']}", "hha"), "hha"), 3)
    assert (found.mean, found.order, notes) == ((132.431, 94.076, 118.477), "rgb", [])


def test_depth_is_a_logarithm():
    net = graph(python("NYUDSegDataLayer", "{'tops': ['depth', 'label']}"))  # what a top is, param_str says
    found, notes = preparation(net, 1)
    assert (found.mean, found.order, notes) == ((7.8952,), "depth", [])
    depth = np.array([[1000, 2000]], np.float32)
    assert np.allclose(found.blob(depth), np.log([[[1000, 2000]]]) - 7.8952, atol=1e-6)
    with pytest.raises(ValueError, match=r"^a depth of 0 has no logarithm$"):
        found.blob(np.array([[0, 5]], np.float32))


def test_a_manifest_keeps_everything():
    made = Preprocessing((1.5, 2, 3), 0.25, "rgb", np.zeros((3, 2, 2), np.float32), "somewhere")
    fields = as_json(made, "net.mean.npy")
    assert fields["mean_image"] == "net.mean.npy"
    again = from_json(fields, made.image)
    assert again.text() == made.text()
    assert as_json(again, "net.mean.npy") == fields
    with pytest.raises(ValueError, match=r"^'bgra' is no order of channels$"):
        from_json({**fields, "order": "bgra"}, None)


def test_options_replace_what_the_layer_says():
    net = graph(python("X", "{'mean': (1, 2, 3)}"))
    found, notes = preparation(net, 3, mean="4, 5,6", scale=2.0, order="rgb")
    assert (found.mean, found.scale, found.order, notes) == ((4, 5, 6), 2.0, "rgb", [])
    assert preparation(net, 3, mean="0")[0].mean == (0,)


def binaryproto(values: np.ndarray) -> bytes:
    dims = b"".join(varint(n) for n in (1, *values.shape))
    return chunk(7, chunk(1, dims)) + chunk(5, floats(values.ravel()))


def test_a_mean_image(tmp_path):
    image = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(binaryproto(image))
    found, notes = preparation(None, 3, mean=str(path))
    assert notes == []
    assert found.mean == (3.5, 11.5, 19.5)
    same, other = picture(1, 2, 4), picture(1, 5, 4)
    assert np.array_equal(found.blob(same), same[:, :, ::-1].transpose(2, 0, 1) - image)
    assert np.array_equal(found.blob(other), to_blob(other, (3.5, 11.5, 19.5))[0])
    net = data(
        f'transform_param {{ mean_file: "elsewhere/mean.binaryproto" scale: {struct.unpack("<f", b"..@?")[0]} }}'
    )
    beside, notes = preparation(graph(net), 3, str(tmp_path))
    assert (beside.mean, notes) == ((3.5, 11.5, 19.5), [])


def test_scale_comes_after_the_mean():
    rgb = picture(2)
    blob = Preprocessing((1, 2, 3), 0.25).blob(rgb)
    assert np.array_equal(blob, to_blob(rgb, (1, 2, 3))[0] * np.float32(0.25))
    assert (blob.dtype, blob.flags.c_contiguous) == (np.float32, True)


def test_grey_nets_get_grey():
    found, _ = preparation(None, 1, mean="1,2,6")
    rgb = np.full((2, 2, 3), 100, np.uint8)
    assert np.array_equal(found.blob(rgb), np.full((1, 2, 2), 97, np.float32))


@pytest.mark.parametrize(
    ("channels", "mean", "what"),
    [
        (3, "1,2", "the mean has 2 numbers, the image 3 channels"),
        (3, "nan", "'nan' is neither numbers nor a file"),
        (4, "1", "the net's input has 4 channels; an image has 3, or 1"),
    ],
)
def test_refusals(channels, mean, what):
    with pytest.raises(NetError) as caught:
        preparation(None, channels, mean=mean)
    assert [d.what for d in caught.value.diagnostics] == [what]


@pytest.mark.parametrize("text", ["open('x')", "(" * 5000, "", "{'a': b}", "{[1]: 2}", "1 if 2 else 3"])
def test_what_is_no_literal(text):
    assert read_literal(text) is None


# --- what each type of data layer says

TYPES = {
    "Data": "data_param { batch_size: 1 }",
    "ImageData": "image_data_param { batch_size: 1 }",
    "WindowData": "window_data_param { batch_size: 1 }",
    "MemoryData": "memory_data_param { batch_size: 1 channels: 3 height: 8 width: 8 }",
    "ImageSegData": "image_data_param { batch_size: 1 }",
    "WindowSegData": "image_data_param { batch_size: 1 }",
    "DenseImageData": "dense_image_data_param { batch_size: 1 }",
    "AnnotatedData": "data_param { batch_size: 1 }",
    "VideoData": "video_data_param { video_type: WEBCAM }",
    "ImageLabelmapData": "image_data_param { batch_size: 1 }",  # HED's, which is not known here
}


def typed(kind: str, more: str = "", own: str | None = None) -> str:
    tops = 'top: "data" top: "label"'
    return f'layer {{ name: "d" type: "{kind}" {tops} {TYPES.get(kind, "") if own is None else own} {more} }}'


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_takes_what_transform_param_says(kind):
    """(pixel - mean) * scale: BVLC's data_transformer.cpp, which the forks' layers call."""
    scale = "scale: 0.5" if kind != "WindowData" else ""
    found, notes = of_input(graph(typed(kind, f"transform_param {{ mean_value: [1, 2, 3] {scale} }}")).inputs[0])
    assert (found.mean, found.order, found.origin, found.unsaid) == ((1, 2, 3), "bgr", "transform_param", "")
    assert (found.scale, notes) == (0.5 if scale else 1, [])


SILENT = [
    (kind, f"the {kind} layer, which subtracts nothing", [])
    for kind in TYPES if kind not in ("MemoryData", "ImageLabelmapData")
] + [
    ("MemoryData", "the MemoryData layer, which feeds arrays from memory as they are", ["mean-outside"]),
    ("HDF5Data", "the HDF5Data layer, which feeds its files as they are", ["mean-outside"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "origin", "codes"), SILENT)
def test_a_layer_that_subtracts_nothing_is_taken_at_its_word(kind, origin, codes):
    found, notes = preparation(graph(typed(kind)), 3)
    assert (found.mean, found.scale, found.order, found.origin, found.unsaid) == ((0.0,), 1, "bgr", origin, "")
    assert [note.code for note in notes] == codes


REASONS = [
    ('layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }',
     "the input is declared without a data layer"),
    ('input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8',
     "the input is declared without a data layer"),
    (python("X", "{'split': 'val'}"), "the param_str of X names no mean, and its code is not there"),
    (python("X", "{'mean': True}"), "the param_str of X names no mean, and its code is not there"),
    (python("X", "f()"), "the param_str of X is no literal, and code is not run"),
    (typed("ImageLabelmapData"),
     "what layers of type ImageLabelmapData subtract is in their code, which is not known here"),
    (data('transform_param { mean_file: "/nowhere/m.binaryproto" }'),
     "the data layer names the mean file '/nowhere/m.binaryproto', which is not here"),
    (typed("ImageSegData", 'transform_param { mean_file: "m.binaryproto" }'),
     "the net names a mean file, which layers of type ImageSegData do not take"),
    ('layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: [1, 3, 8, 8] } '
     'data_filler { type: "gaussian" } } }', "a DummyData layer feeds numbers that it draws, no images"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "reason"), REASONS)
def test_the_default_says_truly_why_it_is_used(layer, reason):
    found, notes = preparation(graph(layer), 3)
    assert found.mean == FCN_MEAN_BGR
    note = notes[-1]
    assert (note.code, note.why) == ("mean-assumed", f"{reason}; this is the mean of the FCN reference code")
    assert note.what == (
        "nothing says which mean the net was trained with: 104.007, 116.669, 122.679 (BGR) is subtracted"
    )
    assert [note.code for note in preparation(graph(layer), 3, mean="0")[1]] == [n.code for n in notes[:-1]]


def test_what_is_said_besides_a_mean_that_is_not_here_is_kept():
    layer = data('transform_param { mean_file: "/nowhere/m.binaryproto" scale: 0.25 }')
    found, _ = preparation(graph(layer), 3)
    assert (found.mean, found.scale) == (FCN_MEAN_BGR, 0.25)
    again = from_json(as_json(of_input(graph(layer).inputs[0])[0], None), None)
    assert (again.mean, again.scale) == (FCN_MEAN_BGR, 0.25)
    assert again.unsaid == "the data layer names the mean file '/nowhere/m.binaryproto', which is not here"


@pytest.mark.parametrize(("channels", "order", "said"), [
    (3, "rgb", "122.679, 116.669, 104.007 (RGB)"), (1, None, "114.452 (GREY)"),
])  # fmt: skip
def test_the_note_names_the_mean_that_is_subtracted(channels, order, said):
    found, notes = preparation(None, channels, order=order)
    assert [note.what for note in notes] == [f"nothing says which mean the net was trained with: {said} is subtracted"]
    rgb = np.full((1, 1, 3), 50, np.uint8)
    expected = [50 - FCN_MEAN_BGR[2], 50 - FCN_MEAN_BGR[1], 50 - FCN_MEAN_BGR[0]] if channels == 3 else [
        50 - sum(FCN_MEAN_BGR) / 3]  # fmt: skip
    assert found.blob(rgb).ravel() == pytest.approx(expected)


UNREAD = [
    ("Data", "data_param { mean_file: 'm' scale: 2 }", ["data_param.mean_file", "data_param.scale"]),
    ("ImageData", "image_data_param { mean_file: 'm' }", ["image_data_param.mean_file"]),
    ("ImageSegData", "image_data_param { scale: 2 }", ["image_data_param.scale"]),
    ("AnnotatedData", "data_param { scale: 2 }", ["data_param.scale"]),
    ("DenseImageData", "dense_image_data_param { mean_file: 'm' }", ["dense_image_data_param.mean_file"]),
    ("WindowData", "window_data_param { mean_file: 'm' } transform_param { scale: 2 }",
     ["window_data_param.mean_file", "transform_param.scale"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "own", "fields"), UNREAD)
def test_fields_that_a_layer_has_and_does_not_read_are_told(kind, own, fields):
    found, notes = preparation(graph(typed(kind, own=own)), 3)
    assert (found.mean, found.scale) == ((0.0,), 1)
    assert [note.what for note in notes] == [
        f"{f} is not read by layers of type {kind}, and has no effect" for f in fields
    ]
    assert {(note.code, note.severity) for note in notes} == {("transform-unread", "warning")}


def test_window_data_has_a_scale_of_its_own():
    """window_data_layer.cpp of BVLC Caffe: (pixel - mean) * window_data_param.scale."""
    layer = typed("WindowData", own="window_data_param { scale: 0.5 } transform_param { mean_value: 9 }")
    found, notes = preparation(graph(layer), 3)
    assert (found.mean, found.scale, notes) == ((9,), 0.5, [])


def test_a_mean_file_beside_numbers_is_told():
    found, notes = preparation(graph(data("transform_param { mean_value: 5 mean_file: 'm' }")), 3)
    assert (found.mean, [note.code for note in notes]) == ((5,), ["param-conflict"])


def test_a_grey_input_says_which_average():
    found, notes = preparation(graph(data("transform_param { mean_value: [1, 2, 6] }")), 1)
    assert (found.mean, found.order) == ((3,), "grey")
    assert [(note.code, note.severity) for note in notes] == [("mean-average", "note")]
    assert notes[0].what.endswith("their average, 3, is subtracted")
