// Run by Node when the site is built: compiles Python files to the bytecode of Pyodide's Python, and packs them.
//
//   node compile.mjs PYODIDE-FOLDER SOURCES.ZIP TARGET

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, sources, target] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const python = await loadPyodide();
python.unpackArchive(new Uint8Array(await readFile(sources)), "zip", { extractDir: "/made" });
python.runPython(await readFile(new URL("compile.py", import.meta.url), "utf8"));
await writeFile(target, python.FS.readFile("/packed"));
