"""From the sources to the site: gather, generate, run Sphinx with warnings as errors, and close the pages.

The pages that follow from the code are made here and not committed: nobody has to remember to write them anew, and they
cannot say anything else than the code. On a forge, where there is no build, `netcompile COMMAND --help` and `netcompile
explain` say the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from docs.generator import commands, error_codes, layer_types, notebooks, pages, python_names
from netcompile.cli.command_line import command_names

HERE = Path(__file__).resolve().parent
SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def generated() -> dict[str, str]:
    """Every page that follows from the code or from the notebooks, by its place."""
    from tests.fuzz.oracles import ORACLES

    return {
        **commands.pages(),
        **error_codes.pages(),
        **layer_types.pages(pages.REPOSITORY, set(ORACLES)),
        **python_names.pages(),
        **notebooks.pages(pages.REPOSITORY / "examples"),
    }


# Pages that `generated` makes: the part of the site that they belong to, their place, what the start page says of them.
ADDED = (
    ("Reference", "reference/commands/index.md", "[Commands]({}): every option, as `--help` says them"),
    ("Reference", "reference/errors/index.md", "[Error codes]({}): what each means, with an example and the remedy"),
    ("Reference", "reference/layers.md", "[Layers]({}): whose they are, and what they are held to"),
    ("Reference", "reference/python/index.md", "[Python names]({}): from the docstrings"),
)
PLAYGROUND = "- [The playground](reference/commands/site.md): the compiler in a web page, `netcompile site`\n"


def start_page(text: str) -> str:
    """The start page with the pages that are made, and with the parts as tables of contents for the sidebar."""
    text = re.sub(r"^`make docs` builds a site.*?\n\n", "", text, flags=re.MULTILINE | re.DOTALL)  # here it is
    for part, place, line in reversed(ADDED):
        heading = f"## {part}\n\n"
        assert heading in text, part
        text = text.replace(heading, f"{heading}- {line.format(place)}\n", 1)
    if "site" in command_names():
        text = text.replace("\n\n## How to\n", f"\n{PLAYGROUND}\n## How to\n", 1)
    trees = []
    for part in pages.parts():
        places = [place for name, place, _ in ADDED if name == part.name] + [pages.place(p) for p in part.pages]
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {part.name}\n\n" + "\n".join(places) + "\n```\n")
    return text + "\n" + "\n".join(trees)


def gather(folder: Path) -> list[str]:
    """Write the site's sources into an empty folder; returns the places of its pages."""
    made = generated()
    for path in pages.sources():
        text, files = pages.rewritten(path, (pages.REPOSITORY / path).read_text(encoding="utf-8"))
        text = pages.shown(text)
        made[pages.place(path)] = start_page(text) if path == pages.START else text
        for file in files:
            copy(pages.REPOSITORY / file, folder / pages.place(file))
    for place, text in made.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return list(made)


def copy(source: Path, target: Path) -> None:
    """A copy of a file that a page shows or offers."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def close(page: Path) -> None:
    """Give a page the policy that nothing comes from another host, and that no script runs but the site's own."""
    text = page.read_text(encoding="utf-8")
    hashes = {
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in SCRIPT.findall(text) if script
    }
    scripts = " ".join(["'self'", *sorted(f"'sha256-{one}'" for one in hashes)])
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    text, found = re.subn(r"(<meta charset=\"utf-8\"\s*/?>)", lambda head: head[0] + meta, text, count=1)
    assert found, page
    page.write_text(text, encoding="utf-8")


def build(output: Path, work: Path) -> int:
    """Build the site into `output`; `work` takes what is made on the way. Returns Sphinx's exit code."""
    from sphinx.cmd.build import build_main

    source = work / "docs-source"
    for folder in (source, output):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    gather(source)
    words = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE), "-d", str(work / "docs-doctrees")]
    code = int(build_main([*words, str(source), str(output)]))
    if code == 0:
        for page in output.rglob("*.html"):
            close(page)
        for left in (".buildinfo", "objects.inv"):
            (output / left).unlink(missing_ok=True)
    return code


def build_apart(output: Path, work: Path) -> str:
    """Build in a process of its own, which Sphinx wants for itself; returns what it has to say, "" if all is well."""
    command = [sys.executable, "-m", "docs.generator.build", str(output), str(work)]
    done = subprocess.run(command, cwd=pages.REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def main(words: Sequence[str]) -> int:
    """`make docs`; with two folders, into these."""
    if words:
        return build(Path(words[0]), Path(words[1]))
    root = pages.REPOSITORY / "build"
    code = build(root / "docs-site", root)
    if code == 0:
        print("build/docs-site/index.html")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
