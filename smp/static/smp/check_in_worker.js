// The service worker of 会場受付: the page opens without a network, too. It never answers in the network's stead while there
// is one. It holds what the page tells it to: the bare page (no names), its scripts and style, the hashed codes.
"use strict";
const NAME = `smp-check-in ${self.registration.scope}`;
const SCOPE = new URL(self.registration.scope);

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => event.waitUntil(renew(event.data)));
async function renew(addresses) {
  const cache = await caches.open(NAME);
  for (const address of addresses) {
    const response = await fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-cache" });
    if (response.ok) await cache.put(address, response);
  }
  // Scripts of an older version of the product.
  for (const request of await cache.keys()) {
    if (request.url.includes("/static/") && !addresses.includes(request.url)) await cache.delete(request);
  }
}

self.addEventListener("fetch", (event) => {
  const request = event.request;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== SCOPE.origin) return;
  const page = request.mode === "navigate" && url.pathname === SCOPE.pathname;
  event.respondWith(fetch(request).catch(async () => (await caches.match(page ? bare(url) : request)) || Response.error()));
});

function bare(url) {
  const session = url.searchParams.get("session");
  return `${SCOPE.href}?bare=1${session ? `&session=${session}` : ""}`;
}
