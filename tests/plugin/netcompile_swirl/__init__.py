"""The layer type Swirl for netcompile."""
