"""The command `netcompile`: one module per command, each imported only when it is the one that runs.

A command's module has a docstring (its help), ``configure(parser)`` (its arguments) and ``run(arguments) ->
int`` (its exit code). `main.entry` parses, runs, and turns everything that can go wrong into a message and
an exit code.
"""
