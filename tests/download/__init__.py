"""A web server that does what a test says, and tests of downloading from it."""
