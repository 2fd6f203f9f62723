"""`python -m netcompile` is the command `netcompile`."""

import sys


def main() -> int:
    """Run the command that the process was started with; returns the exit code."""
    try:
        from netcompile.cli.program import run
    except KeyboardInterrupt:
        sys.stderr.write("netcompile: interrupted\n")
        return 130
    return run(_entry)


def _entry(arguments: list[str]) -> int:
    from netcompile.cli.main import entry

    return entry(arguments)


if __name__ == "__main__":
    sys.exit(main())
