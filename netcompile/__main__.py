"""`python -m netcompile` is the command `netcompile`."""

if __name__ == "__main__":
    import sys

    from netcompile.cli.main import entry

    sys.exit(entry())
