"""Segment images: label maps as palette PNGs, overlays, and on request the probabilities.

Writes DIR/labels/NAME.png (mode P), DIR/overlays/NAME.png, and with --softmax DIR/softmax/NAME.npz (array "prob",
classes × height × width); a folder for each output where the net has several. An output of one channel, such as an edge
map, gives a grey PNG of its probability. Files appear whole or not at all. Run again, it goes on where it was stopped:
outputs that the same net made with the same settings are kept.

Under torchrun every process takes its share of the images. A broken image is reported, skipped, and makes the exit
code 1. A build's module is Python code, and is run.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.messages import show
from netcompile.cli.output import write_lines
from netcompile.cli.segmenting import add_segmenting, open_job
from netcompile.diagnostics.diagnostic import refuse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "netcompile predict NET|BUILD [--weights F] IMAGES… -o DIR [options]"
    add_segmenting(parser, batch=4)
    parser.add_argument("images", metavar="IMAGES", nargs="+", help="images, folders of images, globs")
    parser.add_argument("-o", dest="out", metavar="DIR", required=True, help="the folder to write to")
    parser.add_argument("--palette", default="voc", metavar="P", help="voc (default), cityscapes, or a file")
    parser.add_argument("--no-overlays", action="store_true", help="write the label maps alone")
    parser.add_argument("--opacity", type=float, default=0.6, help="of an overlay's colours, default 0.6")
    parser.add_argument("--softmax", action="store_true", help="write the probabilities as well")


def run(arguments: argparse.Namespace) -> int:
    from netcompile.data.palettes import palette
    from netcompile.data.pictures import pictures
    from netcompile.runtime.processes import processes
    from netcompile.tasks.segmentation.predict import Wanted, predict

    if not 0 <= arguments.opacity <= 1:
        refuse("usage", f"--opacity {arguments.opacity:g} is not between 0 and 1")
    if arguments.with_loss:
        refuse("usage", "--with-loss needs labels: netcompile evaluate has them")
    images = pictures(arguments.images, arguments.out)
    wanted = Wanted(palette(arguments.palette), not arguments.no_overlays, arguments.softmax, arguments.opacity)
    with processes() as group:
        job = open_job(arguments, group.leads)
        if arguments.softmax and all(job.loaded.kinds.get(head) == "labels" for head in job.heads):
            what = f"{' and '.join(job.heads)} hold labels: there are no probabilities"
            refuse("score-map", what, remedy="--output BLOB names the scores before ArgMax")
        counts = predict(
            replace(job, loaded=replace(job.loaded, outputs=job.heads)), images, arguments.out, wanted, group,
            lambda found: show([found]), batch=arguments.batch,
        )  # fmt: skip
    if group.leads:
        before = f", {counts.found} were there before" if counts.found else ""
        broken = f", {counts.broken} broken" if counts.broken else ""
        write_lines(f"wrote {counts.made} of {len(images)} images to {arguments.out}{before}{broken}")
    return FINDINGS if counts.broken else DONE
