// Run by Node when the site is built: compiles a folder of Python to the bytecode of Pyodide's Python, and packs it.
//
//   node compile.mjs PYODIDE-FOLDER SOURCE-ZIP TARGET-ZIP

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, source, target] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const python = await loadPyodide();
python.unpackArchive(new Uint8Array(await readFile(source)), "zip", { extractDir: "/made" });
python.runPython(await readFile(new URL("compile.py", import.meta.url), "utf8"));
await writeFile(target, python.FS.readFile("/made.zip"));
