"""How much is said, what was probably meant, and tables that fit: of every command and every option."""

from __future__ import annotations

import argparse
import re
import shutil

import pytest

from netcompile.api import load
from netcompile.cli.command_line import command_names, command_parser
from netcompile.diagnostics.diagnostic import NetError

NET, WEIGHTS = "shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel"
MISALIGNED = """\
name: "m"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 20, 20] } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "s" type: "Crop" bottom: "data" bottom: "c" top: "s" crop_param { axis: 2 offset: 0 } }
"""


def parsers() -> list[tuple[list[str], argparse.ArgumentParser]]:
    """Every parser that reads options: of the commands, and of the operations below them."""
    found: list[tuple[list[str], argparse.ArgumentParser]] = []
    work = [([name], command_parser(name)) for name in command_names()]
    while work:
        line, parser = work.pop()
        below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        work += [(one.prog.split()[1:], one) for action in below for one in dict.fromkeys(action.choices.values())]
        if not below:
            found.append((line, parser))
    return found


PARSERS = parsers()


def test_a_mistyped_option_gets_the_one_that_was_meant(netcompile):
    """Whatever else the command line lacks; with its value, behind "=", and with one dash as Caffe's tools have it."""
    seen = 0
    for line, parser in PARSERS:
        for option in (o for o in parser._option_string_actions if o.startswith("--")):
            wrong = option + option[-1]
            assert wrong not in parser._option_string_actions
            name, given = (
                (wrong, [wrong]),
                (wrong, [f"{wrong}=1"]),
                (wrong, ["x", wrong, "y"]),
                (option[1:], ["x", option[1:], "y"]),
            )[seen % 4]
            done = netcompile(*line, *given)
            assert (done.code, done.out) == (2, "")
            assert done.err == (
                f"netcompile: error: there is no option '{name}'; did you mean '{option}'?\n"
                f"netcompile: see netcompile {' '.join(line)} --help\n"
            ), given
            seen += 1
    assert seen > 150


def test_a_mistyped_value_gets_the_one_that_was_meant(netcompile):
    seen = 0
    for line, parser in PARSERS:
        for option, action in parser._option_string_actions.items():
            for choice in action.choices or () if option.startswith("--") else ():
                done = netcompile(*line, option, choice + choice[-1])
                names = ", ".join(action.choices)
                assert done.err.startswith(
                    f"netcompile: error: argument {option}: invalid choice: '{choice + choice[-1]}' "
                    f"(choose from {names}); did you mean '{choice}'?\n"
                ), (line, done.err)
                seen += 1
    assert seen > 40


