"""Which of Caffe's layers copy nothing."""

from __future__ import annotations

from netcompile.prototxt.message import Message


def shares(type_name: str, bottoms: int, tops: int, message: Message) -> bool:
    """Whether a layer's tops are its bottom's memory: ShareData in Caffe's source."""
    if type_name == "Permute":
        order = [int(axis) for axis in message.get("permute_param").all("order")]
        return order == list(range(len(order)))
    alone = {"Concat": bottoms, "Slice": tops}.get(type_name)
    return type_name in ("Flatten", "Reshape", "Split") or alone == 1
