"""The schema: complete, float32-exact, as its tables say; descriptors built from it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.layers.registry import layer_class
from netcompile.prototxt import schema
from netcompile.prototxt.descriptors import message_class, pool
from netcompile.prototxt.parser import parse
from netcompile.prototxt.schema import V1_TYPE, enum_names, enum_type, float32, message_names, message_type
from netcompile.prototxt.upgrade_tables import v1_type, v2_type

TABLES = Path(schema.__file__).parent / "tables"


def rows(name: str) -> list[dict[str, str]]:
    with open(TABLES / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_tables_are_sound() -> None:
    fields = rows("fields.tsv") + rows("fork-fields.tsv")
    enums: dict[str, set[str]] = {}
    for row in rows("enums.tsv") + rows("fork-enums.tsv"):
        assert row["value"] not in enums.setdefault(row["enum"], set()), row
        enums[row["enum"]].add(row["value"])
    messages = {row["message"] for row in fields}
    scalars = {"int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "bytes"}
    assert len({(row["message"], row["field"]) for row in fields}) == len(fields)
    for row in fields:
        assert row["type"] in scalars | messages | enums.keys(), row
        assert row["label"] in ("optional", "repeated", "required"), row
        assert (row["notes"] or "") in ("", "packed"), row
        assert not row["default"] or row["type"] not in enums or row["default"] in enums[row["type"]], row
        assert row["type"] != "bool" or row["default"] in ("", "true", "false"), row
    assert {row["label"] for row in fields} == {"optional", "repeated", "required"}


@pytest.mark.parametrize(("table", "forks"), [("fields.tsv", False), ("fork-fields.tsv", True)])
def test_every_row_is_there(table: str, forks: bool) -> None:
    for row in rows(table):
        field = message_type(row["message"]).fields[row["field"]]
        assert field.number == (int(row["number"]) if row["number"] else None)
        assert row["type"] == (field.message or field.enum or field.type)
        assert (field.repeated, field.required) == (row["label"] == "repeated", row["label"] == "required")
        assert field.packed == ("packed" in row["notes"])
        assert (field.fork is not None) == forks
        if row["default"]:
            if field.type in ("float", "double"):
                assert field.default == float32(float(row["default"]))
            elif field.type == "bool":
                assert field.default == (row["default"] == "true")
            else:
                assert str(field.default) == row["default"]


def test_enums() -> None:
    for row in rows("enums.tsv"):
        enum = enum_type(row["enum"])
        assert enum.numbers[row["value"]] == int(row["number"])
        assert enum.names[int(row["number"])] == row["value"]
        assert row["value"] not in enum.forks
    for row in rows("fork-enums.tsv"):
        assert enum_type(row["enum"]).forks[row["value"]] == row["fork"]


def test_defaults_without_a_default() -> None:
    state = message_type("NetStateRule").fields
    assert (state["phase"].default, state["min_level"].default) == ("TRAIN", 0)
    assert message_type("NetState").fields["phase"].default == "TEST"
    assert message_type("Datum").fields["data"].default == b""
    assert message_type("HingeLossParameter").fields["norm"].default == "L1"
    assert message_type("SolverParameter").fields["momentum2"].default == 0.9990000128746033
    assert message_type("LayerParameter").fields["convolution_param"].number == 106


def test_v1_numbers_of_forks() -> None:
    enum = enum_type("V1LayerParameter.LayerType")
    assert (enum.names[39], enum.numbers["DECONVOLUTION"], enum.numbers["CROP"]) == ("DECONVOLUTION", 39, 40)


def test_forks_can_be_refused() -> None:
    text = 'layer { name: "a" bn_param { eps: 1 } loss_param { normalization: PRE_FIXED } }'
    layer = parse(Source(text)).get("layer")[0]
    entry = layer.entry("bn_param")
    assert entry is not None
    assert entry.field.fork == "SegNet"
    with pytest.raises(NetError) as caught:
        parse(Source(text), forks=False)
    assert [d.code for d in caught.value.diagnostics] == ["unknown-field", "unknown-enum-value"]


def test_descriptors_agree() -> None:
    for name in message_names():
        descriptor = message_class(name).DESCRIPTOR
        kind = message_type(name)
        assert [f.name for f in descriptor.fields] == list(kind.fields)
        for field in descriptor.fields:
            ours = kind.fields[field.name]
            if not ours.repeated and ours.message is None:
                default = field.default_value
                if ours.enum is not None:
                    default = field.enum_type.values_by_number[default].name
                assert default == ours.default, (name, field.name)
    assert len(enum_names()) == len(set(enum_names()))
    plain = pool(forks=False).FindMessageTypeByName("caffe.LayerParameter")
    assert "bn_param" not in plain.fields_by_name


def test_reading_imports_nothing_heavy() -> None:
    """Reading a net starts quickly: none of these are needed for it."""
    heavy = ["torch", "numpy", "networkx", "google.protobuf", "jinja2", "h5py"]
    heavy += ["hashlib"]
    code = f"""
import sys
from netcompile.prototxt.load import load_net
from netcompile.diagnostics.source import Source
load_net(Source('layer {{ name: "a" type: "ReLU" pooling_param {{ kernel_size: 3 }} }}'))
print([m for m in {heavy!r} if m in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_old_and_new_names_of_layer_types() -> None:
    names = [name for name in enum_type(V1_TYPE).numbers if name != "NONE"]
    assert [v1_type(v2_type(name)) for name in names] == names
    assert all(layer_class(v2_type(name)) for name in names if name not in enum_type(V1_TYPE).forks)
    assert list(map(v2_type, ("INNER_PRODUCT", "SOFTMAX_LOSS", "SEG_ACCURACY", "NONE"))) == [
        "InnerProduct",
        "SoftmaxWithLoss",
        "SegAccuracy",
        "",
    ]
    assert v1_type("Convolutoin") is None


def test_a_type_in_quotes_gets_its_old_name_suggested() -> None:
    with pytest.raises(NetError) as refused:
        parse(Source('layers { type: "Crop" }'))
    assert refused.value.diagnostics[0].remedy == "type: CROP"
