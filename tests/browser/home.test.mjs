// The home page in a real browser, with a server, services and files of its own.
//
// SKEP_BIN         the skep-server to start
// SKEP_SHOTS       folder for the screenshots
// SKEP_CHROMIUM    another browser than /usr/bin/chromium
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before } from "node:test";
import { openHome, PASSWORD, USER } from "./home-server.mjs";
import { stepsOf } from "./steps.mjs";

let home;
let session;
let page;

before(async () => {
  let post;
  ({ home, session, post } = await openHome());
  await home.fill(post);
});

after(async () => {
  await page?.context().browser()?.close();
  await home?.stop();
});

let problems = [];
const step = stepsOf("home", () => ({ session, page, problems }));
const tile = (name) => page.getByTestId("tile").filter({ has: page.getByText(name, { exact: true }) });

step("a stranger sees what is public, and nothing else is in the page", async () => {
  const { browser, page: stranger } = await session.openBrowser();
  const answer = await stranger.goto(home.url);
  const html = await answer.text();
  assert.ok(html.includes("Open service"));
  for (const secret of ["Private service", "Vault", "Secret link", "git.skep.localhost"]) {
    assert.ok(!html.includes(secret), `${secret} is in the page of a stranger`);
  }
  await stranger.getByRole("link", { name: "Log in" }).waitFor();
  // How its last day was is of the page, not a query.
  await stranger.getByRole("img", { name: "Response time of Open service, last 24 hours" }).waitFor();
  assert.equal(await stranger.getByTestId("host-card").count(), 0);
  await session.isAccessible(stranger, "home of a stranger");
  await session.shoot(stranger, "home-stranger");
  await browser.close();
});

step("services stand there before any script has run, and nothing moves when it does", async () => {
  const opened = await session.openSession();
  ({ page, problems } = opened);
  // The page is public, so nobody was asked to log in.
  await page.goto(`${home.url}/login`);
  await page.getByTestId("login-user").fill(USER);
  await page.getByTestId("login-password").fill(PASSWORD);
  await page.getByTestId("login-submit").click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
  await tile("Open service").waitFor();
  const state = await opened.context.storageState();
  const bare = await opened.browser.newContext({ ...WITHOUT_SCRIPT, storageState: state });
  const still = await bare.newPage();
  await still.goto(home.url);
  const places = (it) =>
    it.getByTestId("tile").evaluateAll((tiles) =>
      tiles.map((tile) => {
        const { x, y, width, height } = tile.getBoundingClientRect();
        return [tile.querySelector(".tile-name")?.textContent, x, y, width, height];
      }),
    );
  await page.setViewportSize(session.DESKTOP);
  assert.deepEqual(await places(still), await places(page));
  assert.equal(await still.title(), "Home of Ada");
  await bare.close();
});

step("each service says whether it is up, and how its day was", async () => {
  await tile("Open service").getByText("up", { exact: true }).waitFor({ state: "attached" });
  await tile("Broken service").getByText("down", { exact: true }).first().waitFor({ state: "attached" });
  await tile("Private service").getByText("private", { exact: true }).waitFor();
  const explained = await tile("Broken service").locator(".tile-state").getAttribute("title");
  assert.match(explained ?? "", /answers with status 500/);
  await tile("Open service").getByRole("img", { name: "Response time of Open service, last 24 hours" }).waitFor();
  assert.match((await tile("Flaky service").locator(".tile-history").textContent()) ?? "", /9\d\.\d+ %/);
});

step("each host shows all of its figures", async () => {
  const cards = page.getByTestId("host-card");
  await cards.nth(9).waitFor();
  for (const text of await cards.allTextContents()) {
    // A dash stands for what is not known.
    assert.doesNotMatch(text, /–/);
    assert.match(text, /bee-0\d.*4 cores.*up \d+ d.*load \d.*°C.*CPU\d.*Memory\d.*Network↓ \d.*Disk I\/O↓ \d.*Disk\d+ %.* of 500 GB on \//);
  }
});

step("the search filters, opens the first hit and falls through to the web, by keyboard", async () => {
  await page.locator("body").press("/");
  await page.keyboard.type("open");
  await page.getByText("Enter opens Open service").waitFor();
  assert.equal(await page.getByTestId("tile").count(), 1);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.port === String(home.servicePort));
  await page.goBack();
  await tile("Open service").waitFor();
  await page.locator("body").press("/");
  await page.keyboard.type("bee-03");
  await page.getByText("Enter opens bee-03").waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/host/bee-03");
  await page.goBack();
  await page.locator("body").press("/");
  await page.getByRole("searchbox", { name: /^Search/ }).fill("no such thing");
  await page.getByText("Enter asks The web").waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.searchParams.get("q") === "no such thing");
  await page.goBack();
  await page.locator("body").press("/");
  await page.keyboard.type("x");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("searchbox", { name: /^Search/ }).inputValue(), "");
});

step("figures come from PromQL and from an address", async () => {
  const widget = (name) => page.getByTestId("widget").filter({ hasText: name });
  await widget("Rooms").getByText("21.5 °C").waitFor();
  await widget("Solar").getByText("3.2 kW").waitFor();
  await widget("Gone").getByText("answers with status 500").waitFor();
});

