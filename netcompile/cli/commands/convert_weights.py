"""Convert weights of Caffe to .safetensors: .caffemodel, .caffemodel.h5, and .binaryproto means.

With --net the tensors are those of the compiled module (its state dict); without it, every blob of the file
under the key "<layer>.<index>". A mean's key is "mean". With --manifest, every caffemodel that the manifest
lists and that lies beside it is converted against its net, and what is absent is listed with where to fetch
it.
"""

from __future__ import annotations

import argparse
import os

from netcompile.caffemodel.remarks import target_name
from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import show
from netcompile.cli.net_options import NET_HELP, add_options, add_output
from netcompile.cli.options import add_max_memory, add_optimise, add_style
from netcompile.cli.weights import convert_one
from netcompile.cli.weights_path import read_weights_path
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.look import is_folder, make_folder


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="F", nargs="*", help="caffemodels, HDF5 caffemodels, means")
    parser.add_argument("--net", metavar="NET", help=f"the net that they belong to: {NET_HELP}")
    parser.add_argument(
        "-o", dest="out", metavar="OUT", help="a file for one F, a folder for several; default: beside F"
    )
    parser.add_argument("--manifest", metavar="FILE", help="convert what a manifest.toml lists")
    parser.add_argument("--allow-missing", action="store_true", help="weights that the file lacks become zeros")
    add_optimise(parser, "of the module")
    add_style(parser)
    add_output(parser, "a blob that the module was built for as an output")
    add_max_memory(parser)
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """All files are tried; exit code 2 if one of them was refused."""
    if arguments.manifest is not None:
        if arguments.files or arguments.net or arguments.out:
            refuse("usage", "--manifest says itself which files and nets: give it alone")
        from netcompile.cli.manifest import convert_manifest

        return convert_manifest(arguments)
    if not arguments.files:
        refuse("usage", "which files? give at least one .caffemodel, or --manifest weights/manifest.toml")
    paths = [read_weights_path(name) for name in arguments.files]
    targets = targets_for(paths, arguments.out)
    net = None
    if arguments.net is not None:
        from netcompile.cli.netinput import analyse_net  # a file alone needs nothing of what reads nets

        net = analyse_net(arguments, outputs=arguments.output)
    code = DONE
    for path, target in zip(paths, targets, strict=True):
        try:
            convert_one(arguments, path, target, net, named=target == arguments.out)
        except NetError as error:
            show(error.diagnostics)
            code = USAGE
    return code


def targets_for(paths: list[str], out: str | None) -> list[str]:
    """Where each file goes. Raises NetError where two would be written to one place."""
    if out is None:
        targets = [os.path.join(os.path.dirname(path), target_name(path)) for path in paths]
    elif len(paths) == 1 and not is_folder(out) and not out.endswith(os.sep):
        targets = [out]
    else:
        make_folder(out)
        targets = [os.path.join(out, target_name(path)) for path in paths]
    seen: dict[str, str] = {}
    for path, target in zip(paths, targets, strict=True):
        if target in seen:
            refuse("usage", f"{seen[target]} and {path} would both become {target}: convert them one by one")
        seen[target] = path
    return targets
