"""Score a net on labelled images: label maps, classes or boxes, as its outputs are.

For label maps it prints the lines of the FCN repository's score.py, and a table per class. With -o it writes
DIR/scores.json, DIR/report.html with the worst images, and matrices, all or nothing. Pixels labelled 255 do not count.

Under torchrun every process takes its share of the images; the sums are exact. A broken image is reported, left out,
and makes the exit code 1. A build's module is Python code, and is run.
"""

from __future__ import annotations

import argparse
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.imaging import add_imaging, open_job
from netcompile.cli.messages import show
from netcompile.cli.output import write_done, write_json, write_text
from netcompile.diagnostics.json_text import json_text
from netcompile.diagnostics.text import bytes_text
from netcompile.files.look import about
from netcompile.files.whole import whole_folder
from netcompile.tasks.task import Asked

if TYPE_CHECKING:
    from netcompile.tasks.task import Evaluation


def configure(parser: argparse.ArgumentParser) -> None:
    add_imaging(parser, batch=1, scoring=True)
    parser.add_argument(
        "--data",
        metavar="DATA",
        required=True,
        help="a folder (VOC, SBD, SIFT Flow, NYUDv2, COCO, one for each class), an LMDB, instances_*.json, or a list: "
        "an image and its label maps, its class, or its annotation a line",
    )
    parser.add_argument(
        "--split", metavar="S", help="which images: a list of the data set, or a file; default: val, of boxes test"
    )
    parser.add_argument("--root", metavar="DIR", help="what the paths of a list are relative to; default: its folder")
    parser.add_argument(
        "--iteration", type=int, metavar="N", help="what the lines say; default: from the weights' name"
    )
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="images on the page, default 12")
    parser.add_argument(
        "-o", dest="out", metavar="DIR", help="write scores.json, report.html and what lies behind them"
    )
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(arguments: argparse.Namespace) -> int:
    from netcompile.runtime.processes import processes

    asked = Asked(
        arguments.data, arguments.split, arguments.root, tuple(arguments.classes),
        max(0, arguments.worst) if arguments.out else 0, arguments.batch, lambda problem: show([problem]),
    )  # fmt: skip
    iteration = arguments.iteration if arguments.iteration is not None else iteration_of(arguments.weights)
    with processes() as group:
        job = open_job(arguments, group.leads, asked)
        found = job.task.evaluate(job, asked, group)
        if group.leads:
            scores = {"task": job.task.name, **found.as_json(job.loaded.name, iteration)}
            sizes: dict[str, int] = {}
            if arguments.out is not None:
                sizes = _write(arguments.out, found, scores, job.loaded.name, iteration)
            if arguments.json:
                write_json(scores)
            else:
                write_text(found.text(datetime.now(), iteration))
                write_done(*(f"wrote {arguments.out}/{name} ({bytes_text(size)})" for name, size in sizes.items()))
        group.wait()
    return FINDINGS if found.broken else DONE


def _write(folder: str, found: Evaluation, scores: dict[str, Any], net: str, iteration: int) -> dict[str, int]:
    """The files that were written, with their bytes."""
    with whole_folder(folder) as staged:
        staged.write("scores.json", json_text(scores).encode())
        for name, content in found.files(net, iteration).items():
            if isinstance(content, bytes):
                staged.write(name, content)
                continue
            path = staged.add(name)
            with about(path), open(path, "xb") as file:
                content(file)
        return staged.sizes()


def iteration_of(weights: str | None) -> int:
    """The iteration that Caffe's snapshots have in their names, else 0.

    >>> iteration_of("train_iter_100000.caffemodel"), iteration_of("fcn8s-heavy-pascal.caffemodel")
    (100000, 0)
    """
    found = re.search(r"_iter_(\d+)", os.path.basename(weights or ""))
    return int(found[1]) if found else 0
