// A made-up atlas and the real `glossator serve` on it, for one test file.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
export const glossator = path.join(target, "release/glossator");
const synthetic = path.join(target, "release/examples/synthetic_atlas");

/** Builds what is missing (`make test` has built it before). */
function build() {
  if (existsSync(glossator) && existsSync(synthetic)) return;
  const cargo = (...what) =>
    execFileSync("cargo", ["build", "--release", "--locked", ...what], { cwd: root, stdio: "inherit" });
  cargo("-p", "glossator");
  cargo("-p", "glossator-atlas", "--example", "synthetic_atlas");
}

/**
 * A directory with a made-up atlas in it: 3 hook points of 120 units, the first 60 of each explained, the first also in
 * words if asked.
 */
export function makeAtlas(...words) {
  build();
  const directory = mkdtempSync(path.join(tmpdir(), "glossator-browser-"));
  const atlas = path.join(directory, "made-up.atlas");
  execFileSync(synthetic, [atlas, "3", "120", "60", "24", ...words]);
  return { directory, atlas, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Starts the server on a free port; resolves with its address once it listens. */
export function startServer(atlas) {
  const child = spawn(glossator, ["serve", atlas, "--port", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
      const url = /http:\/\/[^\s]+/.exec(said)?.[0];
      if (url !== undefined) resolve({ url, child, stop: () => stopped(child) });
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`glossator serve exited with ${code}: ${said}`)));
  });
}

function stopped(child) {
  return new Promise((resolve) => {
    child.removeAllListeners("exit");
    child.on("exit", (code) => resolve(code));
    child.kill("SIGINT");
  });
}
