"""The rows of the page's table of layers, as markup: of a large net they are most of the page."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from markupsafe import Markup, escape

from netcompile.diagnostics.text import bytes_text, count_text, shape_text
from netcompile.diagnostics.visible import visible
from netcompile.report.formatting import exact_text, offsets, pair_text, strides
from netcompile.report.layer_model import LayerLine, Layers
from netcompile.report.model import BlobLine

_BAR = (
    '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
    '<rect width="{:.2f}" height="4"/></svg>\n'
)


def layer_rows(layers: Layers) -> Markup:
    """A row for each layer; every text of the net is escaped, and shows."""
    costs = [(layer.parameters, layer.macs, layer.activations) for layer in layers.layers]
    largest = [max(column) for column in zip(*costs, strict=True)] if costs else [0, 0, 0]
    return Markup("".join(_row(layer, largest, layers.numeric) for layer in layers.layers))


def _row(layer: LayerLine, largest: Sequence[int], numeric: bool) -> str:
    top = layer.tops[0] if layer.tops else None
    field = top.field if top is not None else None
    maps = top.coordinates if top is not None else None
    stride, offset = strides(maps), offsets(maps)
    shapes = "<br>".join(_shape(each, numeric) for each in layer.tops)
    cells = [
        f'<th scope="row">{_text(layer.name)}</th><td>{_text(layer.type)}</td>{_number(layer.line, str(layer.line))}',
        f"<td>{_text(', '.join(layer.bottoms))}</td><td>{_text(', '.join(top.name for top in layer.tops))}</td>",
        f'<td class="shape">{shapes}</td>',
        _cost(layer.parameters, count_text(layer.parameters), largest[0]),
        _cost(layer.macs, count_text(layer.macs), largest[1]),
        _cost(layer.activations, bytes_text(layer.activations), largest[2]),
        _number(field.size[0] if field is not None else -1, _pair(None if field is None else field.size)),
        _number(float(stride[0]) if stride is not None else -1, _pair(stride)),
        _number(float(offset[0]) if offset is not None else 0, _pair(offset)),
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _text(text: str) -> str:
    return str(escape(visible(text)))


def _number(value: float, shown: str) -> str:
    return f'<td class="n" data-value="{value}">{shown}</td>'


def _cost(value: int, shown: str, largest: int) -> str:
    return _number(value, f"{shown}{_BAR.format(100 * value / largest)}" if value else "")


def _pair(pair: tuple[int | Fraction, int | Fraction] | None) -> str:
    return "–" if pair is None else pair_text(pair)


def _shape(top: BlobLine, numeric: bool) -> str:
    """A shape as a function of the input's size, and in numbers; both may go on in the next line behind a ×."""
    exact = breakable(exact_text(top.symbolic, top.shape))
    if not numeric or not top.shape:
        return str(exact)
    return f'{exact} <span class="quiet">= {breakable(shape_text(top.shape))}</span>'


def breakable(text: str) -> Markup:
    """A shape that may go on in the next line behind a ×."""
    return escape(visible(text)).replace("×", Markup("×<wbr>"))
