// The page's end of the wire to the worker: requests with answers, the newest of a method being the only one that counts.

/** What a request ends with that a newer one of its method has made void. */
export class Superseded extends Error {}

/** What the worker answers where it cannot do what was asked: a message for the user. */
export class Refused extends Error {}

export class WorkerClient {
  /** `on` has `progress({loaded, total, what})`, `ready({version, bytes, seconds})` and `failure(text)`. */
  constructor(worker, on) {
    this.worker = worker;
    this.on = on;
    this.number = 0;
    this.waiting = new Map(); // method -> {id, resolve, reject}
    this.broken = "";
    worker.addEventListener("message", (event) => this.receive(event.data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.fail(event.message || "the worker's script could not be loaded");
    });
    worker.addEventListener("messageerror", () => this.fail("the worker sent what cannot be read"));
  }

  /** Ask the worker; the promise is rejected with Superseded where a newer request of the same method came. */
  request(method, params = {}) {
    const older = this.waiting.get(method);
    this.waiting.delete(method);
    if (older) older.reject(new Superseded(method));
    if (this.broken) return Promise.reject(new Refused(this.broken));
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(method, { id, resolve, reject });
      this.worker.postMessage({ id, method, params });
    });
  }

  receive(message) {
    if (message.progress) this.on.progress(message.progress);
    else if (message.ready) this.on.ready(message.ready);
    else if (message.id === undefined) this.fail(message.error.text); // Python could not be loaded
    else this.settle(message);
  }

  settle(message) {
    for (const [method, { id, resolve, reject }] of this.waiting) {
      if (id !== message.id) continue;
      this.waiting.delete(method);
      if (message.error) reject(new Refused(message.error.text));
      else resolve(message.result);
    }
  }

  fail(text) {
    if (this.broken) return;
    this.broken = text;
    for (const { reject } of this.waiting.values()) reject(new Refused(text));
    this.waiting.clear();
    this.on.failure(text);
  }
}
