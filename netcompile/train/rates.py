"""Learning-rate policies, in Caffe's arithmetic: float32 settings, double powers where C++ takes doubles."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, nan

from netcompile.prototxt.schema import float32

# Policy → the fields of the solver that it reads beside base_lr.
POLICIES: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How the learning rate falls with the iteration (Caffe's SGDSolver::GetLearningRate)."""

    name: str
    base: float
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalues: tuple[int, ...] = ()
    max_iter: int = 0

    def step(self, iteration: int, current: int) -> int:
        """The count of steps that have been taken at `iteration`, `current` having been the count before.

        Caffe takes at most one step of `multistep` per iteration and keeps the count in its snapshots.
        """
        if self.name == "step":
            return iteration // self.stepsize
        if self.name == "multistep" and current < len(self.stepvalues) and iteration >= self.stepvalues[current]:
            return current + 1
        return current

    def rate(self, iteration: int, current: int) -> float:
        """The rate at `iteration`, given the count of steps taken; a float32.

        >>> Policy("step", 1.0, gamma=0.5, stepsize=4).rate(9, 2)
        0.25
        """
        match self.name:
            case "fixed":
                return self.base
            case "step" | "multistep":
                return float32(self.base * _power(self.gamma, current))
            case "exp":
                return float32(self.base * _power(self.gamma, iteration))
            case "inv":
                return float32(self.base * float32(_power(float32(1.0 + float32(self.gamma * iteration)), -self.power)))
            case "poly":
                left = float32(1.0 - float32(float32(iteration) / float32(self.max_iter))) if self.max_iter else 1.0
                return float32(self.base * float32(_power(left, self.power)))
            case _:  # sigmoid
                slope = float32(-self.gamma * (iteration - self.stepsize))
                return float32(self.base * float32(1.0 / (1.0 + float32(_exp(slope)))))


def _power(base: float, exponent: float) -> float:
    """C's pow: where Python raises or turns complex, infinity or NaN."""
    try:
        value = base**exponent
    except ZeroDivisionError:
        return inf
    except OverflowError:
        return inf if base > 0 or exponent % 2 == 0 else -inf
    return nan if isinstance(value, complex) else value


def _exp(x: float) -> float:
    try:
        return exp(x)
    except OverflowError:
        return inf
