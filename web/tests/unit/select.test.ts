import { describe, expect, it } from "vitest";
import { selectUnits } from "../../src/api/select";
import type { UnitQuery, UnitSummary } from "../../src/api/types";
import { Trail } from "../../src/state/trail";

function unit(index: number, score: number | null | undefined, tokens: string[] = []): UnitSummary {
  const explanations =
    score === undefined
      ? []
      : [
          {
            explainer: "n2g",
            text: `gloss ${index}`,
            score: {
              scorer: "prediction",
              metric: "correlation",
              sample: "top_and_random",
              split: "test" as const,
              value: score,
              low: null,
              high: null,
              tokens: 640,
              remark: null,
            },
          },
        ];
  return { hook: "blocks.0.mlp.hook_post", index, density: index / 10, max: 5 - index, mean: 0, tokens, explanations };
}

const units = [unit(0, 0.2), unit(1, null), unit(2, 0.9, ["Harbour"]), unit(3, undefined), unit(4, -0.1)];
const query: UnitQuery = {
  hook: null,
  sort: "score",
  explainer: "n2g",
  descending: true,
  search: "",
  explainedBy: null,
  offset: 0,
  limit: 10,
};
const order = (change: Partial<UnitQuery>) => selectUnits(units, { ...query, ...change }).units.map((u) => u.index);

describe("selectUnits", () => {
  it("sorts with undefined last either way", () => {
    expect(order({})).toEqual([2, 0, 4, 1, 3]);
    expect(order({ descending: false })).toEqual([4, 0, 2, 1, 3]);
    expect(order({ sort: "max" })).toEqual([0, 1, 2, 3, 4]);
    expect(order({ sort: "unit" })).toEqual([4, 3, 2, 1, 0]);
  });
  it("filters by explanation, hook point and words", () => {
    expect(order({ explainedBy: "n2g" })).not.toContain(3);
    expect(order({ hook: "blocks.1.mlp.hook_post" })).toEqual([]);
    expect(order({ search: "harbour" })).toEqual([2]);
    expect(order({ search: "GLOSS 4" })).toEqual([4]);
    expect(order({ search: "hook_post:1" })).toEqual([1]);
  });
  it("pages and counts", () => {
    const list = selectUnits(units, { ...query, offset: 3, limit: 1 });
    expect([list.total, list.offset, list.units.map((u) => u.index)]).toEqual([5, 3, [1]]);
  });
});

describe("Trail", () => {
  const name = (index: number) => ({ hook: "blocks.0.mlp.hook_post", index });
  const paged = { ...query, limit: 2 };
  const fetch = (wanted: UnitQuery) => Promise.resolve(selectUnits(units, wanted));

  it("goes on into the next and the previous page", async () => {
    const middle = { ...paged, offset: 2 };
    const trail = new Trail(middle, selectUnits(units, middle), fetch); // holds 4 and 1 of 2 0 4 1 3
    expect(await trail.around(name(1))).toEqual({ previous: name(4), next: expect.objectContaining(name(3)) });
    expect(await trail.around(name(4))).toEqual({ previous: expect.objectContaining(name(0)), next: name(1) });
  });
  it("ends where the list ends", async () => {
    const trail = new Trail(paged, selectUnits(units, paged), fetch);
    expect((await trail.around(name(2)))?.previous).toBeNull();
    expect(await trail.around(name(3))).toBeNull();
  });
});
