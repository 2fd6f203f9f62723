"""Nets met in the wild, in their least form: what loads, what is said, and that no hint invents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source

NETS = Path(__file__).parent / "nets"
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }\n'


def found(name: str, **options: object) -> Analysed:
    return analyse(open_source(NETS / f"{name}.prototxt"), Options(**options)).require()  # type: ignore[arg-type]


def net(text: str, **options: object) -> Analysed:
    return analyse(Source(text, "t"), Options(**options)).require()  # type: ignore[arg-type]


def errors(text: str, **options: object) -> list[tuple[str, str, str]]:
    """(code, what, remedy) of each mistake; warnings may stand among them."""
    with pytest.raises(NetError) as caught:
        net(text, **options)
    return [(d.code, d.what, d.remedy) for d in caught.value.diagnostics if d.severity == "error"]


# fields that only a fork knows, where nothing is read ------------------------------------------------------------


def test_fields_of_a_layer_that_the_phase_leaves_out_are_warnings() -> None:
    loaded = found("unknown-field-in-train-only-layer")
    told = [(n.code, n.severity, n.what) for n in loaded.notes]
    assert told == [
        ("unknown-field", "warning", "TransformationParameter has no field 'crop_height'"),
        ("unknown-field", "warning", "TransformationParameter has no field 'crop_width'"),
        ("unknown-field", "warning", "DataParameter has no field 'shuffle_pool_size'"),
        ("unknown-field", "warning", "LayerParameter has no field 'special_loss_param'"),
    ]
    assert loaded.notes[0].why == "nothing depends on it: layer 'feed' takes no part in phase TEST"
    assert loaded.graph.outputs == ("c",)


DATA = 'layer { name: "d" type: "ImageData" top: "x" image_data_param { source: "s" batch_size: 1 weird: 3 } }\n'
CONVOLUTION = 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 %s } }\n'


def test_fields_of_a_data_layer_are_warnings() -> None:
    loaded = net(DATA + CONVOLUTION % "kernel_size: 1")
    assert ("unknown-field", "warning") in {(n.code, n.severity) for n in loaded.notes}


def test_fields_of_layers_that_count_are_errors() -> None:
    text = DATA + CONVOLUTION % "kernel_size: 1 weird: 2"
    assert [(c, w) for c, w, _ in errors(text)] == [("unknown-field", "ConvolutionParameter has no field 'weird'")]
    declared = INPUT.replace("dim: 1", "dmi: 1")
    assert [c for c, _, _ in errors(declared + CONVOLUTION % "kernel_size: 1")] == ["unknown-field"]


def test_a_hundred_such_fields_do_not_stop_the_reading() -> None:
    many = DATA.replace("weird: 3", " ".join(f"weird{i}: 3" for i in range(100)))
    assert net(many + CONVOLUTION % "kernel_size: 1").graph.outputs == ("y",)


# unknown layers --------------------------------------------------------------------------------------------------

UNKNOWN = """layer { name: "a" type: "Mystery" bottom: "x" top: "a" mystery_param { depth: 3 inner { way: UP } } }
layer { name: "b" type: "Riddle" bottom: "a" top: "b" riddle_param { size: [1, 2] } answer: 42 }
layer { name: "c" type: "ReLU" bottom: "b" top: "c" }
"""


def test_unknown_layers_are_named_as_such_and_no_field_of_theirs() -> None:
    stub = "install a plugin for it, or --allow-unknown keeps a stub in its place"
    assert errors(INPUT + UNKNOWN) == [
        ("unknown-layer", "unknown layer type 'Mystery'", stub),
        ("unknown-layer", "unknown layer type 'Riddle'", stub),
    ]


def test_allow_unknown_keeps_them_with_their_own_blocks() -> None:
    loaded = net(INPUT + UNKNOWN, allow_unknown=True)
    assert [node.type for node in loaded.graph.nodes] == ["Mystery", "Riddle", "ReLU"]
    assert "UnknownLayer(" in compile_net(loaded, 1).source


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        ("tpye: 3", "did you mean 'type'?"),
        ("gates_param { }", "remove it"),
        ("memory_pool_param { }", "remove it"),
        ("special_loss_param { }", "remove it"),
        ("convolutoin_param { }", "did you mean 'convolution_param'?"),
        ("poling_param { }", "did you mean 'pooling_param'?"),
    ],
)
def test_what_all_block_names_share_makes_none_likely(field: str, remedy: str) -> None:
    text = INPUT + f'layer {{ name: "r" type: "ReLU" bottom: "x" top: "y" {field} }}'
    assert [r for code, _, r in errors(text) if code == "unknown-field"] == [remedy]


def test_a_number_is_the_authors_to_choose() -> None:
    text = (
        INPUT + 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: cls3x } }'
    )
    code, what, remedy = errors(text)[0]
    assert (code, remedy) == ("wrong-type", "num_output: …")
    assert what == "num_output wants a number, whole and not negative, not cls3x"


# bottoms that another phase makes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "flags"),
    [
        ("include { phase: TRAIN }", "--phase train"),
        ("exclude { phase: TEST }", "--phase train"),
        ('include { stage: "deploy" }', "--stage deploy"),
        ('include { phase: TRAIN stage: "val" }', "--phase train --stage val"),
        ("include { min_level: 2 }", "--level 2"),
        ('include { stage: "a" stage: "b" }', "--stage a --stage b"),
    ],
)
def test_the_maker_in_another_phase_is_named(rules: str, flags: str) -> None:
    text = INPUT.replace("layer {", f"layer {{ {rules}", 1)
    text += (
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }\nlayer { name: "s" type: "TanH" bottom: "x" top: "z" }'
    )
    with pytest.raises(NetError) as caught:
        net(text)
    (only,) = caught.value.diagnostics
    assert only.what == "no layer makes bottom 'x' of layer 'r' in phase TEST"
    assert only.why == f"layer 'in' makes it, at t:1:1, and takes no part: {rules}"
    assert only.remedy == flags


def test_a_layer_is_not_moved_before_itself() -> None:
    text = INPUT + 'layer { name: "norm" type: "ReLU" bottom: "norm" top: "norm" }'
    code, what, remedy = errors(text)[0]
    assert (code, what, remedy) == ("unknown-bottom", "no layer makes bottom 'norm' of layer 'norm'", "")


# inputs, losses, outputs -----------------------------------------------------------------------------------------


def test_a_loss_makes_its_top_before_its_weight_is_counted() -> None:
    loaded = found("loss-weight-no-top")
    assert loaded.graph.outputs == ("(automatic)",)


def test_an_input_field_beside_a_layer_that_feeds_the_blob() -> None:
    loaded = net('input: "x"\n' + INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    assert [entry.shape for entry in loaded.graph.inputs] == [(1, 2, 4, 4)]


def test_what_silence_alone_takes_is_an_output_where_there_is_no_other() -> None:
    silent = INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }\nlayer { type: "Silence" bottom: "y" }\n'
    assert net(silent).graph.outputs == ("y",)
    more = silent + 'layer { name: "p" type: "Power" bottom: "x" top: "z" power_param { scale: 2 } }'
    assert net(more).graph.outputs == ("z",)


def test_a_net_of_which_nothing_comes_out_is_an_error() -> None:
    assert errors(INPUT + 'layer { type: "Silence" bottom: "x" }')[0][:2] == (
        "no-outputs",
        "nothing comes out of this net",
    )


# shared memory ---------------------------------------------------------------------------------------------------

SHARED = """layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { shift: -0.5 } }
layer { name: "f" type: "%s" bottom: "p" top: "f" %s }
layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
layer { name: "q" type: "Power" bottom: "p" top: "q" power_param { scale: 2 } }
"""


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "params", "shared"),
    [
        ("Flatten", "", True),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", True),
        ("Split", "", True),
        ("Concat", "", True),
        ("Slice", "", True),
        ("Permute", "permute_param { order: 0 order: 1 order: 2 order: 3 }", True),
        ("Permute", "permute_param { order: 0 order: 1 order: 3 order: 2 }", False),
        ("Dropout", "", False),
        ("Power", "", False),
    ],
)
def test_readers_of_shared_memory_see_what_was_written(kind: str, params: str, shared: bool, level: int) -> None:
    from netcompile.runtime.execute import run

    loaded = net(INPUT + SHARED % (kind, params))
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    for blobs in (["q"], ["all"]):
        made = run(loaded, None, {"x": x}, level=level, blobs=blobs)
        read = np.maximum(x - 0.5, 0) if shared else x - 0.5
        np.testing.assert_allclose(made["q"], 2 * read, rtol=1e-6)
    np.testing.assert_allclose(made["p"], read, rtol=1e-6)
    told = [n.what for n in loaded.notes if n.code == "shared-memory"]
    assert told == (["layer 'q' reads 'p' as layer 'r' has changed it, which works in place on 'f'"] if shared else [])


# a layer's own phase ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "kept"), [("", True), ("phase: TEST", True), ("phase: TRAIN", False)])
def test_dropout_by_its_own_phase(own: str, kept: bool) -> None:
    text = INPUT + f'layer {{ name: "d" type: "Dropout" bottom: "x" top: "y" {own} }}'
    source = compile_net(net(text), 0).source
    assert ("training=True" in source) is not kept


@pytest.mark.parametrize("kind", ["BatchNorm", "BN"])
@pytest.mark.parametrize(("own", "batch"), [("phase: TRAIN", True), ("phase: TEST", False)])
@pytest.mark.parametrize("train", [False, True])
def test_normalisation_by_its_own_phase(kind: str, own: str, batch: bool, train: bool) -> None:
    """The batch's statistics, or those of the weights: zeros and ones where none are given, or Caffe's factor 0."""
    from netcompile.runtime.execute import load_source

    more = "bn_param { frozen: false }" if kind == "BN" else ""
    text = INPUT.replace("dim: 1", "dim: 3") + f'layer {{ name: "n" type: "{kind}" bottom: "x" top: "y" {more} {own} }}'
    module = compile_net(net(text, train=train), 1)
    made = load_source(module).train(train)
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32) + 2
    y = made(torch.from_numpy(x)).detach().numpy()
    if batch:
        assert np.abs(y.mean((0, 2, 3))).max() < 1e-5
        np.testing.assert_allclose(y.std((0, 2, 3)), 1, rtol=1e-4)
    else:
        scale = y / x  # one number: the root of the variance's inverse, whatever the batch
        np.testing.assert_allclose(scale, scale.flat[0], rtol=1e-4)


@pytest.mark.parametrize(("operation", "lost"), [("SUM", True), ("PROD", False)])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_sum_in_place_loses_its_first_bottom(operation: str, lost: bool, level: int) -> None:
    from netcompile.runtime.execute import run

    text = INPUT.replace('top: "x"', 'top: "x" top: "y"')
    text += f'layer {{ type: "Eltwise" bottom: "x" bottom: "y" top: "x" eltwise_param {{ operation: {operation} }} }}'
    loaded = net(text)
    x, y = np.full((1, 2, 4, 4), 3, np.float32), np.full((1, 2, 4, 4), 5, np.float32)
    assert np.unique(run(loaded, None, {"x": x, "y": y}, level=level)["x"]) == [5 if lost else 15]
    assert ("in-place-sum" in {note.code for note in loaded.notes}) is lost


def test_assumed_shapes_of_several_bottoms_that_fit_together() -> None:
    """Words and their marks, of as many streams as there are images: neither shape alone makes the net legal."""
    loaded = net(
        'layer { name: "h" type: "HDF5Data" top: "cont" top: "words" hdf5_data_param { source: "s" batch_size: 20 } }\n'
        'layer { name: "in" type: "Input" top: "image" input_param { shape { dim: 10 dim: 7 } } }\n'
        'layer { name: "e" type: "Embed" bottom: "words" top: "e" embed_param { input_dim: 9 num_output: 4 } }\n'
        'layer { name: "l" type: "LSTM" bottom: "e" bottom: "cont" bottom: "image" top: "l" '
        "recurrent_param { num_output: 3 } }"
    )
    assert {entry.value.blob: entry.shape for entry in loaded.graph.inputs} == {
        "cont": (1, 10),
        "words": (1, 10, 1, 1),
        "image": (10, 7),
    }
