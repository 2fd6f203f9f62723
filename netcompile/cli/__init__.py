"""The command `netcompile`: `main.entry` runs one of `commands`, each imported only when it is the one that runs."""
