"""What happens when the system refuses a file operation, or ends the process at one, for each that a command makes.

`scenarios` are the commands, each with what lies there before; `inject` makes the operation of a given number fail;
`trial` runs one command so and judges what it left; `python -m tests.faults` goes through all of them. `works` does
the same with the functions that write files, in a process that is small, since each failure is a fork of it (`forks`).
"""
