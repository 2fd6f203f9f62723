"""The published schemas against what the commands print, for nets of all kinds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.report.as_json import layers_as_json, offsets_as_json
from netcompile.report.layers import layers_report
from netcompile.report.offsets import offsets_report
from tests.conftest import CONFORMANCE, REPOSITORY

KINDS = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def schema(name: str) -> dict[str, Any]:
    return json.loads((REPOSITORY / f"netcompile/report/schemas/{name}-1.json").read_text())  # type: ignore[no-any-return]


def mistakes(value: Any, rule: dict[str, Any], root: dict[str, Any], at: str = "") -> list[str]:
    """The few keywords that the schemas use."""
    if "$ref" in rule:
        return mistakes(value, root["$defs"][rule["$ref"].removeprefix("#/$defs/")], root, at)
    if "anyOf" in rule:
        tries = [mistakes(value, option, root, at) for option in rule["anyOf"]]
        return [] if any(not found for found in tries) else min(tries, key=len)
    if "const" in rule:
        return [] if value == rule["const"] else [f"{at}: {value!r}"]
    if "enum" in rule:
        return [] if value in rule["enum"] else [f"{at}: {value!r}"]
    kind = KINDS[rule["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{at}: {value!r} is no {rule['type']}"]
    if kind is str:
        return [] if re.search(rule.get("pattern", ""), value) else [f"{at}: {value!r}"]
    if kind is list:
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            return [f"{at}: {len(value)} items"]
        return [m for i, item in enumerate(value) for m in mistakes(item, rule["items"], root, f"{at}[{i}]")]
    if kind is dict:
        rules = rule.get("properties", {})
        rest = rule["additionalProperties"]
        found = [f"{at}: no {key}" for key in rule.get("required", ()) if key not in value]
        for key, item in value.items():
            inner = rules.get(key, rest)
            found += [f"{at}: {key}"] if inner is False else mistakes(item, inner, root, f"{at}.{key}")
        return found
    return []


NETS = [
    *sorted(REPOSITORY.glob("prototxt/*/*.prototxt")),
    *sorted(CONFORMANCE.glob("*/net.prototxt"))[::3],
]


@pytest.mark.parametrize("name", ["offsets", "inspect"])
def test_what_is_printed(name: str) -> None:
    rule, nets = schema(name), 0
    for path in NETS:
        try:
            analysed = analyse(open_source(path))
        except NetError:
            continue
        nets += 1
        made = (
            offsets_as_json(offsets_report(analysed)) if name == "offsets" else layers_as_json(layers_report(analysed))
        )
        assert mistakes(json.loads(json.dumps(made)), rule, rule) == [], path
    assert nets > 60


def test_the_check_can_fail() -> None:
    rule = schema("offsets")
    (net,) = (path for path in NETS if path.match("voc-fcn8s/val.prototxt"))
    good = offsets_as_json(offsets_report(analyse(open_source(net))))
    assert mistakes(good | {"version": 2}, rule, rule) == [".version: 2"]
    assert mistakes(good | {"more": 1}, rule, rule) == [": more"]
    assert mistakes({k: v for k, v in good.items() if k != "net"}, rule, rule) == [": no net"]
    broken = json.loads(json.dumps(good))
    broken["crops"][0]["inferred"][0] = "1.5"
    assert mistakes(broken, rule, rule) == [".crops[0].inferred[0]: '1.5'"]


def test_blobs_have_the_names_of_the_graph() -> None:
    """A top that Caffe invents is called "(automatic)" wherever a user can ask for it."""
    text = 'layer { name: "d" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } } }'
    text += 'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "t" }'
    analysed = analyse(Source(text))
    assert list(layers_as_json(layers_report(analysed))["blobs"]) == ["x", "t", "(automatic)"]
