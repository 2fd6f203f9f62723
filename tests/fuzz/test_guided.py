"""The guided fuzz: the same mutants in every run, what was found before, and that it finds what is there to find."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from netcompile.cli.commands import check
from tests.conftest import REPOSITORY
from tests.fuzz import guided, worker
from tests.fuzz.bench import bench
from tests.fuzz.lines import lines
from tests.fuzz.minimise import minimised
from tests.fuzz.mutators import wire
from tests.fuzz.properties import Outcome, complaints
from tests.fuzz.targets import Row, Target, names, target
from tests.fuzz.worker import Job

FOLDER = Path(__file__).parent / "found"
# What was wrong with each file that the fuzz found.
FOUND = {
    "prototxt/type-of-a-nul": "a NUL in a layer's type: ValueError where a class was made for it",
    "prototxt/list-of-numbers-for-blocks": "numbers in a list of blocks: KeyError in the reader",
    "prototxt/padded-stochastic": "repad tried a pad that Caffe refuses, and told of a line of the text that it made",
    "prototxt/pads-without-end": "repad tried 512 pads, each by inferring all shapes three times",
    "prototxt/last-window-not-followed": "SizeTooComplex where the last of a pooling's windows begins",
    "caffemodel/factor-of-many": "a BatchNorm's third blob with several numbers: ValueError where they were looked at",
    "places/input-lost": "an input whose text is lost was told as an unknown bottom of an earlier line",
    "manifest/nested": "2,000 lists in one another: RecursionError of tomllib",
    "manifest/digits": "a number of 5,000 digits: ValueError of int",
    "build_json/nested": "3,000 lists in one another: RecursionError of json",
    "solver/weights-a-device": "refused without the place in the solver that names the file",
    "solver/net-without-data": "StopIteration where arrays are fed to a net that takes none",
    "snapshot/nested": "3,000 lists in one another: RecursionError of json",
    "snapshot/seed-a-real": "RuntimeError of torch's generator",
    "snapshot/seed-a-list": "TypeError where the seed was compared",
    "snapshot/weights-a-list": "TypeError of os.path",
    "snapshot/losses-texts": "TypeError where losses were averaged",
}
NET = b'layer { name: "a"\n  typ: "ReLU" }\n'
SAID = """net.prototxt:2:3: error[unknown-field]: LayerParameter has no field 'typ'
    2 |   typ: "ReLU" }
      |   ^^^
"""
RAISED = """Traceback (most recent call last):
  File "/x/netcompile/a/b.py", line 7, in f
