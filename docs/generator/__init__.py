"""The documentation as a site: `make docs` reads docs/ and writes build/docs-site.

`pages` gathers the pages that are written by hand; `commands`, `error_codes`, `layer_types`, `python_names` and
`notebooks` write those that follow from the code; `build` runs Sphinx over both.
"""
