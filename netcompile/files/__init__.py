"""Writing files whole or not at all, whatever ends the process, and archives of arrays."""
