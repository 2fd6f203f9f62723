"""Run under Pyodide when the site is built: brings the compiler into memory, as it is after a net has been looked at.

The last line is what the build is told: the files that nobody reads again, as JSON.
"""

import gc
import importlib
import json
import os
import random
import sys

FOLDER = "/lib/python3.14/site-packages/"

importlib.invalidate_caches()  # the files came after Python began
playground = importlib.import_module("netcompile.site.playground")
with open("/net.prototxt", encoding="utf-8") as file:
    text = file.read()
for method, params in (
    ("open", {"text": text, "name": "net.prototxt"}),
    *((method, {}) for method in ("offsets", "explanation", "check", "cost", "source", "report", "upgraded")),
    ("completions", {"text": text, "position": len(text)}),
):
    answer = json.loads(playground.answer(method, json.dumps(params)))
    assert "result" in answer, answer
playground._opened.clear()
os.unlink("/net.prototxt")
held = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
held = sorted(path.removeprefix(FOLDER) for path in held if path.startswith(FOLDER))
del text, answer
random.seed(0)  # the same memory each time: Python has begun with what the system had
gc.collect()
gc.freeze()  # what is there for good is not looked through again
json.dumps(held)
