import assert from "node:assert/strict";
import { test } from "node:test";
import { embedded, filtered, hits, responseTime, searchHref, type HomeView } from "./view";

const check = { state: "up" as const, seconds: 0.01, error: null, at_ms: 1, certificate_expires_s: null };
const icon = { kind: "letters" as const, text: "X", tone: 1 };
const service = (name: string, href: string | null, description = "") => ({
  name,
  href,
  description,
  icon,
  private: false,
  check,
  values: [],
  values_error: null,
});

const VIEW: HomeView = {
  title: "Home",
  theme: "system",
  caller: "viewer",
  is_configured: true,
  groups: [
    { name: "Media", private: false, services: [service("Jellyfin", "https://j/", "films"), service("Fin", null)] },
    { name: "Tools", private: true, services: [service("Git", "https://g/")] },
  ],
  bookmarks: [{ name: "News", private: false, links: [{ name: "Jelly news", href: "https://n/", description: "", icon }] }],
  search: [],
  widgets: [],
  found: { sites: [{ name: "photos.home.lan", label: "photos", href: "https://photos.home.lan/", icon, private: false }], units: true, hide: [] },
  faults: [],
  warnings: [],
};

test("a search leaves what has all of its words in name, description or group", () => {
  const names = (search: string) => filtered(VIEW, search).groups.flatMap((it) => it.services.map((s) => s.name));
  assert.deepEqual(names("FILM jelly"), ["Jellyfin"]);
  assert.deepEqual(names("media"), ["Jellyfin", "Fin"]);
  assert.deepEqual(names("  "), ["Jellyfin", "Fin", "Git"]);
  assert.deepEqual(filtered(VIEW, "photos").found.sites.length, 1);
  assert.deepEqual(filtered(VIEW, "zebra").groups, []);
});

test("what begins with the search is opened first, and nothing without a link", () => {
  const names = (search: string) => hits(VIEW, [{ name: "nas", href: "/host/nas" }], search).map((it) => it.name);
  assert.deepEqual(names("jelly"), ["Jellyfin", "Jelly news"]);
  assert.deepEqual(names("fin"), ["Jellyfin"]);
  assert.deepEqual(names("na"), ["nas"]);
  assert.deepEqual(names("news"), ["Jelly news"]);
  assert.deepEqual(names(""), []);
});

test("response times are as short as the server writes them", () => {
  assert.deepEqual([0.0012, 0.0342, 0.9994, 2.34].map(responseTime), ["1.2 ms", "34 ms", "999 ms", "2.3 s"]);
});

test("words for a search engine cannot leave their place", () => {
  const url = "https://duckduckgo.com/?q={query}&t=x";
  assert.equal(searchHref({ url }, " a&b=c #d "), "https://duckduckgo.com/?q=a%26b%3Dc%20%23d&t=x");
});

test("a page without data, or with broken data, asks for it", () => {
  assert.equal(embedded(undefined), undefined);
  assert.equal(embedded("{"), undefined);
  assert.equal(embedded(JSON.stringify(VIEW))?.title, "Home");
});
