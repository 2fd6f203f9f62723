"""Bar charts as SVG text: no library, the same bytes for the same numbers."""

from __future__ import annotations

from html import escape

COLORS = {"O2": "#1a7f37", "O1": "#7fb08f"}


def bars(title: str, unit: str, values: dict[str, float | None], note: str = "") -> str:
    """Horizontal bars, one for each name; None is shown as absent."""
    width, row, left = 720, 26, 130
    height = 44 + row * len(values) + (20 if note else 0)
    most = max((v for v in values.values() if v is not None), default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(values.items()):
        y = 36 + row * index
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        if value is None:
            parts.append(f'<text x="{left}" y="{y + 16}" fill="#888">absent</text>')
            continue
        length = (width - left - 110) * value / most
        color = COLORS.get(name, "#8a8f98")
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="{row - 8}" fill="{color}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 16}">{value:.3g} {escape(unit)}</text>')
    if note:
        parts.append(f'<text x="10" y="{height - 8}" fill="#555">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
