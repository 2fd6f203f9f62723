// Starts Python with the compiler in it; in a worker of the page, and in Node for the tests.

import { loadPyodide } from "./pyodide/pyodide.mjs";

// Nothing is loaded by Pyodide's own list of packages: what is needed is in the pack.
export const OPTIONS = {
  lockFileContents: {
    info: { abi_version: "2026_0", arch: "wasm32", platform: "emscripten", python: "3.14.0", version: "0" },
    packages: {},
  },
  packageBaseUrl: "./",
  checkAPIVersion: false,
};

/** The bytes of what is gzipped: bytes or a stream, or a promise of either. */
async function unzipped(packed) {
  const plain = new Response(await packed).body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** Write the files of a pack into a folder. A pack is gzipped: the length of a table, its paths and sizes, the files. */
export async function unpack(FS, packed, folder) {
  const bytes = await unzipped(packed);
  let at = 4 + new DataView(bytes.buffer).getUint32(0, true);
  const table = JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)));
  for (const [path, size] of table) {
    const target = `${folder}/${path}`;
    FS.mkdirTree(target.slice(0, target.lastIndexOf("/")));
    FS.writeFile(target, bytes.subarray(at, at + size));
    at += size;
  }
}

/** Where Python's memory says how functions are called: the place in a table that each browser fills by itself, 0 for none. */
export function placeOfCalls(module) {
  return (module.__PyRuntime + module.HEAP32[module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET >> 2]) >> 2;
}

/** Pyodide's module; what it is given as memory leaves how functions are called here as it is. */
async function createPyodideModule(settings) {
  const { default: create } = await import("./pyodide/pyodide.asm.mjs");
  const module = await create(settings);
  performance.mark("WebAssembly runs");
  const { API } = module;
  const restore = API.restoreSnapshot;
  API.restoreSnapshot = (memory) => {
    if (memory.length > module.HEAP8.length) module._emscripten_resize_heap(memory.length);
    const place = placeOfCalls(module);
    const own = module.HEAP32[place];
    const found = restore(memory);
    module.HEAP32[place] = own;
    performance.mark("memory in place");
    return found;
  };
  return module;
}

/** Python, and `ask(method, params)`, which answers `{result}` or `{error: {text}}`. `memory` is what Python holds when it
 *  has begun and has the compiler, `packed` the files beside it; both gzipped, as bytes or a stream, or promises. Where
 *  Python cannot go on from this memory, it begins anew with all files, which `whole()` promises. */
export async function start(memory, packed, whole, options = {}) {
  const python = await begun(packed, { createPyodideModule, _loadSnapshot: unzipped(memory), ...options }).catch((error) => {
    console.info(`Python begins anew: ${error?.message ?? error}`);
    performance.mark("Python begins anew");
    return begun(whole(), options);
  });
  const answer = python.pyimport("netcompile.site.playground").answer;
  return { python, ask: (method, params) => JSON.parse(answer(method, JSON.stringify(params))) };
}

async function begun(packed, options) {
  let fault = null; // Pyodide does not hand on what goes wrong in fsInit
  const fill = async (FS, { sitePackages }) => {
    try {
      await unpack(FS, packed, sitePackages);
      performance.mark("files unpacked");
    } catch (error) {
      fault = error;
    }
  };
  const python = await loadPyodide({ ...OPTIONS, fsInit: fill, ...options });
  if (fault !== null) {
    throw fault;
  }
  return python;
}
