// Reads HDF5 files with HDF5's own library, compiled to WebAssembly: what is in a file, and the numbers of data sets.
// Fetched when the first HDF5 file is dropped, and run in Python's worker. What is listed is judged by
// netcompile/site/hdf5.py: a file is `{size, root}`, or `{damaged}` or `{gone}`; a group `{address, members: {name: node}}`,
// a data set `{address, type, size, shape, chunks, filters, virtual}`, a link `{link}`, what cannot be read `{failed}`.

import { ready } from "h5wasm";
import { half } from "./weights-numbers.js";

const FOLDER = "/hdf5";
const FILE = "file.h5";
const INPUT_OUTPUT_ERROR = 29; // EIO, as Emscripten numbers it
const DEPTH = 34; // groups in groups; deeper ones are refused
const NODES = 1 << 21;
const PIECE = 1 << 22; // bytes that are unpacked at a time, or a row of chunks
const COMPACT = 1 << 16; // bytes that HDF5 may have read already, with what it says of a data set
const WHOLE = { int1: Int8Array, int2: Int16Array, int4: Int32Array, int8: BigInt64Array, uint1: Uint8Array, uint2: Uint16Array, uint4: Uint32Array, uint8: BigUint64Array };

// Of the file that is open: whether the browser still gives its bytes, how many were read, and what was read last.
const state = { gone: false, read: 0, last: null };

/** The file, open: `listing` and `unpacked(wanted)`, to be closed in the end. */
export async function open(file) {
  const library = await ready;
  const { FS } = library;
  library.activate_throwing_error_handler();
  const files = FS.filesystems.WORKERFS;
  if (!FS.analyzePath(FOLDER).exists) {
    FS.mkdir(FOLDER);
    watch(FS, files);
  }
  state.gone = false;
  FS.mount(files, { blobs: [{ name: FILE, data: file }] }, FOLDER);
  let id = null;
  const opened = {
    close() {
      try {
        if (id !== null) library.close_file(id);
      } catch { // it was only read
      }
      FS.unmount(FOLDER);
    },
  };
  try {
    id = library.open(`${FOLDER}/${FILE}`, library.H5F_ACC_RDONLY, false, -1, -1);
    opened.listing = { size: file.size, root: listed(library, id) };
  } catch (error) {
    opened.listing = { damaged: reason(error) };
  }
  if (state.gone) opened.listing = { gone: true };
  opened.unpacked = (wanted) => unpacked(library, id, file, wanted, opened.listing);
  return opened;
}

/** From here on it is noted what is read, and when the browser no longer gives the file's bytes. */
function watch(FS, files) {
  const { read } = files.stream_ops;
  files.stream_ops.read = (stream, heap, place, length, position) => {
    try {
      const count = read(stream, heap, place, length, position);
      state.read += count;
      state.last = { place, count, position };
      return count;
    } catch (error) {
      state.gone = true;
      throw error instanceof FS.ErrnoError ? error : new FS.ErrnoError(INPUT_OUTPUT_ERROR);
    }
  };
}

