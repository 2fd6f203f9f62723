"""Pages of the Python interface: which names they show; autodoc writes them out of the docstrings."""

from __future__ import annotations

EXCEPTIONS = {"NetError", "StrideMismatch", "SizeTooComplex"}

PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "netcompile": (
        "netcompile",
        "Nets as modules, and what they say of pictures. [From Python](../../python.md) shows them in use.",
        ("netcompile.load", "netcompile.predict", "netcompile.NetError"),
    ),
    "surgery": (
        "netcompile.surgery",
        "Changes of nets and weights. [Net surgery](../../surgery.md) shows them in use.",
        tuple(
            f"netcompile.surgery.{name}"
            for name in (
                "read_net", "parse_net", "Net", "read_weights", "write_weights", "convolutionalise", "Converted",
                "transplant", "Transplanted", "interp", "expand_score", "with_classes", "expand_classes", "Expanded",
                "heads", "Head", "bilinear",
            )
        ),
    ),
    "algebra": (
        "netcompile.algebra",
        "Exact sizes and places. [The algebra](../../algebra.md) shows them in use.",
        tuple(
            f"netcompile.algebra.{name}"
            for name in (
                "Size", "NSet", "conv_size", "pool_size", "deconv_size", "crop_slack", "AxisMap", "crop_offset",
                "StrideMismatch", "SizeTooComplex", "filter_map", "inv_fp", "compose_fp", "compose_fp_list",
            )
        ),
    ),
    "steps": (
        "The steps of the compiler",
        "From a prototxt to a module, one step at a time, and what one may do with the module.",
        (
            "netcompile.prototxt.recognise.open_source", "netcompile.analyser.analyse", "netcompile.analyser.Analysed",
            "netcompile.compiler.compile_net", "netcompile.runtime.execute.with_weights",
            "netcompile.export.program.export_program", "netcompile.runtime.cuda_graphs.accelerate",
            "netcompile.data.images.read_image", "netcompile.data.images.to_blob",
        ),
    ),
}  # fmt: skip


def directive(name: str) -> str:
    """What autodoc is asked for: a class with its members, or a function."""
    last = name.rpartition(".")[2]
    if last in EXCEPTIONS:
        return f".. autoexception:: {name}\n   :members:"
    return f".. autoclass:: {name}\n   :members:" if last[0].isupper() else f".. autofunction:: {name}"


def pages() -> dict[str, str]:
    """A page for each group of names, and the list of them."""
    made = {}
    for stem, (title, what, names) in PAGES.items():
        shown = "\n\n".join(directive(name) for name in names)
        made[f"reference/python/{stem}.md"] = f"# {title}\n\n{what}\n\n```{{eval-rst}}\n{shown}\n```\n"
    stems = "\n".join(PAGES)
    head = "# Python\n\nFrom the docstrings. Names that are not here may change from version to version.\n\n"
    return {"reference/python/index.md": f"{head}```{{toctree}}\n{stems}\n```\n", **made}
