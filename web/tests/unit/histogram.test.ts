import { describe, expect, it } from "vitest";
import { bars } from "../../src/scale/histogram";

describe("bars", () => {
  // The grid of an atlas: edges 2^e and 1.5·2^e.
  const buckets = [
    { low: -0.5, high: -0.375, count: 3 },
    { low: -0.00001, high: 0, count: 500 },
    { low: 0, high: 0.00001, count: 600 },
    { low: 0.0078125, high: 0.01171875, count: 90 },
    { low: 4, high: 6, count: 2 },
    { low: 6, high: 8, count: 1 },
  ];
  const drawn = bars(buckets);

  it("keeps every count", () => {
    const sum = (list: { count: number }[]) => list.reduce((total, one) => total + one.count, 0);
    expect(sum(drawn.bars)).toBe(sum(buckets));
  });
  it("lies between 0 and 1, in order, without overlap", () => {
    expect(drawn.bars[0]!.from).toBe(0);
    expect(drawn.bars.at(-1)!.to).toBe(1);
    for (let i = 1; i < drawn.bars.length; i++) {
      expect(drawn.bars[i]!.from).toBeGreaterThanOrEqual(drawn.bars[i - 1]!.to - 1e-12);
    }
  });
  it("gathers what is near zero on each side", () => {
    const near = drawn.bars.filter((bar) => bar.low === 0 || bar.high === 0);
    expect(near.map((bar) => bar.count)).toEqual([500, 690]);
  });
  it("draws infinite edges one step out, and copes with nothing", () => {
    const open = bars([
      { low: 1, high: 2, count: 1 },
      { low: 2, high: null, count: 1 },
    ]);
    expect(open.bars.at(-1)).toMatchObject({ high: null, to: 1 });
    expect(bars([]).bars).toEqual([]);
  });
});
