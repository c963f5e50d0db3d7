import { describe, expect, it } from "vitest";
import { listParameters } from "../../src/api/http";
import type { AtlasSummary } from "../../src/api/types";
import { effectiveList, firstList, listHash, parseRoute, parseUnitLabel, unitHash } from "../../src/state/route";

describe("routes", () => {
  it("names a unit and reads it back", () => {
    const unit = { hook: "blocks.15.mlp.hook_post", index: 99 };
    expect(unitHash(unit)).toBe("#/unit/blocks.15.mlp.hook_post/99");
    expect(parseRoute(unitHash(unit))).toEqual({ page: "unit", unit });
  });
  it("keeps every part of a list", () => {
    const route = {
      ...firstList,
      hook: "blocks.0.mlp.hook_post",
      sort: "score" as const,
      explainer: "lookup",
      descending: false,
      search: "a & b=c",
      by: "all",
      number: 3,
    };
    expect(parseRoute(listHash(route))).toEqual(route);
  });
  it("has a short address for the defaults", () => {
    expect(listHash(firstList)).toBe("#/units");
    expect(parseRoute("")).toEqual(firstList);
  });
  it("survives nonsense", () => {
    expect(parseRoute("#/nowhere").page).toBe("unknown");
    expect(parseRoute("#/unit/%E0%A4%A/1").page).toBe("unknown");
    expect(parseRoute("#/unit/x/-1").page).toBe("unknown");
    expect(parseRoute("#/units?page=-7&sort=colour")).toEqual(firstList);
  });
  it("reads a unit's name from the search", () => {
    expect(parseUnitLabel(" blocks.15.mlp.hook_post:99 ")).toEqual({ hook: "blocks.15.mlp.hook_post", index: 99 });
    expect(parseUnitLabel("a sentence: 5")).toBeNull();
  });
});

describe("defaults of a list", () => {
  const atlas = (explainers: string[], explained: number): AtlasSummary => ({
    name: "a",
    schema: 1,
    model: "m",
    facts: [],
    hooks: [{ hook: "h", units: 5, explained: { n2g: explained } }],
    explainers: explainers.map((name) => ({ name, units: 1, scored: 1, mean_score: 0 })),
    headline: { metric: "correlation", sample: "top_and_random" },
  });
  it("puts the best scored units first", () => {
    expect(effectiveList(atlas(["lookup", "n2g"], 3), firstList)).toEqual({
      sort: "score",
      explainer: "n2g",
      by: "n2g",
    });
  });
  it("shows everything where nothing is explained, and when searching", () => {
    expect(effectiveList(atlas([], 0), firstList)).toEqual({ sort: "max", explainer: null, by: null });
    expect(effectiveList(atlas(["n2g"], 3), { ...firstList, search: "x" }).by).toBeNull();
  });
  it("asks the server for exactly that", () => {
    const query = {
      hook: null,
      sort: "score" as const,
      explainer: "n2g",
      descending: true,
      search: "",
      explainedBy: "n2g",
      offset: 50,
      limit: 50,
    };
    expect(listParameters(query).toString()).toBe(
      "sort=score&explainer=n2g&order=descending&explained_by=n2g&offset=50&limit=50",
    );
  });
});
