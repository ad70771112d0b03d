// The page with nothing, with one host and with two hundred, looked at in light, dark and on a
// phone; and the picture of the README.
//
// SKEP_BIN         the skep-server to start
// SKEP_SHOTS       folder for the screenshots; readme.webp in it is docs/images/home.webp
// SKEP_CHROMIUM    another browser than /usr/bin/chromium
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fill, lines, openHome } from "./home-server.mjs";
import { fillFleet } from "./host-data.mjs";
import { stepsOf } from "./steps.mjs";

/** Groups of services: name, description, icon. */
const GROUPS = [
  ["Media", [["Jellyfin", "Films and series", "film"], ["Navidrome", "Music", "music"], ["Immich", "Photos", "photo"], ["Audiobookshelf", "Books to hear", "book"]]],
  ["House", [["Home Assistant", "Light, heat, doors", "house"], ["Paperless", "Letters and bills", "mail"], ["Vaultwarden", "Passwords", "shield"], ["Forgejo", "Code", "code"]]],
];
const README_SIZE = { width: 1280, height: 800 };
/** What fits into a README, and is worth cloning. */
const README_BYTES_MAX = 80_000;

let home;
let session;
let page;
let problems;
let post;

before(async () => {
  ({ home, session, post } = await openHome(() => ""));
  ({ page, problems } = await session.openSession("/login"));
});

after(async () => {
  await page?.context().browser()?.close();
  await home?.stop();
});

const step = stepsOf("states", () => ({ session, page, problems }));
const cards = () => page.getByTestId("host-card");

async function looked(name) {
  await session.isAccessible(page, name);
  await session.shoot(page, name);
}

step("a server that nobody has sent anything says what to do", async () => {
  await page.goto(home.url);
  await page.getByText("No host has reported yet").waitFor();
  await page.getByText("No journal line in the last 6 hours").waitFor();
  await looked("empty-home");
  await page.goto(`${home.url}/explore?promql=nothing_has_this_name&logql=%7Bjob%3D%22any%22%7D`);
  await page.getByTestId("promql-result").getByText("No series for this query").waitFor();
  await looked("empty-explore");
});

step("a host stands alone", async () => {
  await fill(post, Date.now(), 1);
  await page.goto(home.url);
  await cards().first().waitFor();
  assert.equal(await cards().count(), 1);
  await looked("one-host");
});

step("the picture of the README", async () => {
  const now = Date.now();
  await fill(post, now, 4, GROUPS.flatMap(([group, services]) => services.map(([service]) => ({ group, service }))));
  for (const at of [0, 4_000, 9_000, 31_000]) await post("/loki/api/v1/push", "application/json", JSON.stringify(lines(now - at, 4)));
  // The last day is asked for with the first service, and is there by then.
  writeFileSync(home.file, showcase(home.servicePort));
  await page.goto(home.url);
  await cards().nth(3).waitFor();
  await page.getByTestId("journal-line").first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".dot.up").length >= 8);
  await page.waitForFunction(() => document.querySelectorAll(".tile-history svg").length >= 8);
  await page.setViewportSize(README_SIZE);
  const cdp = await page.context().newCDPSession(page);
  const { data } = await cdp.send("Page.captureScreenshot", { format: "webp", quality: 80 });
  const bytes = Buffer.from(data, "base64");
  assert.ok(bytes.length < README_BYTES_MAX, `${bytes.length} bytes`);
  writeFileSync(join(session.shots, "readme.webp"), bytes);
  await looked("showcase");
});

step("two hundred hosts have their cards, and one is found", async () => {
  await fillFleet(post, Date.now());
  await page.goto(home.url);
  await cards().nth(200).waitFor();
  await page.getByRole("searchbox", { name: /^Search/ }).fill("host-17");
  await page.waitForFunction(() => document.querySelectorAll("[data-testid=host-card]:not([hidden])").length === 10);
  await session.shootOnce(page, "many-hosts-found");
  await page.getByRole("searchbox", { name: /^Search/ }).fill("");
  // The first screen of it: the others are more of the same.
  for (const [name, size] of [["wide", session.DESKTOP], ["phone", session.PHONE]]) {
    await page.setViewportSize(size);
    await session.shootOnce(page, `many-hosts-${name}`);
  }
});

/** As somebody may have at home. */
function showcase(port) {
  const at = `http://127.0.0.1:${port}/up`;
  const service = ([name, description, icon]) =>
    `  { name = "${name}", href = "${at}?${encodeURIComponent(name)}", description = "${description}", icon = "${icon}", interval = "2s" },`;
  const group = ([name, services]) => `[[groups]]\nname = "${name}"\nservices = [\n${services.map(service).join("\n")}\n]\n`;
  return `title = "Home"
${GROUPS.map(group).join("")}[[bookmarks]]
name = "Read"
links = [
  { name = "Hacker News", href = "https://news.ycombinator.com/", abbr = "HN" },
  { name = "Selfhosted", href = "https://selfh.st/", description = "what is new" },
]
[found]
sites = false
`;
}
