// Run by Node when the site is built: compiles Python files to the bytecode of Pyodide's Python, and packs them; starts
// that Python with them, and keeps what is in its memory then. The same files each time: no clock runs, hashes have one seed.
//
//   node compile.mjs SITE SOURCES.ZIP NET PACK MEMORY WHOLE
//
// SITE has Pyodide in `pyodide/`, and python.mjs.

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const MIDNIGHT = Date.UTC(2026, 0, 1);
let moment = 0;
Date.now = () => MIDNIGHT;
performance.now = () => (moment += 1);

const [site, sources, net, pack, memory, whole] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${site}/pyodide/pyodide.mjs`));
const { OPTIONS, placeOfCalls, unpack } = await import(pathToFileURL(`${site}/python.mjs`));
const beside = (name) => readFile(new URL(name, import.meta.url), "utf8");

/** The pack of all files, or of all but some. */
async function compiled(without) {
  const python = await loadPyodide(OPTIONS);
  python.unpackArchive(new Uint8Array(await readFile(sources)), "zip", { extractDir: "/made" });
  python.FS.writeFile("/without.json", JSON.stringify(without));
  python.runPython(await beside("compile.py"));
  return python.FS.readFile("/packed");
}

/** Everything that is written. */
async function written() {
  const python = await loadPyodide({ ...OPTIONS, _makeSnapshot: true, _sysExecutable: "/python", env: { PYTHONHASHSEED: "0" } });
  const all = await compiled([]);
  await writeFile(whole, all);
  await unpack(python.FS, all, "/lib/python3.14/site-packages");
  python.FS.writeFile("/net.prototxt", await readFile(net));
  const held = JSON.parse(python.runPython(await beside("memory.py")));
  python._module.HEAP32[placeOfCalls(python._module)] = 0;
  await writeFile(memory, gzipSync(python.makeMemorySnapshot(), { level: 9 }));
  await writeFile(pack, await compiled(held));
}

try {
  await written();
} catch (error) {
  console.error(String(error.message)); // without the line of Pyodide's script, which is all of it
  process.exitCode = 1;
}
