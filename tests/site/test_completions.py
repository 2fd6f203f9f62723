"""What may stand at a place: the marker | is the cursor."""

from __future__ import annotations

import pytest

from netcompile.layers.registry import TYPES
from netcompile.prototxt.schema import message_names, message_type
from netcompile.site.completions import completions, default_text
from netcompile.site.positions import Units


def at(text: str) -> tuple[str, list[str]]:
    """What is replaced, and the labels that are offered."""
    position = text.index("|")
    text = text.replace("|", "", 1)
    found = completions(text, position)
    return text[found.start : position] if found.items else "", [item.label for item in found.items]


@pytest.mark.parametrize(
    ("text", "replaced", "offered"),
    [
        ("|", "", "layer"),
        ("la|", "la", "layer"),
        ("layer { | }", "", "bottom"),
        ("layer { convolution_param { ke| } }", "ke", "kernel_size"),
        ("layer { convolution_param { weight_filler { | } } }", "", "variance_norm"),
        ("layer { convolution_param: < ke| > }", "ke", "kernel_size"),
        ('layer { type: "|" }', '"', "Convolution"),
        ('layer { type: "Con|" }', '"Con', "Convolution"),
        ("layer { type: | }", "", "Deconvolution"),
        ("layer { pooling_param { pool: | } }", "", "AVE"),
        ("layer { pooling_param { pool: M| } }", "M", "MAX"),
        ("layers { type: | }", "", "CONVOLUTION"),
        ("layer { convolution_param { bias_term: | } }", "", "false"),
        ("layer { convolution_param { num_output: 5 | } }", "", "kernel_size"),
        ('layer { top: "a" } layer { bottom: "|', '"', "a"),
        ('input: "data" layer { bottom: | }', "", "data"),
        ("layer { include { phase: | } }", "", "TRAIN"),
        ("# a comment { \n | ", "", "layer"),
        ('name: "a {" | ', "", "layer"),
    ],
)
def test_what_is_offered(text, replaced, offered):
    found, labels = at(text)
    assert found == replaced
    assert offered in labels


@pytest.mark.parametrize(
    "text",
    [
        "# a comm|ent",
        "layer { convolution_param { num_output: | } }",
        "layer { convolution_param { num_output: 5| } }",
        'layer { name: "|" }',
        "nonsense { | }",
        "layer { top: x| }",
    ],
)
def test_nothing_is_offered(text):
    assert at(text) == ("", [])


def test_the_kinds_of_items():
    def item(text: str, label: str) -> tuple[str, ...]:
        found = completions(text, len(text)).items
        return next((i.kind, i.detail, i.default, i.insert) for i in found if i.label == label)

    conv = "layer { convolution_param { "
    assert item(conv, "group") == ("field", "uint32", "1", "group: ")
    assert item(conv, "bias_term") == ("field", "bool", "true", "bias_term: ")
    assert item(conv, "kernel_size") == ("field", "repeated uint32", "", "kernel_size: ")
    assert item(conv, "weight_filler") == ("message", "FillerParameter", "", "weight_filler {\n  \n}")
    assert item("layer { lrn_param { ", "beta") == ("field", "float", "0.75", "beta: ")
    assert item("layer { batch_norm_param { ", "eps") == ("field", "float", "1e-05", "eps: ")
    assert item("layer { pooling_param { ", "pool") == ("field", "PoolingParameter.PoolMethod", "MAX", "pool: ")
    assert item("layer { pooling_param { pool: ", "AVE") == ("value", "PoolingParameter.PoolMethod", "MAX", "AVE")
    assert item("layer { ", "type") == ("field", "string", "", 'type: ""')
    assert item("layer { ", "permute_param")[1] == "PermuteParameter fork: SSD"
    assert item('layer { type: "', "Crop") == ("type", "layer type", "", '"Crop"')
    assert item("layer { convolution_param { weight_filler { ", "type") == (
        "field", "string", '"constant"', 'type: ""',
    )  # fmt: skip


def test_a_string_that_is_closed_keeps_its_end():
    text = 'layer { type: "Con" }'
    found = completions(text, text.index('" }'))
    assert {item.insert for item in found.items if item.label == "Convolution"} == {'"Convolution'}


def test_fields_of_today_come_first():
    labels = at("|")[1]
    assert labels[0] == "name"
    assert labels.index("layer") < labels.index("input") < labels.index("layers")


def test_every_field_of_the_schema_is_offered_with_its_default():
    for name in message_names():
        for field in message_type(name).fields.values():
            assert isinstance(default_text(field), str)
    offered = set(at('layer { type: "|')[1])
    assert offered == {name for names in TYPES.values() for name in names if ":" not in name}


@pytest.mark.parametrize("text", ["", "abc", "é", "\U0001f600", "a\U0001f600b\U0001f600\U0001f600c", "\ud800x"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_units_count_as_javascript_does(mark, text):
    units = Units(mark + text)
    for offset in range(len(text) + 1):
        count = len((mark + text[:offset]).encode("utf-16-le", "surrogatepass")) // 2
        assert units.of(offset) == count
        assert units.offset(count) == offset


def test_a_position_inside_a_character_is_the_characters():
    assert Units("\U0001f600b").offset(1) == 0
    assert Units("\ufeffab").offset(0) == 0
