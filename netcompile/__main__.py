"""`python -m netcompile` is the command `netcompile`."""

if __name__ == "__main__":
    import sys

    try:
        from netcompile.cli.program import run
    except KeyboardInterrupt:
        sys.stderr.write("netcompile: interrupted\n")
        sys.exit(130)
    sys.exit(run())
