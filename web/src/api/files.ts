// The files of `glossator export --static`: every document is a script that hands its value to
// `window.glossatorReceive(name, value)`, because pages opened from a disk may load scripts but not fetch.
import { isExplainedBy, selectUnits } from "./select";
import type { Source } from "./source";
import type { AtlasSummary, Unit, UnitList, UnitName, UnitQuery, UnitSummary } from "./types";

declare global {
  interface Window {
    glossatorReceive?: (name: string, value: unknown) => void;
  }
}

export class FileSource implements Source {
  private readonly loaded = new Map<string, Promise<unknown>>();
  private readonly waiting = new Map<string, (value: unknown) => void>();

  constructor(private readonly page: Document) {
    window.glossatorReceive = (name, value) => this.waiting.get(name)?.(value);
  }

  atlas(): Promise<AtlasSummary> {
    return this.load("atlas");
  }

  async units(query: UnitQuery): Promise<UnitList> {
    return selectUnits(await this.summaries(query.hook), query);
  }

  async unit(name: UnitName): Promise<Unit> {
    // The name comes from the address, and becomes part of a path: only known hook points may.
    if (!(await this.atlas()).hooks.some((entry) => entry.hook === name.hook)) {
      throw new Error(`This export does not hold the hook point ${name.hook}.`);
    }
    return this.load(`unit/${name.hook}/${name.index}`);
  }

  async random(hook: string | null, explainedBy: string | null): Promise<UnitName> {
    const all = await this.summaries(hook);
    const wanted = all.filter((unit) => isExplainedBy(unit, explainedBy));
    const unit = wanted[Math.floor(Math.random() * wanted.length)];
    if (unit === undefined) throw new Error("This export holds no such unit.");
    return { hook: unit.hook, index: unit.index };
  }

  private async summaries(hook: string | null): Promise<UnitSummary[]> {
    const hooks = (await this.atlas()).hooks.filter((entry) => hook === null || entry.hook === hook);
    const lists = await Promise.all(hooks.map((entry) => this.load<UnitSummary[]>(`list/${entry.hook}`)));
    return lists.flat();
  }

  private load<T>(name: string): Promise<T> {
    const known = this.loaded.get(name);
    if (known !== undefined) return known as Promise<T>;
    const promise = new Promise<T>((resolve, reject) => {
      this.waiting.set(name, (value) => resolve(value as T));
      const script = this.page.createElement("script");
      script.src = `data/${name}.js`;
      script.onerror = () => {
        this.loaded.delete(name);
        reject(new Error(`This export does not hold ${name.replace(/^unit\//, "the unit ")}.`));
      };
      script.onload = () => script.remove();
      this.page.head.append(script);
    });
    this.loaded.set(name, promise);
    return promise;
  }
}
