// Sizes, sets and fractions as report/page_data.py writes them, evaluated exactly.

const AXES = ["H", "W"];
const SIDES = ["height", "width"];

/** The remainder that Python gives: never negative. */
const mod = (n, m) => ((n % m) + m) % m;

/** A size at the input extent n: a whole number, or null where the net would be refused. */
function sizeAt(pieces, n) {
  let found = null;
  for (const piece of pieces) {
    if (piece[0] > n) break;
    found = piece;
  }
  if (!found || found.length === 1) return null;
  if (found.length === 3) {
    const [, rise, values] = found;
    const value = values[mod(n, values.length)];
    return value === null ? null : value + rise * Math.floor(n / values.length);
  }
  const [, a, q, b, m, d] = found;
  return a * n + q * Math.floor((n + b) / m) + d;
}

/** A dimension at an input of n[0] × n[1]; null where it is not known or the net would be refused. */
function dimAt(dim, n) {
  if (dim !== null && dim.terms) {
    let sum = 0;
    for (const [factor, places] of dim.terms) {
      const sizes = places.map((place) => dimAt(place, n));
      if (sizes.includes(null)) return null;
      sum += sizes.reduce((product, size) => product * size, factor);
    }
    return sum;
  }
  if (!Array.isArray(dim)) return dim;
  const [, pieces, axis] = DATA.sizes[dim[0]];
  return sizeAt(pieces, n[axis]);
}

const dimText = (dim) => (Array.isArray(dim) ? DATA.sizes[dim[0]][0] : dim === null ? "?" : dim.terms ? dim.text : String(dim));

/** Is n a member? null where the set is not known. */
function member(set, n) {
  if (!set) return null;
  const [runs, start, period, residues] = set;
  const [among, place] = n >= start ? [residues, mod(n, period)] : [runs, n];
  return among.some(([lo, hi]) => lo <= place && place < hi);
}

/** The members below `end` as intervals [lo, hi). */
function membersBelow(set, end) {
  const found = [];
  for (let n = 1; n < end; n++) {
    if (!member(set, n)) continue;
    const last = found[found.length - 1];
    if (last && last[1] === n) last[1] = n + 1;
    else found.push([n, n + 1]);
  }
  return found;
}

const gcd = (a, b) => (b ? gcd(b, a % b) : Math.abs(a));

function fraction(numerator, denominator) {
  const sign = denominator < 0 ? -1 : 1;
  const common = gcd(numerator, denominator) || 1;
  return [(sign * numerator) / common, (sign * denominator) / common];
}

const number = ([numerator, denominator]) => numerator / denominator;
const minus = (a, b) => fraction(a[0] * b[1] - b[0] * a[1], a[1] * b[1]);
const over = (a, b) => fraction(a[0] * b[1], a[1] * b[0]);

/** A number for people: a true minus sign, quarters and eighths as decimals, other fractions as such. */
function text(value) {
  const [numerator, denominator] = Array.isArray(value) ? value : [value, 1];
  const plain = 8 % denominator === 0 ? String(numerator / denominator) : `${numerator}/${denominator}`;
  return plain.replace("-", "−");
}

/** Height and width: one where they agree. */
function both(pair, show = text) {
  const [h, w] = pair.map(show);
  return h === w ? h : `${h}, ${w}`;
}

function countText(count) {
  for (const [factor, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (count >= factor) return `${(count / factor).toFixed(1)} ${unit}`;
  return String(count);
}

const plural = (count, word) => `${text(count)} ${word}${Math.abs(number(Array.isArray(count) ? count : [count, 1])) === 1 ? "" : "s"}`;

/** The shape of a value: symbolic, and as numbers at n. */
const shapeText = (value) => (value.dims ? value.dims.map((d) => (/ /.test(dimText(d)) ? `(${dimText(d)})` : dimText(d))).join(" × ") : "?");

function shapeAt(value, n) {
  if (!value.dims) return "?";
  const dims = value.dims.map((d) => dimAt(d, n));
  if (dims.some((d, i) => d === null && value.dims[i] !== null) || dims.some((d) => d !== null && d < 1)) return "undefined";
  return dims.map((d) => (d === null ? "?" : d)).join(" × ") || "scalar";
}
