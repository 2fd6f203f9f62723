"""Load and run emitted code; the only part of netcompile that imports torch."""