@pytest.mark.parametrize(("arguments", "message"), [
    (["biuld", "x"], "no command 'biuld'; did you mean 'build'?"),
    (["inspekt"], "no command 'inspekt'; did you mean 'inspect'?"),
    (["surgery", "interpp"], "argument OPERATION: invalid choice: 'interpp' (choose from convolutionalise, "
     "convolutionalize, transplant, interp, expand-score); did you mean 'interp'?"),
    (["offsets", "x", "--pahse", "test"], "there is no option '--pahse'; did you mean '--phase'?"),
    (["build", "x", "--weigths", "F"], "there is no option '--weigths'; did you mean '--weights'?"),
    (["run", "x", "--inptus=F"], "there is no option '--inptus'; did you mean '--inputs'?"),
    (["offsets", "x", "--crop-offsets", "infered"], "argument --crop-offsets: invalid choice: 'infered' (choose from "
     "auto, declared, inferred); did you mean 'inferred'?"),
    (["offsets", "x", "--purple"], "there is no option '--purple'"),
    (["offsets", "x", "--", "--jsno"], "unrecognized arguments: --jsno"),
    (["offsets", "x", "-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
])  # fmt: skip
def test_what_is_said(netcompile, arguments, message):
    done = netcompile(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.split("\n")[0] == f"netcompile: error: {message}"


def test_every_command_has_both(netcompile):
    for line, parser in PARSERS:
        assert {"-q", "--quiet", "-v", "--verbose"} <= parser._option_string_actions.keys(), line


@pytest.fixture
def files(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.prototxt").write_text(MISALIGNED)
    (tmp_path / "old.prototxt").write_text('input: "x" input_dim: [1, 3, 8, 8]\n')
    shutil.copy(repository / "weights" / WEIGHTS, "w.caffemodel")
    return tmp_path


@pytest.mark.parametrize("arguments", [
    ["build", NET, "-o", "out"],
    ["build", NET, "--weights", "w.caffemodel", "-o", "out"],
    ["convert-weights", "w.caffemodel", "-o", "out"],
    ["surgery", "interp", NET, "--weights", "w.caffemodel", "-o", "out.caffemodel"],
])  # fmt: skip
def test_quiet_says_nothing_of_what_was_written(netcompile, files, arguments):
    assert "wrote out" in netcompile(*arguments).out
    for option in ("-q", "--quiet"):
        done = netcompile(*arguments, option)
        assert (done.code, done.out, done.err) == (0, "", "")


def test_quiet_leaves_notes_out_and_nothing_else(netcompile, files):
    loud, quiet = netcompile("check", "m.prototxt"), netcompile("check", "-q", "m.prototxt")
    assert "note[" in netcompile("upgrade", "old.prototxt").err
    assert netcompile("upgrade", "old.prototxt", "-q").err == ""
    assert netcompile("upgrade", "old.prototxt", "-q").out == netcompile("upgrade", "old.prototxt").out
    assert "error[crop-offset]" in quiet.err or "warning[" in quiet.err
    assert "note[" not in quiet.err
    assert (loud.code, loud.out) == (quiet.code, quiet.out)
    assert netcompile("-q", "offsets", NET).out == netcompile("offsets", NET).out  # data stays
    assert netcompile("offsets", "none", "-q").err.startswith("error[no-such-file]")


def test_verbose_says_every_note_and_what_it_took(netcompile):
    took = r"netcompile: offsets took \d+\.\d\d s and at most [\d.]+ [MG]B of memory\n"
    brief, full = netcompile("offsets", "voc-fcn8s/val"), netcompile("offsets", "voc-fcn8s/val", "-v")
    assert (brief.err, brief.out) == ("", full.out)
    assert re.findall(r"note\[([\w-]+)\]", full.err) == ["assumed-shape", "label-dropped"]
    assert re.search(took, full.err)
    assert netcompile("-v", "offsets", "voc-fcn8s/val").out == full.out
    failed = netcompile("offsets", "none", "--verbose")
    assert failed.code == 2
    assert re.search(took, failed.err)


def test_build_says_where_it_did_not_optimise(netcompile, files):
    assert "\nNot optimised:\n" in netcompile("build", NET, "-v", "-o", "out").out
    assert "Not optimised" not in netcompile("build", NET, "-o", "out").out


@pytest.mark.parametrize("arguments", [
    ["offsets", "voc-fcn8s/val"],
    ["inspect", "voc-fcn8s/val", "--input", "data=1x3x500x500"],
    ["inspect", NET],
    ["verify", NET, "--self", "--input", "data=1x3x16x16"],
])  # fmt: skip
def test_tables_fit(netcompile, arguments):
    """Every line of a table has at most 80 columns where nobody says how many there are."""
    lines = netcompile(*arguments).out.splitlines()
    rows = [line for line in lines if "  " in line.strip() or line.startswith("─")]
    assert any(line.startswith("─") for line in lines)
    assert max(map(len, rows)) <= 80


URL = "https://example.org/fcn8s.caffemodel"
AWAY = (
    f"error[no-such-file]: '{URL}' is a URL, and files are read from this machine alone\n"
    "  fix: download it first: netcompile fetch knows published weights\n"
)


@pytest.mark.parametrize("arguments", [
    ["build", URL],
    ["check", URL],
    ["build", NET, "--weights", URL],
    ["convert-weights", NET, URL],
    ["run", NET, "--inputs", URL, "--out", "x"],
    ["verify", NET, "--reference", URL],
    ["predict", NET, "--weights", "w.caffemodel", "a.png", URL, "-o", "x"],
    ["evaluate", NET, "--weights", "w.caffemodel", "--data", URL],
    ["train", URL, "--data", "x"],
    ["surgery", "transplant", NET, "--weights", URL, "-o", "x.caffemodel"],
])  # fmt: skip
def test_a_url_is_no_file(netcompile, files, arguments):
    done = netcompile(*arguments)
    assert (done.code, done.out, done.err) == (2, "", AWAY)


@pytest.mark.parametrize("given", [(URL,), (NET, URL)])
def test_load_reads_nothing_from_the_network(given):
    with pytest.raises(NetError) as caught:
        load(*given)
    assert f"{caught.value}\n" == AWAY


def test_folders_in_place_of_files(netcompile, files):
    netcompile("build", NET, "-o", "built")
    (files / "one").mkdir()
    (files / "one" / "a.prototxt").write_text(MISALIGNED)
    shutil.copytree("one", "two")
    (files / "two" / "b.prototxt").write_text(MISALIGNED)
    shutil.copy("w.caffemodel", "one")
    for arguments, what in (
        (["offsets", "built"], "'built' is the folder of a build, and this command reads the prototxt that it was made "
         "from\n  fix: predict, evaluate and verify take builds; here give the prototxt"),
        (["build", "one"], "'one' is a folder, not a prototxt\n  why: it holds a.prototxt\n  fix: give one/a.prototxt"),
        (["build", "two"], "'two' is a folder, not a prototxt\n  why: it holds a.prototxt, b.prototxt\n"
         "  fix: give one of them: two/a.prototxt, two/b.prototxt"),
        (["build", NET, "--weights", "one"], "'one' is a folder, not a caffemodel\n  why: it holds w.caffemodel\n"
         "  fix: give one/w.caffemodel"),
        (["build", NET, "--weights", "two"], "'two' is a folder, not a caffemodel"),
    ):  # fmt: skip
        done = netcompile(*arguments)
        assert (done.code, done.err) == (2, f"error[no-such-file]: {what}\n")


def test_net_and_weights_that_were_taken_for_each_other(netcompile, files):
    done = netcompile("build", "w.caffemodel", "--weights", "m.prototxt")
    assert done.err == (
        "w.caffemodel:1:1: error[binary-file]: this is a binary NetParameter, such as a .caffemodel\n"
        "  why: a net is read from text in protobuf's text format, in UTF-8\n"
        "  fix: give the .prototxt of the net; weights belong after --weights\n"
    )
    done = netcompile("build", "m.prototxt", "--weights", "m.prototxt")
    assert done.err == (
        "error[caffemodel-not]: m.prototxt: this is a prototxt (text), not weights\n"
        "  fix: give the .caffemodel here and the prototxt as the net\n"
    )
