import { describe, expect, it } from "vitest";
import { count, exact, number, percent, score } from "../../src/scale/format";
import { correlation, heatScale, peak, shade } from "../../src/scale/heat";

describe("shade", () => {
  it("is linear in the share of the scale, with a hue for each sign", () => {
    expect(shade(4, 4)).toBe("p16");
    expect(shade(2, 4)).toBe("p8");
    expect(shade(-1, 4)).toBe("n4");
    expect(shade(0.01, 4)).toBe("");
  });
  it("stays within its range", () => {
    expect(shade(9, 4)).toBe("p16");
    expect(shade(-9, 4)).toBe("n16");
    expect(shade(Number.NaN, 4)).toBe("");
    expect(shade(1, 0)).toBe("");
  });
  it("scales a unit that never rises above zero by its magnitude", () => {
    expect(heatScale(3, [])).toBe(3);
    expect(heatScale(-0.1, [{ activations: [-0.5, -0.1] }])).toBe(0.5);
  });
});

describe("correlation", () => {
  it("is one for a line and undefined for a constant", () => {
    expect(correlation([1, 2, 3], [2, 4, 6])).toBeCloseTo(1, 12);
    expect(correlation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
    expect(correlation([1, 2, 3], [5, 5, 5])).toBeNull();
    expect(correlation([1], [1])).toBeNull();
  });
  it("finds the peak", () => {
    expect(peak([0.1, 3, -4, 3])).toBe(1);
  });
});

describe("numbers", () => {
  it("keeps three significant digits", () => {
    expect([0.03104, 7.2134, 123.456, -0.5, 0].map((value) => number(value))).toEqual([
      "0.0310",
      "7.21",
      "123",
      "−0.500",
      "0",
    ]);
  });
  it("says what is undefined", () => {
    expect([number(null), score(undefined), exact(null), percent(Number.NaN)]).toEqual(["–", "–", "–", "–"]);
  });
  it("tells small shares apart", () => {
    expect([0, 0.000001, 0.00123, 0.5, 0.9999, 1].map(percent)).toEqual([
      "0 %",
      "< 0.001 %",
      "0.12 %",
      "50.0 %",
      "> 99.9 %",
      "100 %",
    ]);
  });
  it("separates thousands", () => {
    expect(count(3200000)).toBe("3\u202f200\u202f000");
  });
});
