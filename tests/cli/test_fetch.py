"""`fetch`: which net, where to, what is checked, what is remembered; and downloads that are killed or come in pairs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from netcompile.diagnostics.visible import is_visible
from netcompile.download import transfer
from netcompile.zoo.find import find_definition
from netcompile.zoo.published import read_manifest
from tests.download.server import gives, redirects, site, status

DATA = bytes(range(256)) * 400
OTHER = DATA[::-1]
SHA1, SHA256 = hashlib.sha1(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest()
OTHER_SHA256 = hashlib.sha256(OTHER).hexdigest()
TAG = '"one"'


@pytest.fixture
def web():
    with site() as found:
        yield found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the command runs; no proxies, and short pauses."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "_PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest(folder: Path, *rows: dict[str, object]) -> Path:
    """A manifest of nets called a, b, …, each with these keys."""
    text = ""
    for name, row in zip("abcdef", rows, strict=False):
        keys = {"name": name, "file": f"{name}.caffemodel", **row}
        text += "[[weights]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    path = folder / "m.toml"
    path.write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "m.toml")


# What is known of a file, and what is said of it once it is there.
KNOWN = {
    "the publisher's SHA-1": ({"sha1": SHA1, "hash_from": "publisher"}, "SHA-1 as the publisher says"),
    "a SHA-256": ({"sha256": SHA256, "hash_from": "publisher"}, "SHA-256 as the publisher says"),
    "somebody's SHA-1": ({"sha1": SHA1, "hash_from": "OpenCV (a list)"}, "SHA-1 as OpenCV (a list) says"),
    "nobody's": ({"sha1": SHA1}, "SHA-1 as the manifest says"),
    "its size": ({"sha1": SHA1, "bytes": len(DATA)}, "SHA-1 as the manifest says"),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_file_with_a_hash(netcompile, web, folder, case):
    keys, said = KNOWN[case]
    path = manifest(folder, {"source": web.add("/a", gives(DATA)), "net": "voc-fcn8s/val.prototxt", **keys})
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 0
    following = "next: netcompile build voc-fcn8s/val.prototxt --weights a.caffemodel\n"
    assert result.out == f"wrote a.caffemodel (102.4 kB), {said}\n{following}"
    assert result.err == ""
    assert (folder / "a.caffemodel").read_bytes() == DATA
    assert names(folder) == ["a.caffemodel"]
    again = netcompile("fetch", "a", "--manifest", path)
    assert (again.code, again.out) == (0, f"a.caffemodel is there, {said}\n{following}")
    assert len(web.asked) == 1
    (folder / "a.caffemodel").write_bytes(b"damaged")
    assert netcompile("fetch", "a", "--manifest", path).code == 0
    assert (folder / "a.caffemodel").read_bytes() == DATA


def test_another_file_than_was_published(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/a", gives(OTHER)), "sha1": SHA1, "hash_from": "publisher"})
    (folder / "a.caffemodel").write_bytes(b"mine")
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 3
    assert result.out == ""
    other = hashlib.sha1(OTHER).hexdigest()
    assert result.err == (
        f"error[download-hash]: {web.url}/a gives another file: SHA-1 {other}, and not {SHA1}\n"
        "  why: the latter is what the publisher says\n"
        "  fix: try again; if you trust that address, --sha256 HEX with the hash of its file accepts it\n"
    )
    assert (folder / "a.caffemodel").read_bytes() == b"mine"
    assert names(folder) == ["a.caffemodel"]


def test_a_file_without_a_hash_has_to_stay_the_same(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/a", gives(DATA))})
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 0
    assert result.out == (
        f"wrote a.caffemodel (102.4 kB), SHA-256 {SHA256}: nobody gave one, so fetched.json has it now\n"
        "next: netcompile convert-weights a.caffemodel\n"
    )
    row = {"net": "a", "url": f"{web.url}/a", "bytes": len(DATA), "sha1": SHA1, "sha256": SHA256}
    assert json.loads((folder / "fetched.json").read_text()) == {"a.caffemodel": row}
    assert names(folder) == ["a.caffemodel", "fetched.json"]

    again = netcompile("fetch", "a", "--manifest", path)
    assert "a.caffemodel is there, SHA-256 as fetched.json, written when it was fetched first says" in again.out
    (folder / "a.caffemodel").unlink()
    web.add("/a", gives(OTHER))
    changed = netcompile("fetch", "a", "--manifest", path)
    assert changed.code == 3
    assert f"gives another file: SHA-256 {OTHER_SHA256}, and not {SHA256}" in changed.err
    assert "why: the latter is what fetched.json, written when it was fetched first, says" in changed.err
    assert names(folder) == ["fetched.json"]

    accepted = netcompile("fetch", "a", "--manifest", path, "--sha256", OTHER_SHA256.upper())
    assert accepted.code == 0
    assert json.loads((folder / "fetched.json").read_text())["a.caffemodel"]["sha256"] == OTHER_SHA256
    (folder / "a.caffemodel").unlink()
    assert netcompile("fetch", "a", "--manifest", path).code == 0


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a.caffemodel": 1}', '{"a.caffemodel": {"net": "a"}}', '{"x": {"bytes": "1"}}']
)
def test_a_damaged_record(netcompile, web, folder, text):
    path = manifest(folder, {"source": web.add("/a", gives(DATA))})
    (folder / "fetched.json").write_text(text)
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 3
    assert "error[manifest]: fetched.json is damaged" in result.err
    assert (folder / "fetched.json").read_text() == text


def test_another_net_may_have_a_file_of_that_name(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/a", gives(DATA))}, {"source": web.add("/b", gives(OTHER))})
    for name, data in (("a", DATA), ("b", OTHER)):
        assert netcompile("fetch", name, "--manifest", path, "-o", "w.caffemodel").code == 0
        assert (folder / "w.caffemodel").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("a", {}),
        ("a.caffemodel", {}),
        ("a/val.prototxt", {"net": "a/val.prototxt"}),
        ("a/deploy", {"net": "a/val.prototxt"}),
        ("prototxt/a/val.prototxt", {"net": "a/val.prototxt"}),
        ("bvlc_x", {"file": "bvlc_x.caffemodel"}),
        ("bvlc_x.caffemodel", {"file": "bvlc_x.caffemodel"}),
    ],
)
def test_names_of_a_net(netcompile, web, folder, name, keys):
    path = manifest(folder, {"source": web.add("/a", gives(DATA)), "sha1": SHA1, **keys})
    assert netcompile("fetch", name, "--manifest", path).code == 0
    assert names(folder) == [keys.get("file", "a.caffemodel")]


@pytest.mark.parametrize(
    ("out", "files"),
    [
        ("w.caffemodel", ["w.caffemodel"]),
        ("new/w", ["new/w"]),
        ("new/", ["new/a.caffemodel"]),
        ("old", ["old/a.caffemodel"]),
        (".", ["a.caffemodel"]),
        ("link", ["linked"]),
    ],
)
def test_where_it_goes(netcompile, web, folder, out, files):
    (folder / "old").mkdir()
    (folder / "link").symlink_to("linked")
    path = manifest(folder, {"source": web.add("/a", gives(DATA)), "sha1": SHA1})
    assert netcompile("fetch", "a", "--manifest", path, "-o", out).code == 0
    found = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p.name != "m.toml"]
    assert [str(p.relative_to(folder)) for p in found] == files
    assert found[0].read_bytes() == DATA


def test_several_nets(netcompile, web, folder):
    """Those that can be fetched are; nets that share a file fetch it once."""
    shared = {"source": web.add("/a", gives(DATA)), "sha1": SHA1}
    gone = {"source": web.add("/b", status(404))}
    path = manifest(folder, shared, gone, {**shared, "file": "a.caffemodel"}, {"notes": "only on paper"})
    result = netcompile("fetch", "a", "b", "c", "a", "--manifest", path, "-o", "out")
    assert result.code == 3
    assert names(folder / "out") == ["a.caffemodel"]
    assert [asked[0] for asked in web.asked] == ["/a", "/b"]
    assert "the server answers 404 (Not Found)" in result.err
    everything = netcompile("fetch", "--all", "--manifest", path, "-o", "all")
    assert everything.code == 3
    assert names(folder / "all") == ["a.caffemodel"]
    unknown = netcompile("fetch", "d", "--manifest", path)
    assert unknown.code == 3
    assert "d: no address of d.caffemodel is known\n  why: only on paper\n" in unknown.err


def test_all_of_one(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/a", gives(DATA)), "sha1": SHA1})
    assert netcompile("fetch", "--all", "--manifest", path, "-o", "w").code == 0
    assert names(folder / "w") == ["a.caffemodel"]


# Another address: which hashes of the manifest hold there too, and what is said if the file has another.
ELSEWHERE = {
    "the publisher's hash": ({"sha1": SHA1, "hash_from": "publisher"}, [], 3, "error[download-hash]"),
    "somebody's hash": (
        {"sha1": SHA1, "hash_from": "OpenCV"},
        [],
        0,
        "warning[download-hash]: a.caffemodel is not the file",
    ),
    "no hash": ({}, [], 0, ""),
    "its own hash": ({"sha1": SHA1, "hash_from": "publisher"}, ["--sha256", OTHER_SHA256], 0, ""),
    "a wrong hash": ({}, ["--sha1", SHA1], 3, "why: the latter is what the command line says"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_another_address(netcompile, web, folder, case):
    keys, options, code, said = ELSEWHERE[case]
    path = manifest(folder, {"source": web.add("/gone", status(404)), **keys})
    result = netcompile("fetch", "a", "--manifest", path, "--url", web.add("/a", gives(OTHER)), *options)
    assert result.code == code, result.err
    assert said in result.err if said else result.err == ""
    assert (folder / "a.caffemodel").exists() == (code == 0)


def test_another_address_of_the_published_file(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/gone", status(404)), "sha1": SHA1, "hash_from": "OpenCV"})
    result = netcompile("fetch", "a", "--manifest", path, "--url", web.add("/a", gives(DATA)))
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("options", "file"), [([], "my net.caffemodel"), (["-o", "w"], "w"), (["-o", "new/"], "new/my net.caffemodel")]
)
def test_a_net_that_is_not_listed(netcompile, web, folder, options, file):
    url = web.add("/x/my%20net.caffemodel", gives(DATA))
    result = netcompile("fetch", "mine", "--url", url, "--sha1", SHA1, *options)
    assert result.code == 0, result.err
    assert (folder / file).read_bytes() == DATA
    assert result.out.endswith(f"next: netcompile convert-weights {file if ' ' not in file else repr(file)}\n")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("../w.caffemodel", "is no name of a file of weights"),
        ("/tmp/w.caffemodel", "is no name of a file of weights"),
        ("sub/w.caffemodel", "is no name of a file of weights"),
        (".caffemodel", "is no name of a file of weights"),
        ("setup.py", "is no name of a file of weights"),
        ("", "is no name of a file of weights"),
        ("x" * 300 + ".caffemodel", "a name in it is longer than 200 bytes"),
        ("a\0.caffemodel", "it holds a NUL"),
        ("link.caffemodel", "link.caffemodel is a link"),
    ],
)
def test_names_that_lead_elsewhere(netcompile, web, folder, file, said):
    (folder / "link.caffemodel").symlink_to("target")
    path = manifest(folder, {"source": web.add("/a", gives(DATA)), "file": file})
    before = names(folder)
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 2
    assert said in result.err
    assert names(folder) == before
    assert web.asked == []
    assert netcompile("fetch", "a", "--manifest", path, "-o", "w").code == 0  # the user's own name


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="devices")
def test_a_device_is_not_replaced(netcompile, web, folder):
    path = manifest(folder, {"source": web.add("/a", gives(DATA))})
    result = netcompile("fetch", "a", "--manifest", path, "-o", "/dev/null")
    assert result.code == 2
    assert "error[not-a-file]: /dev/null is a device, not a file" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which nets? netcompile fetch NET…"),
        (["voc-fcn9s"], "the manifest lists no net 'voc-fcn9s'\n  fix: did you mean 'voc-fcn8s'"),
        (["http://127.0.0.1/w"], "the manifest lists no net 'http://127.0.0.1/w'"),
        (["alexnet", "vgg16", "--url", "http://127.0.0.1/"], "--url, --sha1 and --sha256 are about one NET"),
        (["alexnet", "vgg16", "--sha1", SHA1], "--url, --sha1 and --sha256 are about one NET"),
        (["--all", "alexnet"], "--all says itself which nets"),
        (
            ["alexnet", "--url", "file:///etc/passwd"],
            "'file:///etc/passwd' cannot be fetched: it is no address of http",
        ),
        (["alexnet", "--url", "w.caffemodel"], "it is no address of http:// or https://"),
        (["alexnet", "--sha1", "12"], "argument --sha1: '12' is not 40 hexadecimal digits"),
        (["alexnet", "--sha256", SHA1], "is not 64 hexadecimal digits"),
        (["alexnet", "--timeout", "0"], "'0' is no number of seconds"),
        (["alexnet", "--timeout", "nan"], "'nan' is no number of seconds"),
        (["alexnet", "--retries", "-1"], "'-1' is no number above 0"),
        (["alexnet", "--max-bytes", "much"], "'much' is no size"),
        (["alexnet", "--manifest", "none.toml"], "there is no file 'none.toml'"),
        (["mine", "--url", "http://127.0.0.1/"], "'' is no name of a file of weights"),
        (["mine", "--url", "http://127.0.0.1/.bashrc"], "'.bashrc' is no name of a file of weights"),
        (["mine", "--url", "http://127.0.0.1/..%2f..%2fx.caffemodel"], "is no name of a file of weights"),
    ],
)
def test_command_lines_that_are_refused(netcompile, folder, arguments, said):
    result = netcompile("fetch", *arguments)
    assert result.code == 2
    assert said in result.err
    assert names(folder) == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sha1": "12"}, "[[weights]] number 1 has a sha1 that is not 40 digits of 0 to 9 and a to f"),
        ({"sha256": SHA256.upper()}, "has a sha256 that is not 64 digits"),
        ({"bytes": "many"}, "has no number of bytes"),
        ({"bytes": -1}, "has no number of bytes"),
        ({"bytes": True}, "has no number of bytes"),
        ({"source": 5}, "has no text for source"),
    ],
)
def test_manifests_that_are_refused(netcompile, folder, keys, said):
    result = netcompile("fetch", "a", "--manifest", manifest(folder, keys))
    assert result.code == 2
    assert said in result.err


def test_a_source_of_another_scheme(netcompile, folder):
    result = netcompile("fetch", "a", "--manifest", manifest(folder, {"source": "file:///etc/passwd"}))
    assert result.code == 2
    assert "'file:///etc/passwd' cannot be fetched" in result.err


def test_what_is_part_of_the_project(netcompile, folder):
    result = netcompile("fetch", "shapes-fcn8s")
    assert result.code == 0
    assert result.out == (
        "shapes-fcn8s.caffemodel is part of netcompile\n"
        "next: netcompile build shapes-fcn8s/deploy.prototxt --weights shapes-fcn8s.caffemodel\n"
    )
    assert names(folder) == []


def test_the_list(netcompile, repository):
    rows = read_manifest(str(repository / "weights" / "manifest.toml"))
    lines = netcompile("fetch", "--list").out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(rows)]] == [row.name for row in rows]
    assert max(map(len, lines)) <= 80
    assert "alexnet                publisher     unrestricted    yes" in lines
    whole = netcompile("fetch", "--list", "alexnet", "ssd300-voc").out
    assert (
        "  SHA-1: 9116a64c0fbe4459d18f4bb6b56d647b63920377\n  hash from: publisher\n  licence: unrestricted\n" in whole
    )
    assert "  address: none is known\n" in whole


def test_the_manifest_of_the_project(repository):
    rows = read_manifest(str(repository / "weights" / "manifest.toml"))
    assert len({row.name for row in rows}) == len({row.file for row in rows}) == len(rows) == 31
    for row in rows:
        assert not row.net or find_definition(row.net), row.name
        assert row.net or row.notes, row.name
        assert row.source or row.notes or row.name.startswith("shapes-")
        assert row.source.startswith(("http://", "https://")) or not row.source
        assert is_visible(row.source)
        assert bool(row.sha1 or row.sha256) == bool(row.hash_from), row.name


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("fcn8s-heavy-pascal.caffemodel", "fix: netcompile fetch voc-fcn8s downloads it"),
        ("my weights/bvlc_alexnet.caffemodel", "fix: netcompile fetch alexnet -o 'my weights'/ downloads it"),
        ("mine.caffemodel", "fix: give the path of a .caffemodel"),
        ("VGG_VOC0712_SSD_300x300_iter_120000.caffemodel", "fix: give the path of a .caffemodel"),
    ],
)
def test_weights_that_could_be_fetched(netcompile, weights, said):
    result = netcompile("build", "voc-fcn8s/val.prototxt", "--weights", weights)
    assert result.code == 2
    assert f"there is no file '{weights}'\n  {said}\n" in result.err


def test_what_fetch_says_next_works(netcompile, web, folder, repository):
    """The demo's own weights, as if they were published."""
    data = (repository / "weights" / "shapes-fcn8s.caffemodel").read_bytes()
    url = web.add("/shapes.caffemodel", gives(data, TAG, cut=1_000_000), gives(data, TAG))
    path = manifest(folder, {"source": url, "net": "shapes-fcn8s/deploy.prototxt", "file": "shapes-fcn8s.caffemodel"})
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 0
    program, *command = result.out.splitlines()[-1].removeprefix("next: ").split()
    assert program == "netcompile"
    assert netcompile(*command).code == 0
    assert (folder / "shapes_fcn8s" / "shapes_fcn8s.safetensors").exists()
    assert netcompile("convert-weights", "--manifest", path).code == 0


