"""Score a net on labelled images: the lines that the FCN repository's score.py prints, and a table per class.

With -o writes DIR/scores.json, DIR/confusion.npz (an int64 matrix per output, true class × predicted class) and
DIR/report.html with the worst images, all or nothing. Pixels labelled 255 do not count.

Under torchrun every process takes its share of the images; the sums are exact. A broken image is reported, left out,
and makes the exit code 1. A build's module is Python code, and is run.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.messages import show
from netcompile.cli.output import json_text, write_json, write_text
from netcompile.cli.segmenting import add_segmenting, open_job
from netcompile.files.look import about
from netcompile.files.npz import write_npz
from netcompile.files.whole import whole_folder

if TYPE_CHECKING:
    from netcompile.array import Array
    from netcompile.tasks.segmentation.evaluate import Evaluation


def configure(parser: argparse.ArgumentParser) -> None:
    add_segmenting(parser, batch=1)
    parser.add_argument(
        "--data",
        metavar="DATA",
        required=True,
        help="the folder of a data set (VOC, SBD, SIFT Flow, NYUDv2), or a list: an image and its label maps a line",
    )
    parser.add_argument("--split", metavar="S", help="which images: a list of the data set, or a file; default: val")
    parser.add_argument("--root", metavar="DIR", help="what the paths of a list are relative to; default: its folder")
    parser.add_argument(
        "--classes", action="append", metavar="C", default=[], help="names of classes: pascal, nyud, …, or a file"
    )
    parser.add_argument("--palette", default="voc", metavar="P", help="colours: voc (default), cityscapes, or a file")
    parser.add_argument(
        "--iteration", type=int, metavar="N", help="what the lines say; default: from the weights' name"
    )
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="images on the page, default 12")
    parser.add_argument("-o", dest="out", metavar="DIR", help="write scores.json, confusion.npz and report.html")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(arguments: argparse.Namespace) -> int:
    from netcompile.data.datasets import open_data
    from netcompile.data.palettes import class_names, palette
    from netcompile.runtime.processes import processes
    from netcompile.tasks.segmentation.evaluate import evaluate, iteration_of
    from netcompile.tasks.segmentation.evaluation_text import evaluation_as_json, evaluation_as_text

    for name in arguments.classes:
        class_names(name)
    colours = palette(arguments.palette)
    data = replace(open_data(arguments.data, arguments.split, arguments.root), palette=colours)
    iteration = arguments.iteration if arguments.iteration is not None else iteration_of(arguments.weights)
    with processes() as group:
        job = open_job(arguments, group.leads, data.folders)
        found = evaluate(
            job, data, group, lambda problem: show([problem]), batch=arguments.batch,
            keep=max(0, arguments.worst) if arguments.out else 0, classes=tuple(arguments.classes),
        )  # fmt: skip
        if group.leads:
            if arguments.out is not None:
                _write(arguments, found, job.loaded.name, data.name, iteration, colours)
            if arguments.json:
                write_json(evaluation_as_json(found, job.loaded.name, data.name, iteration))
            else:
                write_text(evaluation_as_text(found, datetime.now(), iteration))
        group.wait()
    return FINDINGS if found.broken else DONE


def _write(
    arguments: argparse.Namespace, found: Evaluation, net: str, data: str, iteration: int, colours: Array
) -> None:
    from netcompile.tasks.segmentation.evaluation_page import evaluation_page
    from netcompile.tasks.segmentation.evaluation_text import evaluation_as_json

    with whole_folder(arguments.out) as staged:
        staged.write("scores.json", json_text(evaluation_as_json(found, net, data, iteration)).encode())
        path = staged.add("confusion.npz")
        with about(path), open(path, "xb") as file:
            write_npz(file, {head.blob: head.matrix for head in found.heads})
        staged.write("report.html", evaluation_page(found, net, data, colours).encode())
