// Starts Python with the compiler in it; in a worker of the page, and in Node for the tests.

import { loadPyodide } from "./pyodide/pyodide.mjs";

// Nothing is loaded by Pyodide's own list of packages: what is needed is in the pack.
const NO_PACKAGES = {
  info: { abi_version: "2026_0", arch: "wasm32", platform: "emscripten", python: "3.14.0", version: "0" },
  packages: {},
};

/** Write the files of a pack into a folder. A pack is gzipped: the length of a table, its paths and sizes, the files. */
export async function unpack(FS, packed, folder) {
  const plain = new Response(packed).body.pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(plain).arrayBuffer());
  let at = 4 + new DataView(bytes.buffer).getUint32(0, true);
  const table = JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)));
  for (const [path, size] of table) {
    const target = `${folder}/${path}`;
    FS.mkdirTree(target.slice(0, target.lastIndexOf("/")));
    FS.writeFile(target, bytes.subarray(at, at + size));
    at += size;
  }
}

/** Python, and `ask(method, params)`, which answers `{result}` or `{error: {text}}`. `packed` may be a promise. */
export async function start(packed, options = {}) {
  let fault = null; // Pyodide does not hand on what goes wrong in fsInit
  const fill = async (FS, { sitePackages }) => {
    try {
      await unpack(FS, await packed, sitePackages);
    } catch (error) {
      fault = error;
    }
  };
  const python = await loadPyodide({
    lockFileContents: NO_PACKAGES,
    packageBaseUrl: "./",
    checkAPIVersion: false,
    fsInit: fill,
    ...options,
  });
  if (fault !== null) {
    throw fault;
  }
  const answer = python.pyimport("netcompile.site.playground").answer;
  return { python, ask: (method, params) => JSON.parse(answer(method, JSON.stringify(params))) };
}
