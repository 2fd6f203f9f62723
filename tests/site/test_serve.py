"""`netcompile site`: what it serves, what it refuses, how it ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netcompile.site.serve import Server

POLICY = "default-src 'none'; script-src 'self' 'sha256-x'"
ESCAPED = POLICY.replace("'", "&#39;")
PAGE = f'<head><meta http-equiv="Content-Security-Policy" content="{ESCAPED}"></head>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "nets" / "a b").mkdir(parents=True)
    (site / "index.html").write_text(PAGE)
    (site / "nets" / "a b" / "val.prototxt").write_text("layer { }")
    for name in (
        "worker.js",
        "python.mjs",
        "python.wasm",
        "pack.zip",
        "icon.svg",
        "style.css",
        "list.json",
        "x.unknown",
    ):
        (site / name).write_bytes(name.encode())
    (site / ".hidden").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (site / "out.txt").symlink_to(tmp_path / "secret.txt")
    (site / "up").symlink_to(tmp_path)
    return site


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(str(folder), 0, lambda line: None) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def answer(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    found = connection.getresponse()
    body = found.read()
    connection.close()
    return found.status, {name.lower(): value for name, value in found.getheaders()}, body


def raw(server: Server, request: str) -> bytes:
    """All that the server answers to some bytes."""
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return answers.read()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/index.html?x=1", "text/html; charset=utf-8", PAGE),
        ("/worker.js", "text/javascript; charset=utf-8", "worker.js"),
        ("/python.mjs", "text/javascript; charset=utf-8", "python.mjs"),
        ("/python.wasm", "application/wasm", "python.wasm"),
        ("/pack.zip", "application/zip", "pack.zip"),
        ("/icon.svg", "image/svg+xml", "icon.svg"),
        ("/style.css", "text/css; charset=utf-8", "style.css"),
        ("/list.json", "application/json", "list.json"),
        ("/x.unknown", "application/octet-stream", "x.unknown"),
        ("/nets/a%20b/val.prototxt", "text/plain; charset=utf-8", "layer { }"),
    ],
)
def test_files_come_with_their_types(server, path, kind, body):
    status, headers, found = answer(server, path)
    assert (status, headers["content-type"], found.decode()) == (200, kind, body)
    assert headers["content-security-policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-cache"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    status, head, nothing = answer(server, path, "HEAD")
    assert (status, head["content-length"], nothing) == (200, str(len(body)), b"")


@pytest.mark.parametrize(
    "path",
    [
        "/nets", "/nets/", "/nope", "/.hidden", "/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt",
        "/nets/../../secret.txt", "/out.txt", "/up/secret.txt", "//etc/passwd", "/%2fetc/passwd", "/a%00b",
        "/index.html/", "/%ff", "/worker.js/x", "//[/", "*", "/" + "a" * 300,
    ],
)  # fmt: skip
def test_nothing_else_is_found(server, path):
    status, headers, body = answer(server, path)
    assert status == 404
    assert b"secret" not in body.replace(b"secret.txt", b"")
    assert headers["content-security-policy"] == f"{POLICY}; frame-ancestors 'none'"


def test_a_file_that_did_not_change_is_not_sent_again(server, folder):
    tag = answer(server, "/worker.js")[1]["etag"]
    assert answer(server, "/worker.js", If_None_Match=tag)[::2] == (304, b"")
    (folder / "worker.js").write_text("another text")
    assert answer(server, "/worker.js", If_None_Match=tag)[::2] == (200, b"another text")


def test_nothing_is_taken(server):
    assert answer(server, "/", "POST")[0] == 501
    assert answer(server, "/", "PUT")[0] == 501


@pytest.mark.parametrize(("name", "status"), [
    ("localhost", 200), ("LocalHost:9000", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("", 421),
    ("evil.example", 421), ("127.0.0.1.evil.example:8017", 421),
    ("localhost:80:80", 421), ("evil.example:localhost", 421),
])  # fmt: skip
def test_other_hosts_names_for_this_machine_are_refused(server, name, status):
    found = raw(server, f"GET /worker.js HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
    assert int(found.split()[1]) == status
    assert found.endswith(b"\r\nworker.js") == (status == 200)


def test_an_address_that_is_none_is_answered(server):
    assert raw(server, "GET http://[/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_site_that_is_built_anew_has_its_own_policy(server, folder):
    (folder / "index.html").write_text(PAGE.replace("sha256-x", "sha256-y"))
    assert answer(server, "/")[1]["content-security-policy"] == f"{POLICY.replace('x', 'y')}; frame-ancestors 'none'"
    (folder / "index.html").unlink()
    status, headers, _ = answer(server, "/worker.js")
    assert (status, headers["content-security-policy"]) == (200, "default-src 'none'; frame-ancestors 'none'")


def test_it_listens_on_the_loopback_address_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_a_page_without_a_policy_gets_the_strictest(folder):
    (folder / "index.html").write_text("<p>")
    with Server(str(folder), 0, lambda line: None) as server:
        assert server.policy == "default-src 'none'; frame-ancestors 'none'"


def test_a_folder_without_a_site(netcompile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remedy = "  fix: make site builds it, in the repository of netcompile; --folder DIR serves one from elsewhere\n"
    result = netcompile("site")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error[no-such-file]: there is no site in 'site'\n  why: there is no such folder\n{remedy}"
    result = netcompile("site", "--folder", ".")
    assert result.err == f"error[no-such-file]: there is no site in '.'\n  why: the folder has no index.html\n{remedy}"


@pytest.mark.parametrize("port", ["65536", "-1", "x", "٣"])
def test_a_port_that_there_is_not(netcompile, port):
    result = netcompile("site", f"--port={port}")
    assert result.code == 2
    assert f"argument --port: {port!r} is no port: a number from 0 to 65535\n" in result.err


def test_a_port_that_is_taken(netcompile, folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = netcompile("site", "--port", port, "--folder", folder)
    assert (result.code, result.out) == (3, "")
    assert result.err == (f"netcompile: error: port {port}: Address already in use; --port 0 takes one that is free\n")


def test_it_says_where_it_is_and_an_interrupt_ends_it(folder):
    command = [sys.executable, "-m", "netcompile", "site", "--port", "0", "--folder", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let what runs behind ignore it
        **pipes,
    ) as run:
        try:
            assert run.stdout is not None
            said = run.stdout.readline()
            port = re.fullmatch(rf"http://127\.0\.0\.1:(\d+)/ serves {re.escape(str(folder))}; Ctrl-C ends it\n", said)
            assert port is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=30)
            connection.request("GET", "/")
            assert connection.getresponse().read().decode() == PAGE
            connection.close()
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (run.returncode, out, err) == (130, "", "netcompile: interrupted\n")
