"""The commands: one module each, named as the command with "_" for "-". To add one, add its module.

A command's module has a docstring (its help; the first line is what the list of commands says), ``configure(parser)``
(its arguments) and ``run(arguments) -> int`` (its exit code).
"""
