// Runs pytest under Pyodide, on the wheel and the tests of a folder. Exits as pytest does.
//
//   node tests.mjs PYODIDE-FOLDER WHEEL PACKAGES REPOSITORY PYTEST-ARGUMENTS…
//
// PACKAGES is a folder with pytest and what it needs, REPOSITORY one with the tests and what they read.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, wheel, packages, repository, ...given] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const python = await loadPyodide({ env: { HOME: "/home/pyodide", NO_COLOR: "1", COLUMNS: "110" } });
python.unpackArchive(new Uint8Array(await readFile(wheel)), "zip", { extractDir: "/installed" });
for (const [place, root] of Object.entries({ "/packages": packages, "/repository": repository })) {
  python.FS.mkdirTree(place);
  python.FS.mount(python.FS.filesystems.NODEFS, { root }, place);
}
python.globals.set("given", python.toPy(given));
let code = 70;
try {
  code = python.runPython(`
import os, sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/installed", "/packages"]
os.chdir("/repository")
import pytest
int(pytest.main(list(given)))
`);
} catch (error) {
  console.error(String(error.message).slice(-4000)); // without the line of Pyodide's script, which is all of it
}
process.exit(code);
