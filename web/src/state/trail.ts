// The list a reader came from, so that "next" on a unit means the next one in that list. Pages of the list are
// fetched as the reader reaches their ends.
import type { UnitList, UnitName, UnitQuery } from "../api/types";

export class Trail {
  private units: UnitName[];
  /** Place of the first of `units` in the whole list. */
  private first: number;
  private total: number;

  constructor(
    private readonly query: UnitQuery,
    list: UnitList,
    private readonly fetch: (query: UnitQuery) => Promise<UnitList>,
  ) {
    this.units = list.units.map(({ hook, index }) => ({ hook, index }));
    this.first = list.offset;
    this.total = list.total;
  }

  /** The units before and after `unit` in the list; `null` when the list does not hold it. */
  async around(unit: UnitName): Promise<{ previous: UnitName | null; next: UnitName | null } | null> {
    if (this.place(unit) < 0) return null;
    await this.extend(this.place(unit));
    const place = this.place(unit);
    return { previous: this.units[place - 1] ?? null, next: this.units[place + 1] ?? null };
  }

  private place(unit: UnitName): number {
    return this.units.findIndex((other) => other.hook === unit.hook && other.index === unit.index);
  }

  private async extend(place: number): Promise<void> {
    const end = this.first + this.units.length;
    if (place === this.units.length - 1 && end < this.total) {
      const list = await this.fetch({ ...this.query, offset: end });
      this.units.push(...list.units);
    }
    if (place === 0 && this.first > 0) {
      const offset = Math.max(0, this.first - this.query.limit);
      const list = await this.fetch({ ...this.query, offset, limit: this.first - offset });
      this.units.unshift(...list.units);
      this.first = offset;
    }
  }
}
