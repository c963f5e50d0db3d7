import { describe, expect, it } from "vitest";
import { direction, pieces, visible } from "../../src/text/tokens";

describe("pieces", () => {
  it("keeps ordinary text and the space between words", () => {
    expect(pieces(" walking")).toEqual([{ text: " walking", mark: false }]);
  });
  it("shows whitespace tokens", () => {
    expect(visible("  ")).toBe("··");
    expect(visible("\n\n\t")).toBe("↵↵⇥");
    expect(pieces(" ")).toEqual([{ text: "·", mark: true }]);
  });
  it("shows the leading space in tables", () => {
    expect(pieces(" the", true)).toEqual([
      { text: "·", mark: true },
      { text: "the", mark: false },
    ]);
  });
  it("shows control characters by their number", () => {
    expect(visible("a\u0000b\u001b")).toBe("a‹00›b‹1B›");
    expect(visible("\u007f\u0085")).toBe("‹7F›‹85›");
  });
  it("disarms direction overrides and invisible characters", () => {
    expect(visible("\u202eevil\u202c")).toBe("‹202E›evil‹202C›");
    expect(visible("\u200b\ufeff\u2066")).toBe("‹200B›‹FEFF›‹2066›");
    expect(visible("\u{e0041}")).toBe("‹E0041›");
  });
  it("leaves markup as text", () => {
    expect(pieces("<script>alert(1)</script>")).toEqual([{ text: "<script>alert(1)</script>", mark: false }]);
  });
  it("keeps joiners inside words and emoji, shows them alone", () => {
    expect(visible("می\u200cخواهم")).toBe("می\u200cخواهم");
    expect(visible("\u200d")).toBe("‹200D›");
  });
  it("shows lone surrogates and the empty token", () => {
    expect(visible("\ud800")).toBe("‹D800›");
    expect(visible("")).toBe("∅");
  });
});

describe("direction", () => {
  it("follows the majority of letters", () => {
    expect(direction(["hello", " world"])).toBe("ltr");
    expect(direction(["قال", " الرئيس", " ok"])).toBe("rtl");
    expect(direction(["123", "…"])).toBe("ltr");
  });
});
