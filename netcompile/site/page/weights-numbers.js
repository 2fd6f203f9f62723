// The numbers of a blob, read from the file piece by piece: nothing is held but the piece that is looked at.

const PIECE = 1 << 22; // bytes
const BINS = 48;
const SIZES = { float16: 2, float32: 4, float64: 8 };

/** A half-precision number of its sixteen bits. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + mantissa / 1024) : 2 ** -14 * (mantissa / 1024));
}

/** The bytes of numbers that have a tag before each but the first, without the tags. */
function untagged(bytes, size, stride, count) {
  const out = new Uint8Array(count * size);
  for (let at = 0, to = 0; to < out.length; at += stride, to += size) out.set(bytes.subarray(at, at + size), to);
  return out;
}

function numbersOf(bytes, dtype) {
  const buffer = bytes.buffer; // its own, from its start on
  if (dtype === "float32") return new Float32Array(buffer, 0, bytes.length / 4);
  if (dtype === "float64") return new Float64Array(buffer, 0, bytes.length / 8);
  return Float32Array.from(new Uint16Array(buffer, 0, bytes.length / 2), half);
}

/** The numbers in order, a typed array at a time; with `most`, no more than so many. `blob` has dtype and runs. */
export async function* pieces(file, { dtype, runs }, most = Infinity) {
  const size = SIZES[dtype];
  let left = most;
  for (let run = 0; run < runs.length && left > 0; run += 3) {
    const [offset, count, stride] = runs.slice(run, run + 3);
    const step = Math.floor(PIECE / stride);
    for (let first = 0; first < count && left > 0; first += step) {
      const taken = Math.min(step, count - first, left);
      const start = offset + first * stride;
      const bytes = new Uint8Array(await file.slice(start, start + (taken - 1) * stride + size).arrayBuffer());
      left -= taken;
      yield numbersOf(stride === size ? bytes : untagged(bytes, size, stride, taken), dtype);
    }
  }
}

/** Count, extremes, mean, deviation, zeros, what is not finite, and a histogram from the least to the largest number. */
export async function statistics(file, blob) {
  const found = { count: 0, min: Infinity, max: -Infinity, mean: 0, std: 0, zeros: 0, nan: 0, infinite: 0, bins: [] };
  let sum = 0;
  for await (const numbers of pieces(file, blob)) {
    let { min, max, zeros, nan, infinite } = found;
    for (let place = 0; place < numbers.length; place++) {
      const number = numbers[place];
      if (number - number !== 0) { // NaN, or infinite
        if (number !== number) nan++;
        else infinite++;
        continue;
      }
      if (number < min) min = number;
      if (number > max) max = number;
      if (number === 0) zeros++;
      sum += number;
    }
    Object.assign(found, { min, max, zeros, nan, infinite });
    found.count += numbers.length;
  }
  const finite = found.count - found.nan - found.infinite;
  if (finite === 0) return { ...found, min: null, max: null, mean: null, std: null };
  found.mean = sum / finite;
  found.bins = new Array(found.min === found.max ? 1 : BINS).fill(0);
  await spread(file, blob, found, finite);
  return found;
}

/** The second look: how far the numbers are from their mean, and how many are in each bin. */
async function spread(file, blob, found, finite) {
  const { min, max, mean, bins } = found;
  const scale = min === max ? 0 : bins.length / (max / 2 - min / 2) / 2;
  const counts = new Float64Array(bins.length);
  let squares = 0;
  for await (const numbers of pieces(file, blob)) {
    for (let place = 0; place < numbers.length; place++) {
      const number = numbers[place];
      if (number - number !== 0) continue;
      const far = number - mean;
      squares += far * far;
      const bin = ((number - min) * scale) | 0;
      counts[bin < counts.length ? bin : counts.length - 1]++;
    }
  }
  found.std = Math.sqrt(squares / finite);
  found.bins = [...counts];
}
