"""Builds the playground: `python -m netcompile.site.build [FOLDER]`, by default into `site/`.

What comes from npm is installed as the lock file says, in `build/site/`. The Python that the page runs is the wheel of
this repository without what computes tensors, and jinja2; it is compiled to bytecode by Pyodide itself, which is then
started with it, once and for all: the page goes on from what is in memory. FOLDER is replaced as a whole when all of it
is made.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

from netcompile.diagnostics.text import bytes_text
from netcompile.report.page import FOLDER
from netcompile.site.policy import policy
from netcompile.terminal import write_error, write_out
from netcompile.zoo.find import bundled_folder, definitions

PAGE = Path(__file__).parent / "page"
REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / "build" / "site"
DONE, IO_FAILED = 0, 3  # as the commands exit
PACK, MEMORY = "python.pack", "python.memory"
WHOLE = "python.whole"  # all files, for Python where it cannot go on from the memory
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
# What many a server sends as it is, and is gzipped here: the name that is asked for, the file, its type.
ZIPPED = {"pyodide/pyodide.asm.wasm": {"file": "pyodide/pyodide.wasm.packed", "type": "application/wasm"}}
FIRST = "voc-fcn8s/val.prototxt"  # the net that the page begins with
# Rooms whose code needs torch, or talks to a terminal or a network: the page calls none of it.
LEFT_OUT = tuple(
    f"netcompile/{name}"
    for name in (
        "api.py", "bundled/", "cli/", "demo.py", "download/", "engines/", "export/", "predicting.py", "runtime/",
        "spec/", "surgery/", "tasks/", "train/",
    )
)  # fmt: skip
BESIDE = ("jinja2", "markupsafe")
WORKERS = ("python.mjs", "worker.js", "weights-python.js", "weights-worker.js", "weights-numbers.js")
BUNDLED = ("main.js", "hdf5.js")
HDF5 = "hdf5_util.js"  # HDF5's library, most of it WebAssembly in a string, which is longer once it is printed anew
LATER = ("hdf5.js", HDF5, WHOLE)  # fetched when they are needed, and only then kept for use without a network
COPIED = ("index.html", "*.css", "*.svg", *WORKERS)


class CannotBuild(Exception):
    """Why there is no site, in a sentence for people."""


def main(arguments: Sequence[str]) -> int:
    """Build the site and say how large it is."""
    try:
        folder = build(Path(arguments[0] if arguments else "site"))
    except CannotBuild as why:
        write_error(f"netcompile: error: {why}\n")
        return IO_FAILED
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files_of(folder)}
    loaded = sum(loaded_sizes(folder).values())
    write_out(
        f"wrote {folder}: {len(sizes)} files, {bytes_text(sum(sizes.values()))}; {bytes_text(loaded)} of Python\n"
    )
    return DONE


def build(folder: Path) -> Path:
    """Make the site in this folder. Raises CannotBuild."""
    if not (REPOSITORY / "pyproject.toml").exists() or not PAGE.is_dir():
        raise CannotBuild("the site is built in the repository, which has the page's sources")
    if folder.exists() and not is_replaceable(folder):
        raise CannotBuild(f"'{folder}' is no folder of a site that was built before: it would be lost")
    install()
    made = WORK / "site"
    shutil.rmtree(made, ignore_errors=True)
    (made / "pyodide").mkdir(parents=True)
    for name in CORE:
        shutil.copyfile(WORK / "node_modules" / "pyodide" / name, made / "pyodide" / name)
    for pattern in COPIED:
        for path in PAGE.glob(pattern):
            shutil.copyfile(path, made / path.name)
    archive(made)
    shutil.copyfile(Path(FOLDER, "page.css"), made / "page.css")  # what the page shares with the report
    nets(made)
    bundle(made)
    finish(made)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(made, folder)
    return folder


def is_replaceable(folder: Path) -> bool:
    """Whether nothing but a site is lost with a folder."""
    return folder.is_dir() and not folder.is_symlink() and ((folder / "sw.js").is_file() or not any(folder.iterdir()))


def install() -> None:
    """Install what the lock file names, unless it is there. Raises CannotBuild."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise CannotBuild("node and npm are needed (20 or newer); on Debian: apt-get install nodejs npm")
    WORK.mkdir(parents=True, exist_ok=True)
    lock = (PAGE / "package-lock.json").read_bytes()
    installed = WORK / "installed-lock.json"
    if installed.exists() and installed.read_bytes() == lock:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(PAGE / name, WORK / name)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WORK)
    installed.write_bytes(lock)


def run(*command: str, cwd: Path = REPOSITORY) -> None:
    """Run a program, silent unless it fails. Raises CannotBuild."""
    found = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if found.returncode:
        raise CannotBuild(f"{os.path.basename(command[0])} failed:\n{found.stdout.strip()}")


# Python ----------------------------------------------------------------------------------------------------------


def wheel(folder: Path) -> Path:
    """Build this repository's wheel into a folder. Raises CannotBuild."""
    for old in (folder, REPOSITORY / "build" / "lib"):  # setuptools would pack what an earlier build left there
        shutil.rmtree(old, ignore_errors=True)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), ".")
    (found,) = folder.glob("netcompile-*.whl")
    return found