KeyError: 1
"""


@pytest.mark.long
def test_nothing_is_found() -> None:
    """A few mutants of every kind of file, in processes of their own."""
    options = ("--count", "16", "--seeds", "4", "--seed", "1", "--slow", "5")
    command = [sys.executable, "-m", "tests.fuzz.guided", *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace", timeout=500)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    told = re.findall(r"^(\w+): (\d+) mutants, \d+/s, (\d+) lines", done.stdout, re.MULTILINE)
    last = {name: (int(mutants), int(reached) > 500) for name, mutants, reached in told}
    assert last == dict.fromkeys(names(), (16, True))


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    (path,) = FOLDER.glob(f"{case}.*")
    assert guided.replay(case.partition("/")[0], path, slow=5) == []


def test_every_file_is_a_case() -> None:
    assert {f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*")} == set(FOUND)


@pytest.mark.parametrize("name", names())
def test_a_target_begins_with_files_that_are_accepted(name: str) -> None:
    """Where the seeds were refused, mutants of them would reach nothing."""
    kind = target(name)
    seeds = kind.seeds()
    with bench(kind, slow=60) as place:
        for data in seeds[:3]:
            accepted = [place.examine(data, [row]).accepted for row in kind.rows]
            if any(accepted):
                break
    assert any(accepted)


@pytest.mark.parametrize("name", names())
def test_a_mutant_follows_from_its_number(name: str) -> None:
    kind = target(name)
    seeds = kind.seeds()[:5]
    first, second = ([kind.mutate(Random(f"{i}"), seeds) for i in range(20)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 12


def outcome(code: int = 2, out: str = "", err: str = SAID, arguments: str = "check net.prototxt") -> Outcome:
    return Outcome(arguments, code, out, err, 0.0)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (outcome(), None),
        (outcome(0, err=""), None),
        (outcome(70, err=RAISED), "a.b.py-7-KeyError"),
        (outcome(1, "\x1b[2J"), "characters-check-stdout"),
        (outcome(err=SAID + "  fix: \u202e\n"), "characters-check-stderr"),
        (outcome(3, err="netcompile: error: not enough memory\n"), "memory-check"),
        (outcome(err=SAID.replace(":2:3", ":4:3")), "place-outside-check"),
        (outcome(err=SAID.replace(":2:3", ":2:40")), "place-outside-check"),
        (outcome(err=SAID.replace(":2:3", ":1:3")), "excerpt-check"),
        (outcome(err=SAID.replace(":2:3", ":2:4")), "excerpt-check"),
        (outcome(err=SAID.replace('"ReLU"', '"PReLU"')), "excerpt-check"),
        (outcome(err="error[unknown-field]: no such field\n"), "no-place-check"),
        (outcome(0, '{"a": NaN}', "", "check net.prototxt --json"), "json-check"),
    ],
)  # fmt: skip
def test_what_may_not_be(said: Outcome, key: str | None) -> None:
    found = [complaint.key for complaint in complaints(said, "net.prototxt", NET, located=True, raw=False)]
    assert found == ([] if key is None else [key])


def test_the_excerpt_of_a_long_line() -> None:
    line = "x" * 200 + " typ: 1 " + "y" * 200
    said = f"net.prototxt:1:202: error[a]: b\n    1 | …{line[150:260]}…\n      | {' ' * 52}^^^\n"
    for text, keys in ((said, []), (said.replace(" ^^^", "^^^"), ["excerpt-check"])):
        found = complaints(outcome(err=text), "net.prototxt", line.encode(), located=True, raw=False)
        assert [complaint.key for complaint in found] == keys


def planted(rows: tuple[Row, ...] = (Row(("check", "net.prototxt"), located=True),)) -> Target:
    """Nets of which one in twenty holds the word boom."""

    def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
        word = b"boom" if chance.random() < 0.05 else b"calm"
        return b'name: "%s"\nlayer { name: "l" type: "Input" top: "x" }\n' % word

    return Target("planted", "net.prototxt", lambda: [b'layer { type: "Input" top: "x" }\n'], mutate, rows, text=True)


def run_planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, does: object, slow: float = 0.5) -> list[str]:
    """Fuzz with a command that misbehaves where the word stands; the findings."""
    plain = check.run

    def run(arguments: object) -> int:
        if b"boom" in Path("net.prototxt").read_bytes():
            does()  # type: ignore[operator]
        return plain(arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(check, "run", run)
    monkeypatch.setattr(worker, "target", lambda name: planted())
    monkeypatch.setattr(guided, "target", lambda name: planted())
    guided.fuzz("planted", [Job("planted", 1, 0, 100, slow, 0)], 0, tmp_path, None)
    return sorted(path.stem for path in tmp_path.glob("planted/*.txt"))


def test_an_exception_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError("planted")

    (name,) = run_planted(monkeypatch, tmp_path, fail)
    assert name.endswith("-KeyError")
    assert (tmp_path / "planted" / f"{name}.prototxt").read_bytes() == b"boom"


def test_a_slow_command_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker, "minimised", lambda data, *_: data)  # it would take as long each time

    def work() -> None:
        until = time.process_time() + 0.25
        while time.process_time() < until:
            sum(range(1000))

    (name,) = run_planted(monkeypatch, tmp_path, work, slow=0.2)
    assert name.startswith("slow-")


def test_a_worker_that_dies_is_a_finding_and_another_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run_planted(monkeypatch, tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert found == ["died-9-planted"]
    assert b"boom" in (tmp_path / "planted" / "died-9-planted.prototxt").read_bytes()


def test_lines_are_counted_once() -> None:
    def run() -> None:
        from netcompile.diagnostics.nearest import nearest

        nearest("Convolutoin", ("Convolution",))

    counter = lines()
    counts = [counter.count]
    for _ in range(3):
        with counter:
            run()
        counts.append(counter.count)
    assert counts[0] < counts[1] == counts[2] == counts[3]


def test_minimised() -> None:
    data = b"one\ntwo three\nfour five\n"
    assert minimised(data, lambda d: b"three" in d and b"five" in d, text=True) == b"threefive"
    assert minimised(bytes(range(100)), lambda d: b"\x07" in d, text=False) == b"\x07"


def test_the_wire_format_is_read_and_written() -> None:
    for data in target("caffemodel").seeds():
        entries = wire.parse(data)
        assert entries is not None
        assert wire.encode(entries) == data
