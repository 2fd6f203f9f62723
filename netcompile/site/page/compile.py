"""Run under Pyodide when the site is built: the files of `/made`, compiled, in `/packed`; the same bytes each time.

`/without.json` has the paths of files that are left out. A pack is gzipped: the length of a table, the table, a path
and a size for each file, and the files.
"""

import gzip
import json
import os
import py_compile
import struct

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
SOURCES = "netcompile/prelude/"  # the emitter copies their text

os.chdir("/made")
paths = [os.path.normpath(os.path.join(folder, name)) for folder, _, names in os.walk(".") for name in names]
kept = []
with open("/without.json", encoding="utf-8") as listed:
    left_out = json.load(listed)
for path in sorted(paths):
    if path.endswith(".py"):
        py_compile.compile(path, f"{path}c", path, True, invalidation_mode=UNCHECKED)
        kept.append(f"{path}c")
    if not path.endswith(".py") or path.startswith(SOURCES):
        kept.append(path)
kept = [path for path in kept if path not in left_out]
files = []
for path in kept:
    with open(path, "rb") as file:
        files.append(file.read())
table = json.dumps([[path, len(data)] for path, data in zip(kept, files, strict=True)]).encode()
packed = gzip.compress(b"".join([struct.pack("<I", len(table)), table, *files]), 9, mtime=0)
with open("/packed", "wb") as file:
    file.write(packed)
