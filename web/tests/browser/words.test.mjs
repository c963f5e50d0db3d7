// An explanation in words on the page: what it says, its score by each simulator, what was predicted beside the truth.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { launchOptions } from "./launch.mjs";
import { makeAtlas, startServer } from "./server.mjs";

const unit = "#/unit/blocks.1.mlp.hook_post/0";

describe("explanations in words", () => {
  let atlas, server, browser, page;

  before(async () => {
    atlas = makeAtlas("words");
    server = await startServer(atlas.atlas);
    browser = await chromium.launch(launchOptions);
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(`${server.url}${unit}`);
    await page.waitForSelector(".explanation");
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    atlas?.remove();
  });

  it("shows the words first, as text, with a score by each simulator", async () => {
    const first = page.locator(".explanation").first();
    assert.equal(await first.locator(".by").innerText(), "Words, from marked excerpts (made-up)");
    assert.match(await first.locator(".gloss").innerText(), /wherever <b>it<\/b> stands/);
    assert.deepEqual(await first.locator(".scorer").allInnerTexts(), ["graded by made-up", "answered as JSON by made-up"]);
    assert.equal(await first.locator("span.value").count(), 2, "the baseline is no headline");
  });

  it("lays what the simulators predict beside the truth", async () => {
    const heads = await page.locator(".grid .head").allInnerTexts();
    assert.equal(heads[0], "Real");
    for (const simulator of ["graded by made-up", "answered as JSON by made-up"]) {
      assert.ok(heads.includes(`Words, from marked excerpts (made-up), ${simulator} predicts`), heads.join("\n"));
    }
  });

  it("shows how an explanation was revised, round by round, as text", async () => {
    await page.goto(`${server.url}#/unit/blocks.1.mlp.hook_post/1`);
    const revised = page.locator(".explanation", { hasText: "Words, from marked excerpts, revised (made-up)" });
    await revised.getByText("Revised in 2 rounds").click();
    assert.match(await revised.locator("summary").innerText(), /test score 0\.20 before, 0\.60 after/);
    const first = revised.getByRole("table", { name: /Round 1: 1 of 2 sentences as the explanation says/ });
    const rows = await first.locator("tbody tr").allInnerTexts();
    assert.deepEqual(
      rows.map((row) => row.split("\t").map((cell) => cell.trim())),
      [
        ["the cat sat <b>there</b>", "fires", "fires", "90.0 %", "cat"],
        ["no cat", "silent", "fires, unexpected", "75.0 %", "cat"],
      ],
    );
    assert.equal(await revised.getByRole("table").count(), 2);
    const said = await revised.locator(".text").allInnerTexts();
    assert.match(said[1] ?? "", /Revised the word cat anywhere valid score 0\.50, kept/);
    assert.match(said[2] ?? "", /the answer is cut off/);
    const shown = page.locator(".explanation", { hasText: "revised by random texts (made-up)" });
    await shown.getByText("Revised in 1 round").click();
    const round = shown.getByRole("table", { name: /Round 1: 1 random text/ });
    assert.match(await round.locator("tbody tr").innerText(), /a dog\s+–\s+silent\s+10\.0 %\s+dog/);
    assert.equal(await round.locator(".wrong").count(), 0);
    await page.goto(`${server.url}${unit}`);
    await page.waitForSelector(".explanation");
  });

  it("lists all scores by scorer, baselines too", async () => {
    await page.getByText("All scores").click();
    const scorers = await page.locator(".explanations table td:nth-of-type(1)").allInnerTexts();
    assert.ok(scorers.includes("graded by made-up") && scorers.includes("predicted"), scorers.join(", "));
    assert.ok(scorers.includes("other-unit:simulation:json by made-up"), scorers.join(", "));
  });
});
