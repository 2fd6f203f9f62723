"""Print what makes a shell complete netcompile's commands and options with the tab key.

netcompile completion bash > ~/.local/share/bash-completion/completions/netcompile
netcompile completion zsh > ~/.zsh/completions/_netcompile     (a folder of $fpath)
netcompile completion tcsh >> ~/.cshrc
"""

from __future__ import annotations

import argparse

from netcompile.cli.command_line import whole_parser
from netcompile.cli.exit_codes import DONE
from netcompile.cli.output import write_text


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(arguments: argparse.Namespace) -> int:
    import shtab

    write_text(shtab.complete(whole_parser(), arguments.shell))
    return DONE
