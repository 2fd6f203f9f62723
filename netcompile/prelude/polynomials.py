"""Polynomials, as Winograd's algorithm evaluates them."""


def polynomial(roots: list[float]) -> list[float]:
    """The coefficients of the polynomial with these roots, the constant first."""
    made = [1.0]
    for root in roots:
        made = [a - root * b for a, b in zip([0.0, *made], [*made, 0.0])]
    return made
