"""`python -m netcompile.zoo [FOLDER]` writes the bundled prototxts, by default into prototxt/."""

from __future__ import annotations

import sys
from pathlib import Path

from netcompile.prototxt.printer import to_text
from netcompile.zoo.catalogue import names, network
from netcompile.zoo.find import bundled_folder

HEAD = "# Written by `make prototxt` from netcompile/zoo.\n"


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(bundled_folder(), "prototxt")
    written = 0
    for name in names():
        path = root / name
        text = HEAD + to_text(network(name))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written += 1
            print(f"wrote {path}")
    print(f"{written} of {len(names())} files changed in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
