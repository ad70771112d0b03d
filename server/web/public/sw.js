// Keeps the shell of the page, so that it opens while the server is away and says so. Nothing that
// the server told anybody is kept: no data, and not the home page, which holds what its caller saw.
const CACHE = "skep-shell";
const SHELL = "/shell";
const FILES = ["/theme.js", "/icon.svg", "/icons.svg"];

self.addEventListener("install", (event) => {
  event.waitUntil(keep().catch(() => undefined));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate") event.respondWith(page(event));
  else if (url.pathname.startsWith("/assets/") || FILES.includes(url.pathname)) event.respondWith(file(request));
});

/** The shell and the files that it names; those of the build before go. */
async function keep() {
  const response = await fetch(SHELL, { cache: "no-cache" });
  // A login page is no shell.
  if (!response.ok || response.redirected) return;
  const cache = await caches.open(CACHE);
  const html = await response.clone().text();
  const named = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => path);
  const wanted = [...FILES, ...named];
  await cache.put(SHELL, response);
  await cache.addAll(wanted);
  for (const request of await cache.keys()) {
    const { pathname } = new URL(request.url);
    if (pathname !== SHELL && !wanted.includes(pathname)) await cache.delete(request);
  }
}

async function page(event) {
  try {
    const response = await fetch(event.request);
    // The next build's shell, once for each time the page is opened.
    if (response.ok && !response.redirected) event.waitUntil(keep().catch(() => undefined));
    return response;
  } catch (error) {
    const shell = await caches.match(SHELL);
    if (shell) return shell;
    throw error;
  }
}

/** Names with a hash never change; the others are asked for first. */
async function file(request) {
  const isHashed = new URL(request.url).pathname.startsWith("/assets/");
  const kept = await caches.match(request);
  if (isHashed && kept) return kept;
  try {
    return await fetch(request);
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}
