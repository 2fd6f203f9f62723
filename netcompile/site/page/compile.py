"""Run under Pyodide when the site is built: the bytecode of all files of `/made` in `/made.zip`, the same each time."""

import os
import py_compile
import zipfile

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
SOURCES = "/netcompile/prelude/"  # the emitter copies their text

os.chdir("/made")
with zipfile.ZipFile("/made.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
    for folder, folders, names in os.walk("."):
        folders.sort()
        for name in sorted(names):
            path = os.path.normpath(os.path.join(folder, name))
            if name.endswith(".py"):
                py_compile.compile(path, f"{path}c", path, True, invalidation_mode=UNCHECKED)
                kept = [f"{path}c", *([path] if SOURCES in f"/{path}" else [])]
            else:
                kept = [path]
            for each in kept:
                with open(each, "rb") as file:
                    packed.writestr(zipfile.ZipInfo(each), file.read(), zipfile.ZIP_DEFLATED, 9)
