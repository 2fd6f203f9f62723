// The page's end of the wire to the worker: requests with answers, the newest of a method being the only one that counts.

const SLOW = 5; // seconds without an answer, before a person may want to stop

/** What a request ends with that a newer one of its method has made void. */
export class Superseded extends Error {}

/** What the worker answers where it cannot do what was asked: a message for the user. */
export class Refused extends Error {}

export class WorkerClient {
  /** `begin()` makes a worker; `on` has `progress({loaded, total, what})`, `ready({version, bytes, seconds, marks})`, `failure(text)`,
   *  and `slow(seconds)` for an answer that is waited for, 0 where there is none any more. */
  constructor(begin, on) {
    this.begin = begin;
    this.on = on;
    this.number = 0;
    this.waiting = new Map(); // method -> {id, resolve, reject}
    this.broken = "";
    this.timer = 0;
    this.start();
  }

  start() {
    const worker = this.begin();
    this.worker = worker;
    this.started = false;
    worker.addEventListener("message", (event) => this.receive(event.data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.fail(event.message || "the worker's script could not be loaded");
    });
    worker.addEventListener("messageerror", () => this.fail("the worker sent what cannot be read"));
  }

  /** End what Python does, and begin with another one, which knows nothing yet; the methods that have got no answer. */
  stop() {
    const methods = new Set(this.waiting.keys());
    this.worker.terminate();
    this.refuse("Stopped. It is tried again when the text changes.");
    this.start();
    return methods;
  }

  /** Look at the clock anew, where an answer is waited for. */
  time() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.on.slow(0);
    if (!this.started || !this.waiting.size) return;
    this.timer = setTimeout(() => this.on.slow(SLOW), 1000 * SLOW);
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
      if (!this.timer) this.time();
    });
  }

  receive(message) {
    if (message.progress) this.on.progress(message.progress);
    else if (message.ready) {
      this.started = true;
      this.on.ready(message.ready);
      this.time();
    }
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
    this.time();
  }

  fail(text) {
    if (this.broken) return;
    this.broken = text;
    this.refuse(text);
    this.on.failure(text);
  }

  /** All that wait are told why there is no answer. */
  refuse(text) {
    for (const { reject } of this.waiting.values()) reject(new Refused(text));
    this.waiting.clear();
    this.time();
  }
}
