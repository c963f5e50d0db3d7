import { expect, test } from "vitest";
import { hookTitle } from "../../src/text/names";

test("features are named by the place they read", () => {
  expect(hookTitle("blocks.15.hook_resid_post.hook_sae_acts_post")).toBe("blocks.15.hook_resid_post features");
  expect(hookTitle("blocks.15.hook_resid_post")).toBe("blocks.15.hook_resid_post");
});