def test_a_page_and_the_redirect_to_it(netcompile, web, folder):
    page = gives(b"<!doctype html><title>Sign in</title>", kind="text/html")
    path = manifest(folder, {"source": web.add("/a", redirects("/login"))})
    web.add("/login", page)
    result = netcompile("fetch", "a", "--manifest", path)
    assert result.code == 3
    assert "error[web-page]" in result.err
    assert names(folder) == []


@pytest.mark.skipif(os.name != "posix", reason="ulimit")
def test_a_full_disk_keeps_what_came(web, folder):
    """A limit of the system stands for it: 40 blocks of 1,024 bytes a file."""
    path = manifest(folder, {"source": web.add("/a", gives(DATA, TAG)), "sha1": SHA1})
    line = ["bash", "-c", 'ulimit -f 40; exec "$@"', "sh", *program("a", path)]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "a.caffemodel are kept: the same command goes on from there" in done.stderr
    assert "netcompile: error: a.caffemodel: File too large" in done.stderr
    assert not (folder / "a.caffemodel").exists()
    finish(folder, path)
    assert web.ranges()[-1] == "bytes=40960-"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGKILL, -9, ""), (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, -15, "")],
)
def test_a_download_that_is_ended_goes_on(web, folder, number, code, said):
    path = manifest(folder, {"source": web.add("/a", gives(DATA, TAG, drip=(2000, 0.05))), "sha1": SHA1})
    process = subprocess.Popen(
        program("a", path), cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let what runs behind ignore it
    )  # fmt: skip
    waiting = folder / ".netcompile-begun-a.caffemodel" / "data"
    until(lambda: waiting.exists() and waiting.stat().st_size >= 4000)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert said in err
    assert ("are kept: the same command goes on from there" in err) == (number != signal.SIGKILL)
    assert not (folder / "a.caffemodel").exists()
    kept = waiting.stat().st_size
    web.add("/a", gives(DATA, TAG))
    finish(folder, path)
    assert web.ranges() == ["", f"bytes={kept}-"]


def test_two_at_once_fetch_it_once(web, folder):
    told = threading.Event()

    def halves(handler):
        gives(DATA, TAG, cut=50_000)(handler)
        told.wait(60)
        handler.wfile.write(DATA[50_000:])

    path = manifest(folder, {"source": web.add("/a", halves), "sha1": SHA1})
    run = {"cwd": folder, "env": environment(), "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(program("a", path), **run)
    until(lambda: web.asked)
    second = subprocess.Popen(program("a", path), **run)
    line = second.stderr.readline()
    told.set()
    errors = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert line == "netcompile: another run is fetching a.caffemodel: waiting for it\n"
    assert len(web.asked) == 1
    assert names(folder) == ["a.caffemodel"]
    assert (folder / "a.caffemodel").read_bytes() == DATA


def program(net: str, manifest: Path) -> list[str]:
    return [sys.executable, "-m", "netcompile", "fetch", net, "--manifest", str(manifest)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def until(happens) -> None:
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def finish(folder: Path, path: Path) -> None:
    done = subprocess.run(
        program("a", path), cwd=folder, env=environment(), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert names(folder) == ["a.caffemodel"]
    assert (folder / "a.caffemodel").read_bytes() == DATA
