// Starts Python with the compiler in it; in a worker of the page, and in Node for the tests.

import { loadPyodide } from "./pyodide/pyodide.mjs";

// Nothing is loaded by Pyodide's own list of packages: what is needed is in the archive.
const NO_PACKAGES = {
  info: { abi_version: "2026_0", arch: "wasm32", platform: "emscripten", python: "3.14.0", version: "0" },
  packages: {},
};

/** Python, and `ask(method, params)`, which answers `{result}` or `{error: {text}}`. `archive` may be a promise. */
export async function start(archive, options = {}) {
  const python = await loadPyodide({ lockFileContents: NO_PACKAGES, packageBaseUrl: "./", checkAPIVersion: false, ...options });
  python.unpackArchive(await archive, "zip", { extractDir: "/lib/python3.14/site-packages" });
  const answer = python.pyimport("netcompile.site.playground").answer;
  return { python, ask: (method, params) => JSON.parse(answer(method, JSON.stringify(params))) };
}
