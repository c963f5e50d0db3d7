// Where the page's data comes from: the server, or the files of a static export.
import { FileSource } from "./files";
import { HttpSource } from "./http";
import type { AtlasSummary, Unit, UnitList, UnitName, UnitQuery } from "./types";

export interface Source {
  atlas(): Promise<AtlasSummary>;
  units(query: UnitQuery): Promise<UnitList>;
  unit(name: UnitName): Promise<Unit>;
  /** Any unit, drawn evenly; with `explainedBy`, one that this explainer has explained. */
  random(hook: string | null, explainedBy: string | null): Promise<UnitName>;
}

/** The document says which: `glossator export` writes `data-source="files"`. */
export function openSource(root: HTMLElement): Source {
  return root.dataset["source"] === "files" ? new FileSource(document) : new HttpSource("api");
}
