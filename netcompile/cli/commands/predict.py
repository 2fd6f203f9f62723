"""What a net says of images: label maps, classes, boxes, edges, points, images, vectors, as its outputs are.

Writes files for each image, such as DIR/labels/NAME.png, and for some tasks one about all, such as DIR/classes.jsonl.
The task is found from the net's layers and losses; --task says otherwise. Files appear whole or not at all. Run again,
it goes on where it was stopped: files that the same net made with the same settings are kept.

Under torchrun every process takes its share of the images. A broken image is reported, skipped, and makes the exit
code 1. A build's module is Python code, and is run.
"""

from __future__ import annotations

import argparse

from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.imaging import add_imaging, open_job
from netcompile.cli.messages import show
from netcompile.cli.output import write_done, write_text
from netcompile.diagnostics.diagnostic import refuse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "netcompile predict NET|BUILD [--weights F] IMAGES… -o DIR [options]"
    add_imaging(parser, batch=4, scoring=False)
    parser.add_argument("images", metavar="IMAGES", nargs="+", help="images, folders of images, globs")
    parser.add_argument("-o", dest="out", metavar="DIR", required=True, help="the folder to write to")


def run(arguments: argparse.Namespace) -> int:
    from netcompile.data.pictures import pictures
    from netcompile.runtime.processes import processes
    from netcompile.tasks.predict import predict

    if arguments.with_loss:
        refuse("usage", "--with-loss needs labels: netcompile evaluate has them")
    images = pictures(arguments.images, arguments.out)
    with processes() as group:
        job = open_job(arguments, group.leads)
        found = predict(job, images, arguments.out, group, lambda problem: show([problem]), batch=arguments.batch)
    if group.leads:
        if found.summary:
            write_text(found.summary)
        before = f", {found.found} were there before" if found.found else ""
        broken = f", {found.broken} broken" if found.broken else ""
        write_done(f"wrote {found.made} of {len(images)} images to {arguments.out}{before}{broken}")
        write_done(*(f"wrote {path}" for path in found.collected))
    return FINDINGS if found.broken else DONE
