// The worker that runs the compiler. It is asked `{id, method, params}` and answers `{id, result}` or
// `{id, error: {text}}`; before that it says `{progress: {loaded, total, what}}`, and `{ready: {version, bytes, seconds,
// marks}}` or, where Python cannot be started, `{error: {text}}`. Of requests with the same method that wait, only the newest is answered.

import { start } from "./python.mjs";
import { MEMORY, PACK, SIZES, WHOLE, ZIPPED } from "./manifest.mjs";
import { weightsMethods } from "./weights-python.js";

const began = performance.now();
const waiting = [];
let ask = null;
let withFiles = {}; // methods that take or give files, which are no JSON
let running = false;

// Loading ---------------------------------------------------------------------------------------------------------

const total = Object.values(SIZES).reduce((sum, size) => sum + size, 0);
const loaded = {};
const plainFetch = self.fetch.bind(self);

function loadedNow() {
  return Object.values(loaded).reduce((sum, size) => sum + size, 0);
}

function told(what) {
  self.postMessage({ progress: { loaded: Math.min(loadedNow(), total), total, what } });
}

/** As `fetch`, counting the bytes that come; of what the site has gzipped it gives what was zipped. */
async function counted(resource, options) {
  const url = new URL(resource instanceof Request ? resource.url : resource, import.meta.url);
  const wanted = [...Object.keys(SIZES), ...Object.keys(ZIPPED)].find((file) => url.href === new URL(file, import.meta.url).href);
  if (wanted === undefined) {
    return plainFetch(resource, options);
  }
  const { file: name, type } = ZIPPED[wanted] ?? { file: wanted };
  const response = await plainFetch(new URL(name, import.meta.url), options);
  if (response.body === null || !response.ok) {
    return response;
  }
  loaded[name] = 0;
  const body = response.body.pipeThrough(
    new TransformStream({
      transform(part, controller) {
        loaded[name] += part.byteLength;
        told(name.split("/").at(-1));
        controller.enqueue(part);
      },
    }),
  );
  if (type) {
    return new Response(body.pipeThrough(new DecompressionStream("gzip")), { headers: { "Content-Type": type } });
  }
  return new Response(body, { headers: response.headers });
}

/** What comes of a file, while it comes. */
async function streamed(name) {
  const response = await self.fetch(new URL(name, import.meta.url));
  if (!response.ok) {
    throw new Error(`${name}: ${response.status} ${response.statusText}`);
  }
  return response.body;
}

/** When what was done, for who measures: `[what, milliseconds since 1970]`. */
function marks() {
  const since = performance.timeOrigin;
  const came = performance.getEntriesByType("resource").map((file) => [`${file.name.split("/").at(-1)} has come`, since + file.responseEnd]);
  return [["the worker begins", since + began], ...came, ...performance.getEntriesByType("mark").map((mark) => [mark.name, since + mark.startTime])];
}

async function load() {
  self.fetch = counted;
  try {
    const found = await start(streamed(MEMORY), streamed(PACK), () => streamed(WHOLE));
    ask = found.ask;
    withFiles = weightsMethods(found.python, ask);
    const version = ask("version", {}).result.version;
    performance.mark("Python answers");
    for (const name of Object.keys(SIZES)) {
      loaded[name] = SIZES[name]; // modules are not fetched, so they are not counted
    }
    self.postMessage({ ready: { version, bytes: total, seconds: (performance.now() - began) / 1000, marks: marks() } });
    next();
  } catch (error) {
    self.postMessage({ error: { text: String(error?.message ?? error) } });
  } finally {
    self.fetch = plainFetch;
  }
}

// Answering -------------------------------------------------------------------------------------------------------

const turn = new MessageChannel(); // lets messages that came meanwhile in, so that old requests can be dropped
turn.port1.onmessage = () => answerOne();

function next() {
  if (!running && ask !== null && waiting.length > 0) {
    running = true;
    turn.port2.postMessage(null);
  }
}

async function answerOne() {
  const request = waiting.shift();
  if (request !== undefined && !waiting.some((later) => later.method === request.method)) {
    const { id, method, params } = request;
    let found;
    try {
      found = Object.hasOwn(withFiles, method) ? await withFiles[method](params ?? {}) : ask(method, params ?? {});
    } catch (error) {
      found = { error: { text: `internal error: ${error?.message ?? error}` } };
    }
    self.postMessage({ id, ...found });
    if (found.error) alive();
  }
  running = false;
  next();
}

/** Python may have gone for good, for want of memory. */
function alive() {
  try {
    ask("version", {});
  } catch (error) {
    self.postMessage({ error: { text: String(error?.message ?? error) } });
  }
}

self.onmessage = ({ data }) => {
  waiting.push(data);
  next();
};

load();
