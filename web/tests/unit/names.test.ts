import { expect, test } from "vitest";
import { explainerTitle, hookTitle, predictorTitle, predicts, scorerTitle } from "../../src/text/names";

test("features are named by the place they read", () => {
  expect(hookTitle("blocks.15.hook_resid_post.hook_sae_acts_post")).toBe("blocks.15.hook_resid_post features");
  expect(hookTitle("blocks.15.hook_resid_post")).toBe("blocks.15.hook_resid_post");
});

test("a scorer is named with the model behind it", () => {
  expect(scorerTitle("prediction")).toBe("");
  expect(scorerTitle("simulation:grades@org/model@q4")).toBe("graded by org/model@q4");
  expect(scorerTitle("detection@m")).toBe("detection by m");
  expect(predictorTitle({ explainer: "lookup", scorer: "prediction" })).toBe("Token lookup");
  expect(predictorTitle({ explainer: "n2g", scorer: "simulation:json@m" })).toBe("Neuron2Graph, answered as JSON by m");
});

test("an explainer in words is named with its model", () => {
  expect(explainerTitle("llm:max-act@org/m@q4")).toBe("Words, from marked excerpts (org/m@q4)");
  expect(explainerTitle("llm:max-act+revised@m")).toBe("Words, from marked excerpts, revised (m)");
  expect(explainerTitle("llm:max-act+revised-random@m")).toBe("Words, from marked excerpts, revised by random texts (m)");
  expect(explainerTitle("llm:new@m")).toBe("llm:new (m)");
  expect(explainerTitle("n2g")).toBe("Neuron2Graph");
});

test("only predictions and simulations predict activations", () => {
  expect(["prediction", "simulation:json@m", "detection@m", "empty:simulation:json@m"].map(predicts)).toEqual(
    [true, true, false, false],
  );
});
