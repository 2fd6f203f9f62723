"""Names that the methods of a module built for inference use."""


def window(x, top, left, height, width):
    """A copy of some rows and columns."""
    return x[:, :, top : top + height, left : left + width].clone()


def version(weight):
    """How often a tensor was written in place, as far as torch counts it."""
    return 0 if weight.is_inference() else weight._version
