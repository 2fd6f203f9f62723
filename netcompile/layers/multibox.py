"""SSD's loss: MultiBoxLoss matches prior boxes with true ones, mines hard examples, and adds two losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Condition, Emission, Emitted, Refused, Shape, layer
from netcompile.layers.detection import boxes_agree
from netcompile.layers.measure import Loss, normalization
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import count
from netcompile.layers.source import call, literal


@layer("MultiBoxLoss")
@dataclass(frozen=True, slots=True)
class MultiBoxLoss(Loss):
    """Loss of SSD's head, from location offsets, class scores, priors and true boxes.

    A true box is one of 8 numbers: image, class, instance, xmin, ymin, xmax, ymax, difficult. `options` are
    the arguments of the emitted function that differ from its defaults.
    """

    classes: int = 2
    shared: bool = True
    code: str = "CORNER"
    options: tuple[tuple[str, str], ...] = ()

    arity: ClassVar[Arity] = Arity(bottoms=4, tops=1)
    keeps_state: ClassVar[bool] = True
    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("multibox_loss_param")
        classes = s.required_positive("num_classes")
        shared, mining = bool(s.get("share_location")), str(s.get("mining_type"))
        _check(s, classes, mining, shared)
        own = {
            "shared": None if shared else "False",
            "background": int(s.get("background_label_id")) or None,
            "difficult": None if s.get("use_difficult_gt") else "False",
            "threshold": literal(s.get("overlap_threshold")),
            "one_each": "True" if s.get("match_type") == "BIPARTITE" else None,
            "by_prior": None if s.get("use_prior_for_matching") else "False",
            "inside": "True" if s.get("ignore_cross_boundary_bbox") else None,
            "encoded": "True" if s.get("encode_variance_in_target") else None,
            "clipped": "True" if s.get("bp_inside") else None,
            "agnostic": "True" if s.get("map_object_to_agnostic") else None,
            "mining": f'"{mining}"' if mining != "MAX_NEGATIVE" else None,
            "squared": "True" if s.get("loc_loss_type") == "L2" else None,
            "logistic": "True" if s.get("conf_loss_type") == "LOGISTIC" else None,
            "weight": literal(s.get("loc_weight")) if s.get("loc_weight") != 1 else None,
            "normalization": f'"{over}"' if (over := normalization(p, "VALID")) != "VALID" else None,
        }
        own |= _mining(s, mining)
        for name, passes in zip(("locate", "classify"), p.message.all("propagate_down"), strict=False):
            own[name] = None if passes else "False"
        options = tuple((name, value) for name, value in own.items() if value is not None)
        return cls(classes, shared, str(s.get("code_type")), tuple((k, str(v)) for k, v in options))

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        truth = bottoms[3]
        if count(truth) % 8:
            raise Refused(f"{count(truth)} numbers are no true boxes", at="bottom[3]", why="a box has 8 numbers")
        return boxes_agree(bottoms, self.classes, 1 if self.shared else self.classes)

    def emit(self, e: Emission) -> Emitted:
        make = call("BoxLoss", self.classes, f'"{self.code}"', **dict(self.options))
        line = f"{e.y[0]} = self.{e.name}({', '.join(e.x)})"
        return Emitted((line,), (f"self.{e.name} = {make}",), ("box_loss.BoxLoss",))


def _check(s: Section, classes: int, mining: str, shared: bool) -> None:
    """What SSD's code stops at."""
    if mining != "NONE" and not shared:
        s.refuse(
            "share_location",
            "mining needs share_location",
            code="param-conflict",
            why="SSD's code mines only where the classes share their boxes",
            remedy="mining_type: NONE",
        )
    if s.has("do_neg_mining") and bool(s.get("do_neg_mining")) != (mining != "NONE"):
        s.refuse("do_neg_mining", f"do_neg_mining contradicts mining_type {mining}", code="param-conflict")
    background = int(s.get("background_label_id"))
    if (s.get("conf_loss_type") == "SOFTMAX" or mining != "NONE") and background >= classes:
        s.refuse("background_label_id", f"no class {background} of {classes}", code="param-range")
    if s.get("map_object_to_agnostic") and classes != 2:
        s.refuse("map_object_to_agnostic", f"map_object_to_agnostic needs 2 classes, not {classes}", code="param-range")
    if mining == "HARD_EXAMPLE" and int(s.get("sample_size")) < 1:
        s.refuse("sample_size", "sample_size must be positive", code="param-range")


def _mining(s: Section, mining: str) -> dict[str, str | None]:
    """Source of the arguments that choose hard examples."""
    s.ignore("neg_pos_ratio", "neg_overlap", "sample_size", "nms_param", "use_prior_for_nms")
    own: dict[str, str | None] = {}
    if mining == "MAX_NEGATIVE":
        own = {"ratio": literal(s.get("neg_pos_ratio")), "limit": literal(s.get("neg_overlap"))}
    elif mining == "HARD_EXAMPLE":
        own = {"size": str(int(s.get("sample_size")))}
    nms = s.get("nms_param")
    if mining != "NONE" and s.has("nms_param") and nms.get("nms_threshold") > 0:
        own |= {"overlap": literal(nms.get("nms_threshold")), "kept": str(int(nms.get("top_k") or 0))}
        own["nms_by_prior"] = "True" if s.get("use_prior_for_nms") else None
    return own
