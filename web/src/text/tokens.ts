// How a token's text is shown. Text of the corpus is untrusted: it only ever becomes text nodes, and
// whatever would be invisible or would reorder the line is replaced by something that can be seen.

/** A run of characters to show; `mark` runs stand for characters that cannot be shown as themselves. */
export interface Piece {
  text: string;
  mark: boolean;
}

/** Explicit direction controls, zero-width and other format characters, private use and stray surrogates. */
const hidden =
  /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ue000-\uf8ff]|[\u{e0000}-\u{e0fff}]/u;

const hex = (code: number, digits: number) => `‹${code.toString(16).toUpperCase().padStart(digits, "0")}›`;

/** The visible stand-in of one character, or `null` where the character shows itself. */
function standIn(character: string): string | null {
  const code = character.codePointAt(0) ?? 0;
  if (character === "\n") return "↵";
  if (character === "\t") return "⇥";
  if (code < 0x20 || (code >= 0x7f && code <= 0xa0)) return hex(code, 2);
  if (hidden.test(character)) return hex(code, 4);
  return null;
}

/**
 * Splits a token into pieces. In running text a space between words shows as a space; `spaces` shows every
 * space as a dot (tables, tooltips), and a token of nothing but spaces always does.
 */
export function pieces(token: string, spaces = false): Piece[] {
  if (token === "") return [{ text: "∅", mark: true }];
  const dots = spaces || /^ +$/.test(token);
  const out: Piece[] = [];
  for (const character of token) {
    // Zero-width joiners shape many scripts and emoji; inside a token they are left alone.
    const joiner = character === "\u200d" || character === "\u200c";
    const shown = character === " " && dots ? "·" : joiner && token.length > 1 ? null : standIn(character);
    const mark = shown !== null;
    const text = shown ?? character;
    const last = out.at(-1);
    if (last !== undefined && last.mark === mark) last.text += text;
    else out.push({ text, mark });
  }
  return out;
}

/** The same as plain text, for labels and tooltips. */
export function visible(token: string, spaces = true): string {
  return pieces(token, spaces)
    .map((piece) => piece.text)
    .join("");
}

const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const leftToRight = /[A-Za-z\u00c0-\u024f\u0370-\u052f\u0900-\u0e7f\u3040-\u9fff\uac00-\ud7af]/;

/** Base direction of a run of tokens: that of the majority of its letters. */
export function direction(tokens: string[]): "ltr" | "rtl" {
  let balance = 0;
  for (const token of tokens) {
    for (const character of token) {
      if (rightToLeft.test(character)) balance += 1;
      else if (leftToRight.test(character)) balance -= 1;
    }
  }
  return balance > 0 ? "rtl" : "ltr";
}
