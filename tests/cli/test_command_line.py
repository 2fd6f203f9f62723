"""Which commands there are, what each says of itself, and completion for shells."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from netcompile.cli.command_line import command_module, command_names, command_parser, summary


@pytest.mark.parametrize("name", command_names())
def test_a_command_is_one_module(name):
    command = command_module(name)
    assert re.fullmatch(r"[A-Z][^\n]{20,110}[.:]", summary(name)), (
        "a sentence that stands alone in the list of commands"
    )
    assert command.__doc__.startswith(summary(name))
    assert callable(command.run)
    assert command_parser(name).description == command.__doc__


def test_the_list_of_commands_imports_none_of_them(tmp_path):
    code = (
        "import sys; from netcompile.cli.main import entry; entry(['--help']); "
        "print([m for m in sys.modules if m.startswith('netcompile.cli.commands.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(netcompile, shell):
    done = netcompile("completion", shell)
    assert done.code == 0
    assert all(name in done.out for name in command_names())
    assert all(option in done.out for option in ("crop-offsets", "with-loss", "keep-grid"))


def test_bash_completes(netcompile, tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(netcompile("completion", "bash").out)
    ask = f'source {script}; COMP_WORDS=(netcompile off); COMP_CWORD=1; _shtab_netcompile; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["offsets"], done.stderr
