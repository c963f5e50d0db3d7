// The JSON API of `glossator serve`.
import type { Source } from "./source";
import type { AtlasSummary, Unit, UnitList, UnitName, UnitQuery } from "./types";

/** An answer other than 200, in the server's own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** The query string of a list request; what is at its default is left out. */
export function listParameters(query: UnitQuery): URLSearchParams {
  const parameters = new URLSearchParams();
  if (query.hook !== null) parameters.set("hook", query.hook);
  parameters.set("sort", query.sort);
  if (query.sort === "score" && query.explainer !== null) parameters.set("explainer", query.explainer);
  parameters.set("order", query.descending ? "descending" : "ascending");
  if (query.search !== "") parameters.set("search", query.search);
  if (query.explainedBy !== null) parameters.set("explained_by", query.explainedBy);
  parameters.set("offset", String(query.offset));
  parameters.set("limit", String(query.limit));
  return parameters;
}

export class HttpSource implements Source {
  constructor(private readonly base: string) {}

  atlas(): Promise<AtlasSummary> {
    return this.get("atlas");
  }

  units(query: UnitQuery): Promise<UnitList> {
    return this.get(`units?${listParameters(query)}`);
  }

  unit(name: UnitName): Promise<Unit> {
    return this.get(`units/${encodeURIComponent(name.hook)}/${name.index}`);
  }

  random(hook: string | null, explainedBy: string | null): Promise<UnitName> {
    const parameters = new URLSearchParams();
    if (hook !== null) parameters.set("hook", hook);
    if (explainedBy !== null) parameters.set("explained_by", explainedBy);
    return this.get(`random?${parameters}`);
  }

  private async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.base}/${path}`, { headers: { accept: "application/json" } }).catch(
      () => {
        throw new ApiError(0, "The server does not answer. Is `glossator serve` still running?");
      },
    );
    if (response.ok) return (await response.json()) as T;
    const body = (await response.json().catch(() => null)) as { error?: string } | null;
    throw new ApiError(response.status, body?.error ?? `The server answered ${response.status}.`);
  }
}
