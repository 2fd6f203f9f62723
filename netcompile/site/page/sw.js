// Keeps the whole site under the name of its version, so that it works without a network after the first visit. The
// build puts the version and the files, each with the hash of its content, in place of the first line below. A new
// version is fetched when the page is opened, and used when no page of the old one is open any more. Large files that few
// need come later: each is kept when it was fetched once.

const SITE = { version: "", files: {}, later: [] };
const OURS = `netcompile ${self.registration.scope} `; // a host may have several sites, each at its own path
const NAME = `${OURS}${SITE.version}`;

async function fetched(cache, [path, integrity]) {
  const request = new Request(new URL(path, self.registration.scope), { integrity, cache: "no-cache" });
  const response = await fetch(request);
  if (!response.ok) {
    throw new Error(`${path}: ${response.status}`);
  }
  await cache.put(request.url, new Response(response.body, { headers: response.headers })); // a page may not come from a redirect
}

async function fetchedLater(cache, url) {
  const path = SITE.later.find((name) => new URL(name, self.registration.scope).href === url);
  if (path === undefined) return undefined;
  await fetched(cache, [path, SITE.files[path]]);
  return cache.match(url);
}

async function fill() {
  const cache = await caches.open(NAME);
  const files = Object.entries(SITE.files).filter(([path]) => !SITE.later.includes(path));
  await Promise.all(files.map((file) => fetched(cache, file)));
}

async function clear() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(OURS) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(NAME);
  const url = new URL(request.url);
  url.hash = url.search = "";
  const wanted = url.href === self.registration.scope ? new URL("index.html", self.registration.scope).href : url.href;
  return (await cache.match(wanted)) ?? (await fetchedLater(cache, wanted)) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(clear()));
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(event.request));
  }
});
