// One classic script and one style sheet: the same files are served by `glossator serve` and written by
// `glossator export`, and browsers refuse module scripts on file://.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Turns the module script that Vite writes into a deferred classic one. */
function classicScript(): Plugin {
  return {
    name: "classic-script",
    enforce: "post",
    transformIndexHtml: {
      order: "post",
      handler: (html) =>
        html
          .replace(/<script type="module" crossorigin /g, "<script defer ")
          .replace(/<link rel="stylesheet" crossorigin /g, '<link rel="stylesheet" '),
    },
  };
}

export default defineConfig({
  plugins: [svelte(), classicScript()],
  base: "./",
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rolldownOptions: { output: { format: "iife" } },
  },
  server: { proxy: { "/api": "http://127.0.0.1:7170" } },
  test: { include: ["tests/unit/**/*.test.ts"], environment: "node" },
});
