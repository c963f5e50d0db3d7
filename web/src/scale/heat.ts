// Activation → shade. The shade is linear in activation / scale, where the scale is the unit's maximum, so that
// shades of one page can be compared; negative values take the other hue on the same scale.

export const LEVELS = 16;

/** The style class of a value: `p1`…`p16` above zero, `n1`…`n16` below, none near zero. */
export function shade(value: number, scale: number): string {
  if (!(scale > 0) || !Number.isFinite(value)) return "";
  const level = Math.min(LEVELS, Math.round((Math.abs(value) / scale) * LEVELS));
  if (level === 0) return "";
  return value > 0 ? `p${level}` : `n${level}`;
}

/** The scale of a unit: its largest activation, or its largest magnitude where it never rises above zero. */
export function heatScale(maximum: number, rows: { activations: number[] }[]): number {
  if (maximum > 0) return maximum;
  let largest = 0;
  for (const row of rows) for (const value of row.activations) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** Position of the largest value. */
export function peak(values: number[]): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

/** Pearson correlation; `null` where either side is constant. */
export function correlation(a: number[], b: number[]): number | null {
  const n = Math.min(a.length, b.length);
  if (n < 2) return null;
  let meanA = 0;
  let meanB = 0;
  for (let i = 0; i < n; i++) {
    meanA += a[i]! / n;
    meanB += b[i]! / n;
  }
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < n; i++) {
    const da = a[i]! - meanA;
    const db = b[i]! - meanB;
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : null;
}
