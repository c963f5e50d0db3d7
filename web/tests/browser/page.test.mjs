// The served page in a real browser: list, sorting, search, a unit, deep links, keys, hostile text.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { launchOptions } from "./launch.mjs";
import { makeAtlas, startServer } from "./server.mjs";

const hook = "blocks.1.mlp.hook_post";

describe("the served page", () => {
  let atlas, server, browser, page, complaints;

  before(async () => {
    atlas = makeAtlas();
    server = await startServer(atlas.atlas);
    browser = await chromium.launch(launchOptions);
  });

  after(async () => {
    await browser?.close();
    const code = await server?.stop();
    atlas?.remove();
    assert.equal(code, 0, "Ctrl-C stops the server cleanly");
  });

  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    complaints = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("dialog", async (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
    await page.addInitScript(() => {
      globalThis.violations = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
      );
    });
  });

  // Whatever a test did: nothing ran that should not, and the policy was not violated.
  afterEach(async () => {
    const violations = await page.evaluate(() => globalThis.violations);
    await page.close();
    assert.deepEqual(violations, []);
    assert.deepEqual(complaints, []);
  });

  const open = async (hash, selector) => {
    await page.goto(`${server.url}${hash}`);
    await page.waitForSelector(selector);
  };
  const rows = () => page.locator("tbody tr .unit a").allInnerTexts();
  const heading = () => page.locator("h1").innerText();

  it("lists the explained units, best score first", async () => {
    await open("", "tbody tr");
    assert.equal(await heading(), "Units");
    assert.match(await page.locator(".main .note").innerText(), /^177 units/);
    assert.equal((await rows()).length, 50);
    const sorted = page.locator('th[aria-sort="descending"]');
    assert.match(await sorted.innerText(), /Neuron2Graph/);
    const scores = (await page.locator("tbody tr .score:nth-of-type(3) .number").allInnerTexts()).map(Number);
    assert.equal(scores.length, 50);
    assert.deepEqual(scores, scores.toSorted((a, b) => b - a));
  });

  it("shows the neurons that a feature is made of, and leads to them", async () => {
    const section = 'section[aria-labelledby="neurons-title"]';
    await open("#/unit/blocks.2.mlp.hook_post/4", section);
    const titles = await page.locator(`${section} h3`).allInnerTexts();
    assert.equal(titles.length, 2);
    assert.match(titles[0], /^By correlation/);
    assert.match(titles[1], /^By alignment/);
    const first = page.locator(`${section} li`).first();
    assert.match(await first.innerText(), /blocks\.0\.mlp\.hook_post:4[^]*0\.80/);
    await first.getByRole("link").click();
    await page.waitForFunction(() => document.querySelector("h1")?.textContent.includes("blocks.0.mlp"));
    assert.equal(await page.locator(section).count(), 0, "a neuron is made of no neurons");
  });

  it("sorts by any column, both ways, and pages", async () => {
    await open(`#/units?hook=${hook}&by=all&sort=unit&order=ascending`, "tbody tr");
    assert.deepEqual((await rows()).slice(0, 3), ["0", "1", "2"]);
    await page.getByRole("link", { name: "Next →" }).click();
    await page.waitForFunction(() => document.querySelector("tbody tr .unit")?.textContent.trim() === "50");
    await page.getByRole("columnheader", { name: "Maximum" }).getByRole("link").click();
    await page.waitForSelector('th[aria-sort="descending"] >> text=Maximum');
    const maxima = (await page.locator("tbody td:last-child").allInnerTexts()).map(Number);
    assert.deepEqual(maxima, maxima.toSorted((a, b) => b - a));
    await page.getByRole("columnheader", { name: "Maximum" }).getByRole("link").click();
    await page.waitForSelector('th[aria-sort="ascending"] >> text=Maximum');
  });

  it("filters by hook point", async () => {
    await open("", "tbody tr");
    await page.getByRole("link", { name: new RegExp(`^${hook}`) }).first().click();
    await page.waitForFunction(() => document.querySelector(".main .note")?.textContent.includes("59"));
    assert.match(page.url(), /hook=blocks\.1\.mlp\.hook_post/);
  });

  it("searches tokens and explanations, and opens a unit by its name", async () => {
    await open("", "tbody tr");
    await page.keyboard.press("/");
    await page.keyboard.type("pattern 17");
    await page.waitForFunction(() => document.querySelector("h1")?.textContent.includes("pattern 17"));
    assert.deepEqual(
      (await rows()).sort(),
      [0, 1, 2].map((layer) => `blocks.${layer}.mlp.hook_post:17`),
    );
    await page.getByRole("searchbox").fill("nothing has this word");
    await page.waitForSelector("text=Nothing found.");
    await page.getByRole("searchbox").fill(`${hook}:99`);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("h1")?.textContent.endsWith(":99"));
    assert.equal(await heading(), `${hook}:99`);
  });

  it("shows a unit from a deep link, with all its evidence", async () => {
    await open(`#/unit/${hook}/7`, ".explanation");
    assert.equal(await heading(), `${hook}:7`);
    assert.match(await page.title(), /blocks\.1\.mlp\.hook_post:7/);
    const explainers = await page.locator(".explanation .by").allInnerTexts();
    assert.deepEqual(explainers.toSorted(), ["Neuron2Graph", "Token lookup"]);
    assert.match(await page.locator(".explanation .interval").first().innerText(), /\d\.\d\d – \d\.\d\d/);
    for (const title of ["Top excerpts", "Real and predicted", "By interval", "Random excerpts", "Distribution"]) {
      assert.ok(await page.getByRole("heading", { name: title }).isVisible(), title);
    }
    assert.equal(await page.locator('section[aria-labelledby="top-title"] li').count(), 20);
    assert.equal(await page.locator('section[aria-labelledby="similar-title"] li').count(), 10);
    assert.ok((await page.locator("figure svg rect").count()) > 1);
    // The explanation, its score and the first excerpts are above the fold.
    const box = await page.locator('section[aria-labelledby="top-title"] li').nth(4).boundingBox();
    assert.ok(box.y + box.height < 800, `the fifth excerpt ends at ${box.y + box.height}`);
  });

  it("shows real and predicted activations side by side", async () => {
    await open(`#/unit/${hook}/7`, ".grid");
    const heads = await page.locator(".grid .head").allInnerTexts();
    assert.deepEqual(heads.toSorted(), ["Neuron2Graph predicts", "Real", "Token lookup predicts"]);
    const first = await page.locator(".grid .cell .heatmap").nth(0).boundingBox();
    const second = await page.locator(".grid .cell .heatmap").nth(1).boundingBox();
    assert.equal(first.y, second.y);
    await page.getByRole("group", { name: "Explainers shown" }).getByText("Token lookup").click();
    assert.equal(await page.locator(".grid .head").count(), 2);
  });

  it("gives exact values on hover and under the arrow keys", async () => {
    await open(`#/unit/${hook}/7`, ".heatmap");
    await page.locator(".heatmap .after [data-i]").first().hover();
    await page.waitForSelector('[role="tooltip"]');
    assert.match(await page.locator('[role="tooltip"]').innerText(), /activation\s+5\.\d{3,}/);
    await page.mouse.move(0, 0);
    await page.locator(".heatmap").first().focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector(".heatmap .active");
    assert.match(await page.locator('[aria-live="polite"]').innerText(), /activation/);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".row.open .origin");
  });

  it("is driven by keys", async () => {
    await open(`#/units?hook=${hook}&by=all&sort=unit&order=ascending`, "tbody tr");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await page.keyboard.press("j");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "1");
    await page.keyboard.press("Enter");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:1`);
    await page.keyboard.press("j");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:2`);
    await page.keyboard.press("k");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:1`);
    await page.keyboard.press("f");
    await page.waitForSelector(".heatmap.full");
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    await page.keyboard.press("r");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent !== name, `${hook}:1`);
    await page.keyboard.press("u");
    await page.waitForSelector("tbody tr");
    assert.match(page.url(), /sort=unit/);
    await page.keyboard.press("t");
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  });

  it("shows hostile text as text", async () => {
    for (const index of [4, 5, 9, 10, 11, 12, 21]) {
      await open(`#/unit/${hook}/${index}`, ".heatmap");
      await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:${index}`);
      assert.equal(await page.locator("main script, main img, main iframe").count(), 0);
    }
    await open(`#/unit/${hook}/4`, ".explanation");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:4`);
    const gloss = await page.locator(".gloss").filter({ hasText: "onerror" }).innerText();
    assert.ok(gloss.includes("<img src=x onerror=alert(4)>"), gloss);
    assert.ok(!gloss.includes("\u202e"), "a direction override reaches the page");
    const text = await page.locator('section[aria-labelledby="tokens-title"]').innerText();
    assert.ok(text.includes("<script>alert(1)</script>"));
    const all = await page.locator("main").innerText();
    assert.ok(all.includes("‹202E›reversed‹202C›"), "the override is shown, not obeyed");
    assert.ok(all.includes("‹00›"), "control characters are shown");
    assert.ok(all.includes("‹FEFF›"), "invisible characters are shown");
  });

  it("says what is not there", async () => {
    await page.goto(`${server.url}#/unit/${hook}/99999`);
    await page.waitForSelector('[role="alert"]');
    assert.match(await page.locator('[role="alert"]').innerText(), /units 0 to 119/);
    complaints = complaints.filter((text) => !text.includes("404"));
  });

  it("is fast enough at the server", async () => {
    await open("", "h1");
    const slowest = async (path) => {
      const answer = await fetch(`${server.url}api/${path}`);
      return Number(/dur=([\d.]+)/.exec(answer.headers.get("server-timing"))[1]);
    };
    await slowest("atlas");
    assert.ok((await slowest("units?sort=score&explainer=n2g&order=descending&explained_by=n2g")) < 100);
    assert.ok((await slowest(`units/${hook}/7`)) < 50);
  });

  it("fits a narrow screen", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    for (const hash of ["", `#/unit/${hook}/7`]) {
      await open(hash, "h1");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${hash || "the list"} is ${wide} pixels too wide`);
    }
  });
});
