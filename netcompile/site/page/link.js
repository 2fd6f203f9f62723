// A link that holds the net itself, deflated, in the part of the address that no server sees.

export const LONGEST_LINK = 32000; // characters: what mail programs and chats still pass on whole
export const LARGEST_TEXT = 2000000; // bytes that a link may unfold to
const OPTIONS = ["phase", "stages", "level", "crop_offsets", "input"];

/** The fragment of a link to `{text, name, options}`; an Error with a message for the user where it would be too long. */
export async function encodeLink(state) {
  const bytes = new TextEncoder().encode(JSON.stringify({ v: 1, ...state }));
  const packed = await collect(new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate-raw")), Infinity);
  const link = `#net=${toBase64Url(packed)}`;
  if (link.length > LONGEST_LINK) {
    throw new Error(`The net is too large for a link: ${link.length.toLocaleString("en")} characters, the most is ${LONGEST_LINK.toLocaleString("en")}. Send the file instead.`);
  }
  return link;
}

/** What a link holds, null where the fragment is none of ours; an Error with a message where it is broken. */
export async function decodeLink(fragment) {
  const match = /^#net=([A-Za-z0-9_-]+)$/.exec(fragment);
  if (!match) {
    if (fragment.startsWith("#net=")) throw new Error("The link is damaged: it has characters that no such link has.");
    return null;
  }
  if (fragment.length > LONGEST_LINK) throw new Error("The link is longer than any that this page makes.");
  let state;
  try {
    const stream = new Blob([fromBase64Url(match[1])]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await collect(stream, LARGEST_TEXT)));
  } catch (error) {
    throw error instanceof TooLarge ? error : new Error("The link is damaged: a part of it is missing or has changed.");
  }
  return checked(state);
}

class TooLarge extends Error {}

function checked(state) {
  if (!state || state.v !== 1 || typeof state.text !== "string" || typeof state.name !== "string") {
    throw new Error("The link does not hold a net.");
  }
  const given = state.options && typeof state.options === "object" ? state.options : {};
  const options = Object.fromEntries(OPTIONS.filter((key) => key in given).map((key) => [key, given[key]]));
  return { text: state.text, name: state.name.slice(0, 200), options };
}

async function collect(stream, most) {
  const chunks = [];
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > most) {
      await reader.cancel().catch(() => {});
      throw new TooLarge(`The link unfolds to more than ${most.toLocaleString("en")} bytes: it is not opened.`);
    }
    chunks.push(value);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

function toBase64Url(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64Url(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
}
