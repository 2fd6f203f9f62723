// Numbers as pictures: histograms, kernels, means.

import { h } from "./dom.js";
import { pieces } from "./weights-numbers.js";

const SVG = "http://www.w3.org/2000/svg";
const TILES = 256; // kernels that are drawn
const NUMBERS = 1 << 21; // that are read for it
const SIDE = 384; // points that all kernels together are wide, about

function s(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Bars from the least to the largest number; their heights are as the counts, the highest fills the picture. */
export function histogram({ bins, min, max }, width, height) {
  const picture = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "histogram", role: "img", "aria-label": `histogram from ${min} to ${max}` });
  const most = Math.max(...bins, 1);
  const wide = width / Math.max(bins.length, 1);
  bins.forEach((count, bin) => {
    const tall = count ? Math.max(1, (count / most) * (height - 1)) : 0;
    if (tall) picture.append(s("rect", { x: bin * wide, y: height - tall, width: Math.max(wide - 0.5, 0.5), height: tall }));
  });
  if (min < 0 && max > 0) {
    const zero = (-min / (max - min)) * width;
    picture.append(s("line", { x1: zero, x2: zero, y1: 0, y2: height }));
  }
  return picture;
}

/** The kernels of a blob, or the picture of a mean; null for what is none. Three channels are blue, green and red, as Caffe's images are. */
export async function pictures(file, blob, mean) {
  const shape = blob.shape.length === 3 ? [1, ...blob.shape] : blob.shape;
  if (shape.length !== 4 || blob.runs === null) return null;
  const [count, channels, height, width] = shape;
  const colours = channels === 3;
  if (height * width < 2 || height * width * (colours ? 3 : 1) > NUMBERS) return null;
  const planes = colours ? 3 : 1;
  const tiles = Math.min(count * (colours ? 1 : channels), mean ? 1 : TILES, Math.floor(NUMBERS / (planes * height * width)));
  const numbers = await firstNumbers(file, blob, tiles * planes * height * width);
  const across = Math.min(tiles, Math.ceil(Math.sqrt(tiles * (height / width) * 1.6)));
  const canvas = h("canvas", { class: "kernels" });
  canvas.width = across * (width + 1) - 1;
  canvas.height = Math.ceil(tiles / across) * (height + 1) - 1;
  const context = canvas.getContext("2d");
  for (let tile = 0; tile < tiles; tile++) {
    const part = numbers.subarray(tile * planes * height * width, (tile + 1) * planes * height * width);
    context.putImageData(picture(part, planes, width, height), (tile % across) * (width + 1), Math.floor(tile / across) * (height + 1));
  }
  const scale = Math.max(1, Math.min(12, Math.floor(SIDE / canvas.width)));
  canvas.style.width = `${canvas.width * scale}px`;
  canvas.setAttribute("role", "img");
  const all = colours ? count : count * channels;
  const words = mean ? "the mean as a picture" : `${tiles === all ? "all" : `the first ${tiles} of`} ${all} ${colours ? "kernels, each from its least to its largest number" : "planes of kernels, each from its least to its largest number"}`;
  canvas.setAttribute("aria-label", words);
  return h("figure", null, canvas, h("figcaption", { class: "quiet" }, words));
}

async function firstNumbers(file, blob, most) {
  const out = new Float32Array(most);
  let at = 0;
  for await (const piece of pieces(file, blob, most)) {
    out.set(piece, at);
    at += piece.length;
  }
  return out.subarray(0, at);
}

function picture(numbers, planes, width, height) {
  const image = new ImageData(width, height);
  let [least, most] = [Infinity, -Infinity];
  for (const number of numbers) {
    if (number < least) least = number;
    if (number > most) most = number;
  }
  const scale = most > least ? 255 / (most - least) : 0;
  const size = width * height;
  for (let place = 0; place < size; place++) {
    for (let colour = 0; colour < 3; colour++) {
      const number = numbers[planes === 3 ? (2 - colour) * size + place : place];
      image.data[4 * place + colour] = scale ? (number - least) * scale : 128;
    }
    image.data[4 * place + 3] = 255;
  }
  return image;
}