step("what was found by itself is there, but what is hidden", async () => {
  await page.getByRole("link", { name: "photos", exact: false }).first().waitFor();
  const units = page.getByRole("region", { name: "Listening units", exact: true });
  await units.getByText("nginx.service").first().waitFor();
  await units.getByText("tcp 443").first().waitFor();
  assert.equal(await units.getByText("hidden.service").count(), 0);
});

step("a changed file shows by itself, and a mistake in it is told with its place", async () => {
  writeFileSync(home.file, home.text.replace("Open service", "Renamed service"));
  await tile("Renamed service").waitFor();
  writeFileSync(home.file, `${home.text}\ncolour = "pink"\n`);
  await page.getByRole("alert").getByText(/home\.toml:\d+/).waitFor();
  assert.equal(await tile("Renamed service").count(), 1);
  await session.isAccessible(page, "home with a mistake");
  await session.shoot(page, "home-mistake");
  writeFileSync(home.file, home.text);
  await tile("Open service").waitFor();
  await page.getByRole("alert").waitFor({ state: "detached" });
});

step("a site that is added while the server runs appears", async () => {
  const site = '[[sites]]\nhosts = ["music.skep.localhost"]\nroutes = [{ respond = { status = 200 } }]\n';
  writeFileSync(home.serverFile, home.serverText + site);
  await page.getByRole("link", { name: "music", exact: false }).first().waitFor();
  writeFileSync(home.serverFile, home.serverText);
  await page.getByRole("link", { name: "music", exact: false }).waitFor({ state: "detached" });
});

step("a tab that nobody sees asks nothing, and at once when it is seen again", async () => {
  // A clock is one for all pages of a context.
  const storageState = await page.context().storageState();
  const context = await page.context().browser().newContext({ ignoreHTTPSErrors: true, serviceWorkers: "block", storageState });
  const tab = await context.newPage();
  await tab.clock.install();
  await tab.goto(home.url);
  await tab.getByTestId("host-card").first().waitFor();
  const seen = (isSeen) =>
    tab.evaluate((isHidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, !isSeen);
  await seen(false);
  await tab.waitForLoadState("networkidle");
  const asked = [];
  tab.on("request", (it) => asked.push(it.url()));
  await tab.clock.runFor(600_000);
  assert.deepEqual(asked, []);
  const answer = tab.waitForResponse((it) => it.url().includes("/api/v1/query_range"));
  await seen(true);
  await answer;
  await context.close();
});

step("? lists the keys", async () => {
  await page.locator("body").press("?");
  await page.getByRole("dialog", { name: "Keys" }).getByText("search services").waitFor();
  await session.isAccessible(page, "keys of home");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
});

step("names that are markup stay text", async () => {
  await tile("<img src=x onerror=alert(1)>").waitFor();
  assert.equal(await page.locator("main img[src=x]").count(), 0);
});

step("it is accessible and fits every screen", async () => {
  await page.getByTestId("host-card").first().waitFor();
  await session.isAccessible(page, "home");
  await session.shoot(page, "home");
});

step("every control is reached by the keyboard", async () => {
  await page.getByRole("button", { name: "Pause" }).click();
  await session.isReachable(page, "home");
  const theme = page.getByRole("button", { name: /^Theme/ });
  for (const next of ["light", "dark", undefined]) {
    await theme.press("Enter");
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), next);
  }
  await page.getByLabel("Level").press("ArrowDown");
  await page.getByText("No line of the last 6 hours fits the filter.").waitFor();
  await page.getByLabel("Level").press("ArrowUp");
  await page.getByRole("button", { name: "Go on" }).press("Enter");
  await page.getByRole("button", { name: "Pause" }).waitFor();
});

step("while the server is away the page says so, and goes on by itself", async () => {
  await page.route("**/*", (route) => route.abort());
  await page.getByText("The server does not answer").waitFor();
  assert.ok(await tile("Open service").isVisible());
  await session.isAccessible(page, "home without its server");
  await session.shoot(page, "home-away");
  await page.unrouteAll();
  await page.getByText("The server does not answer").waitFor({ state: "detached" });
  problems.length = 0;
});

step("the first paint comes at once", async () => {
  const times = [];
  for (let i = 0; i < 5; i += 1) {
    const context = await page.context().browser().newContext({ ignoreHTTPSErrors: true });
    const cold = await context.newPage();
    await cold.goto(home.url);
    const painted = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    await cold.waitForFunction(painted);
    times.push(Math.round(await cold.evaluate(painted)));
    await context.close();
  }
  times.sort((a, b) => a - b);
  console.log(`first contentful paint, cold, in ms: ${times.join(", ")}`);
  // The bar is 300; a machine that builds something beside is given time.
  assert.ok(times[2] < Number(process.env.SKEP_FCP_MS ?? 3000), `${times} ms`);
});

const WITHOUT_SCRIPT = { ignoreHTTPSErrors: true, javaScriptEnabled: false, viewport: { width: 1360, height: 900 } };
