"""What a net is called."""

from __future__ import annotations

GENERIC = frozenset(  # file names that say nothing of the net
    ["train", "val", "test", "deploy", "trainval", "train_val", "train_test", "trainval_test", "solver", "net"]
)


def net_name(declared: str, path: str) -> str:
    """The net's name: as declared, else from its path; ``voc-fcn8s/val.prototxt`` is voc-fcn8s."""
    if declared.strip():
        return declared
    parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    if not parts or path in ("-", "<stdin>", "<string>"):
        return "net"
    stem = parts[-1].rsplit(".prototxt", 1)[0].split("@")[0]
    return parts[-2] if stem in GENERIC and len(parts) > 1 else stem
