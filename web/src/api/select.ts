// The list query over summaries in memory, for the static export: the same meaning as the server's.
import type { UnitList, UnitQuery, UnitSummary } from "./types";

/** What a unit is sorted by; `null` (undefined) always comes last. */
export function sortValue(unit: UnitSummary, query: UnitQuery): number | null {
  switch (query.sort) {
    case "density":
      return unit.density;
    case "max":
      return unit.max;
    case "score":
      return unit.explanations.find((entry) => entry.explainer === query.explainer)?.score?.value ?? null;
    case "unit":
      return 0;
  }
}

/** Every word of the search must be found in the unit's name, its tokens or one of its explanations. */
export function matches(unit: UnitSummary, search: string): boolean {
  const text = [`${unit.hook}:${unit.index}`, ...unit.tokens, ...unit.explanations.map((entry) => entry.text)]
    .join("\n")
    .toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "")
    .every((word) => text.includes(word));
}

/** Whether an explainer has explained a unit; `null` asks for nothing. */
export function isExplainedBy(unit: UnitSummary, explainer: string | null): boolean {
  return explainer === null || unit.explanations.some((entry) => entry.explainer === explainer);
}

export function selectUnits(units: UnitSummary[], query: UnitQuery): UnitList {
  const found = units
    .map((unit, position) => ({ unit, position, value: sortValue(unit, query) }))
    .filter(
      ({ unit }) =>
        (query.hook === null || unit.hook === query.hook) &&
        isExplainedBy(unit, query.explainedBy) &&
        matches(unit, query.search),
    );
  const sign = query.descending ? -1 : 1;
  found.sort((a, b) => {
    if (a.value === null || b.value === null) {
      if (a.value !== b.value) return a.value === null ? 1 : -1;
      return a.position - b.position;
    }
    if (query.sort === "unit") return sign * (a.position - b.position);
    return sign * (a.value - b.value) || a.position - b.position;
  });
  const page = found.slice(query.offset, query.offset + query.limit).map(({ unit }) => unit);
  return { total: found.length, offset: query.offset, units: page };
}
