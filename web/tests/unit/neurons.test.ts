import { expect, test } from "vitest";
import { neuronLists } from "../../src/text/neurons";

const neuron = { hook: "blocks.3.mlp.hook_post", index: 7, value: -0.5, text: null };

test("only lists that have neurons are shown", () => {
  const titles = (neurons: Parameters<typeof neuronLists>[0]) => neuronLists(neurons).map(({ title }) => title);
  expect(titles({ correlated: [neuron], aligned: [neuron] })).toEqual(["By correlation", "By alignment"]);
  expect(titles({ correlated: [], aligned: [neuron] })).toEqual(["By alignment"]);
  expect(titles({ correlated: [], aligned: [] })).toEqual([]);
});