def archive(made: Path) -> None:
    """What Python has in memory when the page begins, and the files beside it: bytecode, and what is read as text."""
    sources = WORK / "sources.zip"
    with zipfile.ZipFile(sources, "w") as packed, zipfile.ZipFile(wheel(WORK / "wheel")) as whole:
        for name in whole.namelist():
            if not name.startswith(LEFT_OUT) and not name.endswith("/RECORD"):
                packed.writestr(name, whole.read(name))
        for name, path in beside():
            packed.write(path, name)
    net = Path(bundled_folder(), "prototxt", FIRST)
    files = (made, sources, net, made / PACK, made / MEMORY, made / WHOLE)
    run("node", str(PAGE / "compile.mjs"), *(str(path.resolve()) for path in files))
    for name, zipped in ZIPPED.items():
        plain = made / name
        (made / zipped["file"]).write_bytes(gzip.compress(plain.read_bytes(), 9, mtime=0))
        plain.unlink()


def beside() -> Iterator[tuple[str, Path]]:
    """The files of the packages that the report page needs, with their licences; nothing that is compiled for here."""
    for package in BESIDE:
        for file in importlib.metadata.files(package) or ():
            if file.suffix == ".py" or "licenses" in file.parts or file.name == "METADATA":
                yield file.as_posix(), Path(str(file.locate()))


# the page --------------------------------------------------------------------------------------------------------


def nets(made: Path) -> None:
    """The bundled definitions, and the list of them."""
    names = [name for name in definitions() if not name.endswith("/solver.prototxt")]
    for name in names:
        target = made / "nets" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(bundled_folder(), "prototxt", name), target)
    (made / "nets" / "index.json").write_text(json.dumps(names), encoding="utf-8")


def bundle(made: Path) -> None:
    """The page's scripts, each in one file, and the policy in the page's head."""
    esbuild = WORK / "node_modules" / ".bin" / "esbuild"
    options = (
        "--bundle",
        "--minify",
        "--format=esm",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=eof",
        f"--external:./{HDF5}",
    )
    search = os.environ.get("NODE_PATH", "")
    os.environ["NODE_PATH"] = str(WORK / "node_modules")
    try:
        for name in BUNDLED:
            if (PAGE / name).exists():
                run(str(esbuild), str(PAGE / name), *options, f"--outfile={made / name}")
    finally:
        os.environ["NODE_PATH"] = search
    hdf5(made)
    page = made / "index.html"
    if page.exists():
        page.write_text(page.read_text(encoding="utf-8").replace("@POLICY@", policy()), encoding="utf-8")


def hdf5(made: Path) -> None:
    """HDF5's library as it is, and its licences in the script that loads it."""
    package = WORK / "node_modules" / "h5wasm"
    shutil.copyfile(package / "dist" / "esm" / HDF5, made / HDF5)
    licence = (package / "LICENSE.txt").read_text(encoding="utf-8")
    assert "*/" not in licence
    script = made / "hdf5.js"
    script.write_text(f"{script.read_text(encoding='utf-8')}/*\n{licence}*/\n", encoding="utf-8")


def finish(made: Path) -> None:
    """The list of what the worker loads, and the service worker, which knows every file by its hash."""
    constants = {
        "PACK": PACK,
        "MEMORY": MEMORY,
        "WHOLE": WHOLE,
        "ZIPPED": ZIPPED,
        "SIZES": loaded_sizes(made),
        "SOURCES": sources(),
    }
    text = "".join(f"export const {name} = {json.dumps(value, indent=2)};\n" for name, value in constants.items())
    (made / "manifest.mjs").write_text(text, encoding="utf-8")
    files = {path.relative_to(made).as_posix(): digest(path.read_bytes()) for path in files_of(made)}
    worker = (PAGE / "sw.js").read_text(encoding="utf-8")
    version = hashlib.sha256(json.dumps([files, worker]).encode()).hexdigest()[:16]
    later = [name for name in LATER if name in files]
    site = json.dumps({"version": version, "files": files, "later": later})
    line = 'const SITE = { version: "", files: {}, later: [] };'
    assert line in worker, "the service worker has lost the line that is filled in"
    (made / "sw.js").write_text(worker.replace(line, f"const SITE = {site};"), encoding="utf-8")


def sources() -> str:
    """A hash of everything that a site is made from, npm's packages by their lock."""
    found = hashlib.sha256()
    for path in files_of(PAGE.parents[1]):
        if "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(REPOSITORY)}\0{digest(path.read_bytes())}\n".encode())
    return found.hexdigest()[:16]


def is_fresh(folder: Path) -> bool:
    """Whether a folder holds the site that would be built now."""
    manifest = folder / "manifest.mjs"
    return manifest.exists() and f'SOURCES = "{sources()}"' in manifest.read_text(encoding="utf-8")


def loaded_sizes(made: Path) -> dict[str, int]:
    """The files that Python is loaded from, and their sizes."""
    core = [f"pyodide/{name}" for name in CORE]
    names = [ZIPPED[name]["file"] if name in ZIPPED else name for name in core]
    return {name: (made / name).stat().st_size for name in (*names, PACK, MEMORY)}


def digest(data: bytes) -> str:
    """A hash as browsers check it."""
    return f"sha256-{b64encode(hashlib.sha256(data).digest()).decode()}"


def files_of(folder: Path) -> list[Path]:
    """All files of a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
