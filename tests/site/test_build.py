"""The folder that `make site` writes: what is in it, and that it needs nothing from elsewhere."""

from __future__ import annotations

import gzip
import json
import re
import shutil

import pytest

from netcompile.site import build
from netcompile.site.policy import policy
from netcompile.zoo.find import bundled_folder


def test_every_file_is_kept_for_offline_use(site):
    worker = (site / "sw.js").read_text(encoding="utf-8")
    kept = json.loads(re.search(r"^const SITE = (.*);$", worker, re.MULTILINE)[1])
    files = {path.relative_to(site).as_posix(): path for path in build.files_of(site)}
    assert kept["files"] == {name: build.digest(path.read_bytes()) for name, path in files.items() if name != "sw.js"}
    assert re.fullmatch(r"[0-9a-f]{16}", kept["version"])


def test_what_the_worker_loads_is_listed_with_its_size(site):
    manifest = (site / "manifest.mjs").read_text(encoding="utf-8")
    sizes = json.loads(re.search(r"SIZES = (\{.*?\});", manifest, re.DOTALL)[1])
    assert sizes == {name: (site / name).stat().st_size for name in sizes}
    assert {"pyodide/pyodide.wasm.packed", "python.pack", "python.memory"} <= sizes.keys()
    page = sum((site / name).stat().st_size for name in ("index.html", "main.js", "site.css", "page.css"))
    assert sum(sizes.values()) + page < 20e6
    assert sum((site / name).stat().st_size for name in build.LATER if name != build.WHOLE) < 5e6  # for an HDF5 file


def test_memory_and_pack_share_nothing_and_know_no_path_of_this_machine(site):
    memory, packed = (gzip.decompress((site / name).read_bytes()) for name in (build.MEMORY, build.PACK))
    end = 4 + int.from_bytes(packed[:4], "little")
    paths = {path for path, _ in json.loads(packed[4:end])}
    assert any(path.startswith("netcompile/prelude/") and path.endswith(".py") for path in paths)
    assert not {"netcompile/site/playground.pyc", "netcompile/compiler.pyc", "jinja2/environment.pyc"} & paths
    assert b"netcompile/site/playground.py" in memory
    for part in (memory, packed):
        assert str(build.REPOSITORY).encode() not in part


def test_the_page_has_the_policy(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "@POLICY@" not in page
    assert policy() in page


def test_a_policy_lets_no_text_run_and_no_request_out():
    rules = dict(rule.split(" ", 1) for rule in policy().split("; "))
    assert rules["default-src"] == "'none'"
    assert "'unsafe-inline'" not in rules["script-src"]
    assert "'unsafe-eval'" not in rules["script-src"]
    assert rules["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*", policy())


def test_the_bundled_nets_are_in_it(site):
    names = json.loads((site / "nets" / "index.json").read_text(encoding="utf-8"))
    assert "voc-fcn8s/val.prototxt" in names
    for name in names:
        assert (site / "nets" / name).read_bytes() == build.Path(bundled_folder(), "prototxt", name).read_bytes()


def test_own_files_name_no_other_host(site):
    """Namespaces of SVG aside, which are names and are never fetched."""
    for name in ("index.html", "site.css", "page.css", "worker.js", "python.mjs", "manifest.mjs", "sw.js"):
        text = (site / name).read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://", text), name


def test_no_node(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert build.main([str(tmp_path / "site")]) == 3
    assert capsys.readouterr().err == (
        "netcompile: error: node and npm are needed (20 or newer); on Debian: apt-get install nodejs npm\n"
    )
    assert not (tmp_path / "site").exists()


def test_no_folder_is_replaced_but_that_of_a_site(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)  # what may be replaced comes as far as that
    (tmp_path / "precious").write_text("x")
    for name in ("empty", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / "old" / "sw.js").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "old")
    lost = "is no folder of a site that was built before: it would be lost"
    expected = {".": lost, "precious": lost, "link": lost, "empty": "node", "old": "node", "new": "node"}
    for name, said in expected.items():
        assert build.main([str(tmp_path / name)]) == 3
        assert said in capsys.readouterr().err, name
    assert (tmp_path / "precious").read_text() == "x"


def test_an_installed_package_builds_no_site(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "REPOSITORY", tmp_path)
    with pytest.raises(build.CannotBuild, match="built in the repository"):
        build.build(tmp_path / "site")


def test_a_program_that_fails_is_told_with_what_it_says(tmp_path):
    with pytest.raises(build.CannotBuild, match=r"^sh failed:\nno such thing$"):
        build.run("sh", "-c", "echo no such thing; exit 1", cwd=tmp_path)


def test_what_npm_installs_is_pinned():
    package = json.loads((build.PAGE / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((build.PAGE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for kind in ("dependencies", "devDependencies"):
        for name, version in package[kind].items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
            assert lock[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in each for path, each in lock.items() if path)
