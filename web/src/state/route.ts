// The address of a view, kept in the hash so that it works from a disk as well as from a server:
// `#/units?hook=…&sort=score&explainer=n2g&q=…&page=2` and `#/unit/blocks.15.mlp.hook_post/99`.
import type { AtlasSummary, SortKey, UnitName } from "../api/types";

export interface ListRoute {
  page: "list";
  hook: string | null;
  sort: SortKey | null;
  explainer: string | null;
  descending: boolean;
  search: string;
  /** Show only the units of this explainer, or `all`. */
  by: string | null;
  /** Counted from 1. */
  number: number;
}

export interface UnitRoute {
  page: "unit";
  unit: UnitName;
}

export type Route = ListRoute | UnitRoute | { page: "unknown"; hash: string };

const sortKeys: readonly string[] = ["unit", "score", "density", "max"];

export const firstList: ListRoute = {
  page: "list",
  hook: null,
  sort: null,
  explainer: null,
  descending: true,
  search: "",
  by: null,
  number: 1,
};

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  if (path === "" || path === "/" || path === "/units") {
    const parameters = new URLSearchParams(query);
    const sort = parameters.get("sort");
    const number = Number(parameters.get("page") ?? "1");
    return {
      page: "list",
      hook: parameters.get("hook"),
      sort: sort !== null && sortKeys.includes(sort) ? (sort as SortKey) : null,
      explainer: parameters.get("explainer"),
      descending: parameters.get("order") !== "ascending",
      search: parameters.get("q") ?? "",
      by: parameters.get("by"),
      number: Number.isInteger(number) && number > 0 ? number : 1,
    };
  }
  const unit = /^\/unit\/([^/]+)\/(\d{1,9})$/.exec(path);
  const hook = unit === null ? null : decode(unit[1]!);
  if (unit !== null && hook !== null) return { page: "unit", unit: { hook, index: Number(unit[2]) } };
  return { page: "unknown", hash };
}

export function listHash(route: ListRoute): string {
  const parameters = new URLSearchParams();
  if (route.hook !== null) parameters.set("hook", route.hook);
  if (route.sort !== null) parameters.set("sort", route.sort);
  if (route.explainer !== null) parameters.set("explainer", route.explainer);
  if (!route.descending) parameters.set("order", "ascending");
  if (route.search !== "") parameters.set("q", route.search);
  if (route.by !== null) parameters.set("by", route.by);
  if (route.number > 1) parameters.set("page", String(route.number));
  const query = parameters.toString();
  return query === "" ? "#/units" : `#/units?${query}`;
}

export function unitHash(unit: UnitName): string {
  return `#/unit/${encodeURIComponent(unit.hook)}/${unit.index}`;
}

export function unitLabel(unit: UnitName): string {
  return `${unit.hook}:${unit.index}`;
}

/** `blocks.15.mlp.hook_post:99` or `…/99`, typed into the search box, names a unit. */
export function parseUnitLabel(text: string): UnitName | null {
  const match = /^\s*([A-Za-z_][\w.]*)[:/](\d{1,9})\s*$/.exec(text);
  return match === null ? null : { hook: match[1]!, index: Number(match[2]) };
}

/** What a list shows where its address leaves it open: the best units of the first real explainer. */
export function effectiveList(
  atlas: AtlasSummary,
  route: ListRoute,
): { sort: SortKey; explainer: string | null; by: string | null } {
  const names = atlas.explainers.map((entry) => entry.name);
  const preferred = names.find((name) => name !== "lookup") ?? names[0] ?? null;
  const known = route.explainer !== null && names.includes(route.explainer);
  return {
    sort: route.sort ?? (preferred === null ? "max" : "score"),
    explainer: known ? route.explainer : preferred,
    // A search looks everywhere unless it is told otherwise.
    by: route.by === null ? (route.search === "" ? preferred : null) : names.includes(route.by) ? route.by : null,
  };
}
