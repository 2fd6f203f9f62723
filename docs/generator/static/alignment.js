"use strict";

/* The algebra of sizes and places, for plain numbers: what netcompile.algebra computes, which the tests compare.
   A place is a fraction [numerator, denominator] in lowest terms; a map is { stride, offset }. */

const Alignment = (() => {
  const gcd = (a, b) => (b ? gcd(b, a % b) : Math.abs(a));

  const fraction = (numerator, denominator = 1) => {
    const common = gcd(numerator, denominator) * Math.sign(denominator);
    return [numerator / common || 0, denominator / common];
  };
  const plus = (a, b) => fraction(a[0] * b[1] + b[0] * a[1], a[1] * b[1]);
  const times = (a, b) => fraction(a[0] * b[0], a[1] * b[1]);
  const over = (a, b) => fraction(a[0] * b[1], a[1] * b[0]);
  const minus = (a, b) => plus(a, [-b[0], b[1]]);
  const value = ([numerator, denominator]) => numerator / denominator;
  const text = ([numerator, denominator]) =>
    `${numerator < 0 ? "−" : ""}${Math.abs(numerator)}${denominator === 1 ? "" : `/${denominator}`}`;

  /* How large a top is, by Caffe's rules, which divide towards zero: a window that is a little too large still makes
     one pixel. 0 or less where there is none. */
  const size = {
    convolution: (n, kernel, stride, pad) => Math.trunc((n + 2 * pad - kernel) / stride) + 1,
    pooling: (n, kernel, stride, pad) => {
      if (pad >= kernel) return 0; // Caffe refuses it
      const windows = Math.ceil((n + 2 * pad - kernel) / stride) + 1;
      return pad > 0 && (windows - 1) * stride >= n + pad ? windows - 1 : windows;
    },
    deconvolution: (n, kernel, stride, pad) => stride * (n - 1) + kernel - 2 * pad,
  };

  const inverse = ({ stride, offset }) => ({
    stride: over([1, 1], stride),
    offset: over([-offset[0], offset[1]], stride),
  });
  const compose = (outer, inner) => ({
    stride: times(outer.stride, inner.stride),
    offset: plus(times(outer.stride, inner.offset), outer.offset),
  });
  const windowed = (kernel, stride, pad) => ({
    stride: fraction(stride),
    offset: minus(fraction(kernel - 1, 2), fraction(pad)),
  });

  /* Where pixel i of a layer's top lies on its bottom. */
  const map = (type, kernel, stride, pad) =>
    type === "deconvolution" ? inverse(windowed(kernel, stride, pad)) : windowed(kernel, stride, pad);

  /* A chain of layers { type, kernel, stride, pad } on n pixels: the top's size, and its map to the image. */
  const chain = (n, layers) => {
    let pixels = n;
    let whole = { stride: [1, 1], offset: [0, 1] };
    for (const { type, kernel, stride, pad } of layers) {
      pixels = size[type](pixels, kernel, stride, pad);
      whole = compose(whole, map(type, kernel, stride, pad));
    }
    return { pixels, map: whole };
  };

  /* Where a crop to the image's n pixels starts, and from where to where a window of n pixels fits.
     `needed` is null where the strides differ. */
  const crop = (n, layers) => {
    const { pixels, map: whole } = chain(n, layers);
    const needed = value(whole.stride) === 1 ? fraction(-whole.offset[0], whole.offset[1]) : null;
    return { pixels, map: whole, needed, last: pixels - n };
  };

  return { size, map, chain, crop, text, value };
})();
