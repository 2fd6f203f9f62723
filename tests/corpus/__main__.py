"""``make corpus``: the table of the whole corpus, docs/corpus.md."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.corpus.check import SHARED, Row, check, index


def markdown(rows: list[Row]) -> str:
    """The table, with its sums on top."""
    known = {entry["file"]: entry for entry in index()}
    nets = [row for row in rows if known[row.file]["format"] != "solver"]
    lines = [
        "# The corpus",
        "",
        "Prototxts as found in public repositories, and what netcompile makes of them. Written by `make corpus`.",
        "*loads*: the file makes a net, in the phase and stage that its layers are for, named where they are not TEST;",
        "*shapes*: every blob as in real Caffe, or its fork; *values*: sampled outputs within 1e-4 of max|reference|,",
        "with drawn weights and inputs. A dash: there is no reference for it.",
        "",
        f"- {len(rows)} files, {len(nets)} of them nets",
        f"- {sum(row.loads == 'yes' for row in nets)} load",
        f"- {sum(row.shapes == 'yes' for row in rows)} have all of real Caffe's shapes, "
        f"{sum(row.shapes == 'no' for row in rows)} do not",
        f"- {sum(row.values == 'yes' for row in rows)} give real Caffe's values, "
        f"{sum(row.values == 'no' for row in rows)} do not",
        "",
        "| file | format | loads | shapes | values | why not, or a remark | the original |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (
            row.file,
            known[row.file]["format"],
            row.loads,
            row.shapes,
            row.values,
            row.why.replace("|", "\\|"),
            row.original.replace("|", "\\|"),
        )
        lines.append("| " + " | ".join(cell.replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    if not (SHARED / "corpus").is_dir():
        sys.exit("the corpus beside the checkout (../shared/corpus) is absent: nothing to check")
    rows = []
    for entry in index():
        row = check(entry["file"])
        rows.append(row)
        print(f"{row.loads:8}{row.shapes:6}{row.values:6}{row.file}  {row.why[:100]}", flush=True)
    path = Path(__file__).resolve().parents[2] / "docs" / "corpus.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(markdown(rows))


if __name__ == "__main__":
    main()