/** Of HDF5's messages, which go from the outermost call to the innermost, the first and the last. */
function reason(error) {
  const text = String(error?.message ?? error);
  const found = [...text.matchAll(/^\s*#\d+:.*?\bin \w+\(\): (.*)$/gm)].map((match) => match[1].trim());
  const capital = (words) => words[0].toUpperCase() + words.slice(1); // as h5py has it
  if (!found.length) return text.split("\n", 1)[0].slice(0, 500);
  return found.length > 1 ? `${capital(found[0])} (${found.at(-1)})` : capital(found[0]);
}

// What is in a file --------------------------------------------------------------------------------------------------

function listed(library, id) {
  const seen = new Set();
  let nodes = 0;
  const address = (path) => [...library.create_object_reference(id, path)].join(".");
  const attempt = (look) => {
    try {
      return look();
    } catch (error) {
      return { failed: reason(error) };
    }
  };
  const group = (path, depth, wanted = () => true) => {
    const place = address(path);
    const members = Object.create(null);
    if (!seen.has(place) && depth <= DEPTH) {
      seen.add(place);
      for (const name of library.get_names(id, path, false)) {
        if (++nodes > NODES) throw new Error("it has too many objects");
        members[name] = wanted(name) ? attempt(() => node(`${path === "/" ? "" : path}/${name}`, depth + 1)) : null;
      }
    }
    return { address: place, members };
  };
  const node = (path, depth) => {
    if (library.get_symbolic_link(id, path) !== null) return { link: "soft" };
    if (library.get_external_link(id, path).filename !== undefined) return { link: "external" };
    const type = library.get_type(id, path);
    if (type === library.H5G_GROUP) return group(path, depth);
    if (type === library.H5G_DATASET) return dataset(path);
    return type === library.H5G_UDLINK ? { link: "special" } : {};
  };
  const dataset = (path) => {
    const { type, signed, size, shape, chunks, virtual_sources: sources } = library.get_dataset_metadata(id, path);
    const { H5T_INTEGER, H5T_FLOAT, H5T_STRING, H5T_COMPOUND } = library.H5T_class_t;
    const names = new Map([[H5T_FLOAT.value, "float"], [H5T_INTEGER.value, signed ? "int" : "uint"], [H5T_STRING.value, "strings"], [H5T_COMPOUND.value, "structures"]]);
    return {
      address: address(path), type: names.get(type) ?? "what are no numbers", size, shape, chunks,
      filters: library.get_dataset_filters(id, path).map((filter) => filter.id), virtual: sources !== undefined,
    };
  };
  return group("/", 0, (name) => name === "data");
}

// Numbers ------------------------------------------------------------------------------------------------------------

/** The numbers of the data sets, `[path, dtype]` each, one behind the other; null where the listing now says what failed. */
function unpacked(library, id, file, wanted, listing) {
  const parts = [];
  for (const [path, dtype] of wanted) {
    try {
      const before = state.read;
      let size = 0;
      for (const piece of pieces(library, id, path)) {
        parts.push(piece.as(dtype, file));
        size += piece.packed ? 0 : piece.size;
      }
      // HDF5 makes numbers of nothing where none were ever written.
      if (size > COMPACT && state.read - before < size) throw new Error("not all of its numbers are stored");
    } catch (error) {
      listing.failed = [path, reason(error)];
      if (state.gone) listing.gone = true;
      return null;
    }
  }
  return new Blob(parts, { type: "application/octet-stream" });
}

/** A data set piece by piece; each is to be taken before the next. */
function* pieces(library, id, path) {
  const about = library.get_dataset_metadata(id, path);
  const { size, shape, chunks, total_size: total } = about;
  if (!total) return;
  about.float = about.type === library.H5T_class_t.H5T_FLOAT.value;
  const packed = library.get_dataset_filters(id, path).length > 0;
  const axis = Math.max(0, shape.findIndex((extent) => extent > 1)); // the first along which there is anything to take
  const extent = shape.length ? shape[axis] : 1;
  const row = (total / extent) * size;
  const step = Math.min(extent, aligned(Math.max(1, Math.floor(PIECE / row)), chunks?.[axis] ?? 1));
  const place = library._malloc(step * row);
  if (!place) throw new Error("not enough memory");
  try {
    for (let start = 0; start < extent; start += step) {
      const count = Math.min(step, extent - start);
      const offsets = shape.map((_, at) => BigInt(at === axis ? start : 0));
      const counts = shape.map((all, at) => BigInt(at === axis ? count : all));
      const slice = shape.length ? [counts, offsets, shape.map(() => 1n)] : [null, null, null];
      state.last = null;
      if (library.get_dataset_data(id, path, ...slice, BigInt(place)) < 0) throw new Error("it cannot be unpacked");
      yield { packed, size: count * row, as: (dtype, file) => taken(library, place, count * row, about, dtype, file) };
    }
  } finally {
    library._free(place);
  }
}

/** What lies in the library's memory, as a part of a file of numbers: where it was read as it is, a stretch of the file. */
function taken(library, place, length, { float, size, signed, littleEndian }, dtype, file) {
  if (dtype === `float${8 * size}` && float) {
    const { last } = state;
    if (littleEndian && last?.place === place && last.count === length) return file.slice(last.position, last.position + length);
    return new Blob([library.HEAPU8.subarray(place, place + length)]);
  }
  const { buffer } = library.HEAPU8.slice(place, place + length);
  if (float) return new Blob([Float32Array.from(new Uint16Array(buffer), half)]);
  return new Blob([Float32Array.from(new WHOLE[`${signed ? "int" : "uint"}${size}`](buffer), Number)]);
}

/** Rows of chunks as a whole: each chunk is unpacked once. */
const aligned = (rows, chunk) => Math.max(1, Math.floor(rows / chunk)) * chunk;
