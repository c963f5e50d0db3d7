// A picture of a page: node tests/screenshot.mjs URL OUT.png [--dark] [--width 1280] [--height 800] [--full]
import { chromium } from "playwright-core";
import { parseArgs } from "node:util";
import { launchOptions } from "./browser/launch.mjs";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    dark: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    width: { type: "string", default: "1280" },
    height: { type: "string", default: "800" },
    scale: { type: "string", default: "1" },
  },
});
const [url, out] = positionals;
if (url === undefined || out === undefined) {
  console.error("usage: node tests/screenshot.mjs URL OUT.png [--dark] [--full] [--width N] [--height N] [--scale N]");
  process.exit(2);
}

const browser = await chromium.launch(launchOptions);
const page = await browser.newPage({
  viewport: { width: Number(values.width), height: Number(values.height) },
  deviceScaleFactor: Number(values.scale),
  colorScheme: values.dark ? "dark" : "light",
});
page.on("console", (message) => console.error(message.text()));
await page.goto(url, { waitUntil: "networkidle" });
await page.evaluate(() => document.fonts.ready);
await page.screenshot({ path: out, fullPage: values.full });
await browser.close();
