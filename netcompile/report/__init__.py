"""What is told about a net: one report value, made from an analysed net, and renderers that only format it.

`offsets.offsets_report` and `layers.layers_report` make the two halves; `as_text`, `as_json` and `as_html`
write them.
"""
