// Numbers as text. Undefined is said, never shown as zero.

const minus = (text: string) => text.replace("-", "−");

/** Three significant digits, without exponents where a person would not write one. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6 || magnitude < 1e-4) return minus(value.toExponential(digits - 1).replace("e+", "e"));
  const decimals = Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(magnitude))));
  return minus(value.toFixed(decimals));
}

/** A score: always two decimals, so that columns line up. */
export function score(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : minus(value.toFixed(2));
}

/** A value as it was stored (f32), for tooltips. */
export function exact(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : minus(String(value));
}

/** A share as a percentage with enough digits to tell small ones apart. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value === 0) return "0 %";
  if (value >= 99.95) return value === 100 ? "100 %" : "> 99.9 %";
  if (value < 0.001) return "< 0.001 %";
  return `${value >= 10 ? value.toFixed(1) : Number(value.toPrecision(2))} %`;
}

/** Whole numbers with thin spaces between the thousands. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}
