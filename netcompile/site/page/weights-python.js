// The side of the Python worker for weights: a file of the browser appears to Python under its name, and is read in
// slices as they are asked for; what is converted comes back as a file made of slices, which nobody has read.

const FOLDER = "/weights";
const INPUT_OUTPUT_ERROR = 29; // EIO, as Emscripten numbers it
const TOGETHER = 1 << 22; // bytes that are made a part of the file at once

/** The methods that take or give files, by name: each as `ask` answers, `{result}` or `{error}`, or a promise of that. */
export function weightsMethods(python, ask) {
  const { FS } = python;
  const files = FS.filesystems.WORKERFS;
  let file = null;
  guardReads(FS, files);

  function mount(given) {
    ask("weights_close", {});
    if (file === null) FS.mkdirTree(FOLDER);
    else FS.unmount(FOLDER);
    file = given;
    FS.mount(files, { files: [given] }, FOLDER);
  }

  return {
    async weights_open({ file: given }) {
      mount(given);
      const { name } = given;
      const found = ask("weights_open", { folder: FOLDER, name });
      return found.result?.kind === "hdf5" ? unpacked(given, ask, mount) : found;
    },
    weights_file() {
      const begun = ask("weights_begin", {});
      return begun.error ? begun : joined(file, () => ask("weights_next", {}), python);
    },
  };
}

/** An HDF5 file, opened as the file of its numbers, one behind the other, which the page is given to look at. */
async function unpacked(given, ask, mount) {
  const { name } = given;
  const opened = await (await import("./hdf5.js")).open(given);
  try {
    const { listing } = opened;
    const found = ask("weights_listed", { name, listing });
    if (found.error) return found;
    const numbers = new File([opened.unpacked(found.result.wanted) ?? ""], name);
    mount(numbers);
    const told = ask("weights_open", { folder: FOLDER, name, listing });
    if (told.result) told.result.numbers = numbers;
    return told;
  } finally {
    opened.close();
  }
}

/** A file that was changed or removed since gives an error of the system, which Python knows what to do with. */
function guardReads(FS, files) {
  const { read } = files.stream_ops;
  files.stream_ops.read = (...given) => {
    try {
      return read(...given);
    } catch (error) {
      throw error instanceof FS.ErrnoError ? error : new FS.ErrnoError(INPUT_OUTPUT_ERROR);
    }
  };
}

/** The parts as one Blob: `{range}` of the file, or `{bytes}` that wait in Python. */
function joined(file, next, python) {
  const parts = [];
  let small = [];
  let size = 0;
  const settle = () => {
    if (size) parts.push(new Blob(small));
    small = [];
    size = 0;
  };
  const take = python.pyimport("netcompile.site.playground").weights_taken;
  for (;;) {
    const { result, error } = next();
    if (error) return { error };
    if (result.end) break;
    if (result.range) {
      settle();
      parts.push(file.slice(...result.range));
    } else {
      const bytes = take();
      small.push(bytes.toJs());
      bytes.destroy();
      size += result.bytes;
      if (size > TOGETHER) settle();
    }
  }
  settle();
  take.destroy();
  return { result: { blob: new Blob(parts, { type: "application/octet-stream" }) } };
}
