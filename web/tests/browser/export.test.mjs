// The static export, opened from the disk without a server.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { launchOptions } from "./launch.mjs";
import { glossator, makeAtlas } from "./server.mjs";

const hook = "blocks.1.mlp.hook_post";

describe("the exported page", () => {
  let atlas, browser, page, index;
  const complaints = [];

  before(async () => {
    atlas = makeAtlas();
    const directory = path.join(atlas.directory, "page");
    execFileSync(glossator, ["export", atlas.atlas, "--static", directory], { stdio: "ignore" });
    index = pathToFileURL(path.join(directory, "index.html")).href;
    browser = await chromium.launch(launchOptions);
    page = await browser.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("dialog", (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  });

  after(async () => {
    await browser?.close();
    atlas?.remove();
    assert.deepEqual(complaints, []);
  });

  it("lists the explained units, and searches them", async () => {
    await page.goto(index);
    await page.waitForSelector("tbody tr");
    assert.match(await page.locator(".main .note").innerText(), /^177 units/);
    await page.getByRole("searchbox").fill("pattern 17");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 3);
  });

  it("opens a unit by deep link, with its evidence and fonts", async () => {
    await page.goto(`${index}#/unit/${hook}/7`);
    await page.waitForSelector(".explanation");
    assert.equal(await page.locator("h1").innerText(), `${hook}:7`);
    assert.equal(await page.locator('section[aria-labelledby="top-title"] li').count(), 20);
    assert.ok(await page.evaluate(async () => (await document.fonts.load("16px Inter")).length > 0));
    await page.keyboard.press("r");
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent !== name, `${hook}:7`);
  });

  it("shows hostile text as text", async () => {
    await page.goto(`${index}#/unit/${hook}/4`);
    await page.waitForFunction((name) => document.querySelector("h1")?.textContent === name, `${hook}:4`);
    assert.ok((await page.locator("main").innerText()).includes("<script>alert(1)</script>"));
    assert.equal(await page.locator("main script, main img").count(), 0);
  });

  it("says which units it does not hold, and follows no path out of itself", async () => {
    await page.goto(`${index}#/unit/${encodeURIComponent("../../..")}/1`);
    await page.waitForSelector('[role="alert"]');
    assert.match(await page.locator('[role="alert"]').innerText(), /does not hold the hook point/);
  });
});
