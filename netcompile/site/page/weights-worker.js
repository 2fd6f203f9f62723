// Looks at the numbers of every blob of a file, beside the worker that runs Python. Told `{file, blobs, turn}`, it says
// `{turn, id, found}` for each blob, and `{turn, done: true}` or `{turn, failed}` in the end. A newer file ends the work on an older one.

import { statistics } from "./weights-numbers.js";

let now = 0;

self.onmessage = async ({ data: { file, blobs, turn } }) => {
  now = turn;
  try {
    for (const blob of blobs) {
      if (blob.runs === null) continue;
      const found = await statistics(file, blob);
      if (now !== turn) return;
      self.postMessage({ turn, id: blob.id, found });
    }
    self.postMessage({ turn, done: true });
  } catch (error) {
    if (now === turn) self.postMessage({ turn, failed: String(error?.message ?? error) });
  }
};
