"""What to tell the author of a mistake: likely meanings of unknown names, examples, fixed sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from netcompile.diagnostics.nearest import Hints, did_you_mean, nearest
from netcompile.diagnostics.text import listed
from netcompile.prototxt.schema import EnumType, FieldType, MessageType, message_type

JUNK_WHY = "a net is made of fields: name: value, or name { … }"
SEPARATOR_WHY = "one ',' or ';' may follow a field, nothing else"
WEB_WHY = "the page around the file was saved, not the file"
WEB_FIX = "download the raw file, or remove what is not the net"
CONFLICT_WHY = "git left both versions of these lines in the file"
CONFLICT_FIX = "keep one version, and remove the lines <<<<<<<, ======= and >>>>>>>"
TEMPLATE_WHY = "this file is a template: a script was meant to write a value here"
TEMPLATE_FIX = "run the script that comes with the file, or write the value yourself"
SMART_QUOTES = "“”„‟«»‘’‚‛"
ODD_SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u202f\u205f\u2060\u3000\ufeff\u0085\u2028\u2029"
)

_TAG = re.compile(r"<(?:/?[A-Za-z][\w:-]*[\s/>]|!--|!DOCTYPE)", re.IGNORECASE)

# what people write for a field's name, by what they mean
_MISTAKEN_FOR = {
    "kernel_size": ("kernel", "kernelsize", "kernal_size", "ksize", "filter_size"),
    "pad": ("padding",),
    "stride": ("strides",),
    "dilation": ("dilations", "rate"),
    "group": ("groups", "num_group"),
    "bias_term": ("bias", "biasterm", "use_bias"),
    "num_output": (
        *("num_outputs", "num_out", "num_filters", "num_filter"),
        *("output_num", "filters", "channels_out"),
    ),
    "bottom": ("bottoms", "input"),
    "top": ("tops", "output"),
    "lr_mult": ("lr",),
    "decay_mult": ("decay",),
    "dropout_ratio": ("dropout", "ratio"),
    "operation": ("op",),
    "pool": ("method",),
    "eps": ("epsilon",),
    "negative_slope": ("slope",),
    "convolution_param": ("conv_param", "deconvolution_param"),
    "pooling_param": ("pool_param",),
    "inner_product_param": ("fc_param", "ip_param"),
    "batch_norm_param": ("bn_param", "batchnorm_param"),
    "param { lr_mult: … }": ("blobs_lr",),
    "param { decay_mult: … }": ("weight_decay",),
}
MISTAKES = {written: meant for meant, mistakes in _MISTAKEN_FOR.items() for written in mistakes}


def wanted(field: FieldType) -> str:
    """What a field takes, in words."""
    if field.message is not None:
        return "a block in braces"
    if field.enum is not None:
        return f"a {field.enum.split('.')[-1]}"
    return {
        "bool": "true or false",
        **dict.fromkeys(("string", "bytes"), "a string in quotes"),
        **dict.fromkeys(("float", "double"), "a number"),
        **dict.fromkeys(("int32", "int64"), "a whole number"),
    }.get(field.type, "a number, whole and not negative")


def example(field: FieldType) -> str:
    """What a value of the field looks like; numbers are the author's to choose."""
    if field.message is not None:
        return "{ … }"
    if field.enum is not None:
        return str(field.default)
    return {"bool": "true", "string": '"…"', "bytes": '"…"'}.get(field.type, "…")


def _nearest_field(word: str, names: list[str], hints: Hints) -> list[str]:
    """The field of which `word` is most likely a misspelling; what all block names share says nothing."""
    if not word.endswith("_param"):
        return hints.nearest(word, names, 1, 0.7)
    stems = [name.removesuffix("_param") for name in names if name.endswith("_param")]
    return [f"{stem}_param" for stem in hints.nearest(word.removesuffix("_param"), stems, 1, 0.7)]


def unknown_field(
    name: str, kind: MessageType, opens: bool, present: Collection[str], hints: Hints
) -> tuple[str, str, str]:
    """What, why and remedy for a field that ``kind`` does not have; ``present`` are the fields around it."""
    what = f"{kind.name} has no field '{name}'"
    meant = MISTAKES.get(name.lower())
    if meant is not None and meant.split(" ")[0] in kind.fields:
        return what, "", did_you_mean([meant])
    if kind.name == "V1LayerParameter" and name in message_type("LayerParameter").fields:
        return what, "it came after layers, the older form", 'write the layer as layer { type: "…" … }'
    homes = [f.name for f in kind.fields.values() if f.message and name in message_type(f.message).fields]
    homes = [h for h in homes if h in present] or [h for h in homes if kind.fields[h].fork is None]
    if homes:
        return what, f"{name} belongs into {listed(homes, 3)}", f"{homes[0]} {{ {name}{' { … }' if opens else ': …'} }}"
    own = [f.name for f in kind.fields.values() if f.fork is None]
    near = _nearest_field(name, own, hints) or _nearest_field(name, list(kind.fields), hints)
    if near:
        return what, "", did_you_mean(near)
    return what, "neither Caffe nor a fork that is known here has it", "remove it"


def unknown_value(word: str, field: FieldType, enum: EnumType) -> tuple[str, str, str]:
    """What, why and remedy for a word that is no value of an enum."""
    short = enum.name.split(".")[-1]
    what = f"{word} is no {short}"
    own = [v for v in enum.numbers if v not in enum.forks]
    remedy = did_you_mean(nearest(word, enum.numbers, 1, 0.7))
    why = f"{field.name} is one of {', '.join(own)}" if len(own) <= 8 else ""
    return what, why, remedy


def is_web_page(text: str) -> bool:
    """Whether a text is an HTML page from its beginning."""
    head = text[:1000].lstrip().lower()
    return head.startswith(("<!doctype", "<html", "<?xml", "<head", "<script"))


def is_tag(text: str, at: int) -> bool:
    """Whether an HTML tag stands at ``at``."""
    return _TAG.match(text, at) is not None


def odd_space(char: str, at: int) -> tuple[str, int, int, str, str]:
    """A finding's parts for a space that is none to protobuf."""
    what = f"{unicodedata.name(char, 'a space').lower()} (U+{ord(char):04X}) where only plain spaces may stand"
    why = "text copied from a page often has these"
    return what, at, at + 1, why, "replace all of them in the file by plain spaces"
