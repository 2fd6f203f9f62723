"""Rewrites of a net that is to be trained, in the order in which they run: what Caffe does, and autograd does not."""

from __future__ import annotations

from typing import Any

from netcompile.passes.base import Pass
from netcompile.train.in_place import IN_PLACE
from netcompile.train.labels import CHECKED_LABELS
from netcompile.train.stop_gradient import STOP_GRADIENT

PIPELINE: tuple[Pass[Any], ...] = (CHECKED_LABELS, STOP_GRADIENT, IN_PLACE)
