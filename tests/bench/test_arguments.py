"""The command line of the bench, and the cases that it stands for."""

from __future__ import annotations

import pytest

from bench.architectures import NETS
from bench.arguments import COMPARISONS, OUT, PARTS, Options, parse
from bench.cases import FCN, Case, arms, cases


def test_defaults() -> None:
    found = parse(["--threads", "2"])
    assert found == Options()
    assert (found.parts, found.out, found.rounds) == (PARTS, OUT, 5)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("--only busy,fcn", "parts", ("fcn", "busy")),
        ("--only build", "parts", ("build",)),
        ("--nets squeezenet,resnet50", "nets", ("ResNet-50", "SqueezeNet 1.1")),
        ("--nets fcn-8s,VGG", "nets", ("FCN-8s", "VGG-16")),
        ("--nets hed", "parts", COMPARISONS),
        ("--nets hed --only plan", "parts", ("plan",)),
        ("--arms o2,literal", "arms", ("literal", "O2")),
        ("--sizes 224", "sizes", ("224x224",)),
        ("--waiting passive", "waiting", ("passive",)),
        ("--quick", "rounds", 3),
        ("--quick --rounds 7", "rounds", 7),
        ("--quick", "nets", ("FCN-8s", "SqueezeNet 1.1")),
        ("--quick --sizes 500", "sizes", ("500x500",)),
        ("--busy 3", "busy", 3),
        ("--no-write", "out", None),
    ],
)
def test_words(line: str, field: str, value: object) -> None:
    assert getattr(parse(line.split()), field) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--only bus,nots",
            "--only: 'nots' is none, or more than one, of tools, build, convert, fcn, nets, busy, plan",
        ),
        ("--arms open", "--arms: 'open' is none, or more than one, of literal, compile, opencv"),
        ("--nets ,", "--nets: '' is none, or more than one, of FCN-8s, VGG-16"),
        ("--rounds -1", "--rounds: at least 1"),
        ("--threads 0", "--threads: at least 1"),
        ("--onl busy", "unrecognized arguments: --onl busy"),
    ],
)
def test_mistakes(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_sizes_are_those_of_the_inputs() -> None:
    for name, (make, size) in NETS.items():
        height, width = size.split("x")
        dims = "".join(f"dim: {n}" for n in (1, 3, height, width))
        assert dims in "".join(line.strip() for line in str(make().to_proto()).splitlines()), name


def test_nets_of_the_comparison() -> None:
    assert set(NETS) >= {
        "ResNet-50", "SqueezeNet 1.1", "VGG-16", "HED", "DenseNet-121", "Inception-v4", "Xception",
    }  # fmt: skip


def test_cases_of_nets_wait_in_both_ways() -> None:
    found = cases("nets", Options(nets=("FCN-8s", "HED")))
    assert found == [Case("HED", "321x481"), Case("HED", "321x481", waiting="passive")]


def test_busy_is_fcn_in_both_types_unless_nets_are_named() -> None:
    found = cases("busy", Options(busy=3))
    assert {(case.net, case.size, case.busy) for case in found} == {(FCN, "500x500", 3)}
    assert [(case.dtype, case.waiting) for case in found] == [
        ("float32", "default"), ("bfloat16", "default"), ("float32", "passive"), ("bfloat16", "passive"),
    ]  # fmt: skip
    assert [case.net for case in cases("busy", Options(nets=("HED",), waiting=("passive",)))] == ["HED"]


def test_fcn_cases() -> None:
    found = cases("fcn", Options(sizes=("500x500", "224x224"), dtypes=("float32",)))
    assert [(case.size, case.batch, case.threads, case.tuned, case.waiting) for case in found] == [
        ("500x500", 1, 2, True, "default"),
        ("224x224", 1, 2, True, "default"),
        ("500x500", 1, 2, True, "passive"),
        ("224x224", 1, 2, True, "passive"),
        ("500x500", 1, 2, False, "default"),
        ("224x224", 1, 2, False, "default"),
        ("500x500", 1, 1, False, "default"),
        ("500x500", 4, 2, True, "default"),
    ]
    assert cases("fcn", Options(nets=("HED",))) == []


def test_every_case_is_there_once() -> None:
    for part in COMPARISONS:
        for options in (Options(), parse(["--quick"]), Options(threads=1)):
            found = cases(part, options)
            assert found
            assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("part", "case", "given", "names"),
    [
        ("busy", Case(FCN, "500x500", busy=2), (), ("onnxruntime", "openvino", "O1", "O2")),
        ("busy", Case(FCN, "500x500", busy=2), ("literal", "O2"), ("literal", "O2")),
        ("plan", Case(FCN, "500x500"), ("literal",), ("O2", "plan")),
        ("fcn", Case(FCN, "500x500", 4), (), ("literal", "opencv", "openvino", "O2")),
        ("fcn", Case(FCN, "500x500", dtype="bfloat16"), ("literal", "O2"), ("literal-float32", "literal", "O2")),
    ],
)
def test_arms(part: str, case: Case, given: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert arms(part, case, Options(arms=given)) == names
