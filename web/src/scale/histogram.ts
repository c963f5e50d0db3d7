// Buckets → bars on a signed logarithmic axis: one step per doubling either way, and one step for everything near zero.
// The buckets of an atlas are logarithmic themselves (two to the octave), so most bars are equally wide.
import type { Bucket } from "../api/types";

export interface Bar {
  low: number | null;
  high: number | null;
  count: number;
  /** Where the bar begins and ends, from 0 (left) to 1 (right). */
  from: number;
  to: number;
}

export interface Bars {
  bars: Bar[];
  /** Where zero lies, from 0 to 1. */
  zero: number;
  low: number;
  high: number;
}

/** Doublings shown on the longer side; smaller magnitudes share the bar at zero. */
const DOUBLINGS = 7;

export function bars(buckets: Bucket[]): Bars {
  const edges = buckets.flatMap(({ low, high }) => [low, high]).filter((edge) => edge !== null);
  const reach = Math.max(0, ...edges.map(Math.abs));
  if (reach === 0) return { bars: [], zero: 0.5, low: 0, high: 0 };
  const floor = Math.min(...edges.map(Math.abs).filter((edge) => edge >= reach / 2 ** DOUBLINGS));
  // An edge without a value is infinite: it is drawn one step beyond the last finite one.
  const place = (value: number | null, side: number) => {
    const size = value === null ? 2 * reach : Math.abs(value);
    const steps = size <= floor ? (0.5 * size) / floor : 0.5 + Math.log2(size / floor);
    return (value === null ? side : Math.sign(value)) * steps;
  };
  const merged = mergeCentre(buckets, floor);
  const left = Math.min(0, ...merged.map(({ low }) => place(low, -1)));
  const right = Math.max(0, ...merged.map(({ high }) => place(high, 1)));
  const share = (steps: number) => (steps - left) / (right - left);
  return {
    bars: merged.map((bucket) => ({
      ...bucket,
      from: share(place(bucket.low, -1)),
      to: share(place(bucket.high, 1)),
    })),
    zero: share(0),
    low: Math.min(0, ...edges),
    high: Math.max(0, ...edges),
  };
}

/** Buckets within ±floor become one on each side of zero. */
function mergeCentre(buckets: Bucket[], floor: number): Bucket[] {
  const inside = ({ low, high }: Bucket) =>
    low !== null && high !== null && Math.abs(low) <= floor && Math.abs(high) <= floor;
  const centre: Bucket[] = [];
  for (const [low, high] of [
    [-floor, 0],
    [0, floor],
  ] as const) {
    const here = buckets.filter((bucket) => inside(bucket) && bucket.low! >= low && bucket.high! <= high);
    if (here.length > 0) centre.push({ low, high, count: here.reduce((sum, bucket) => sum + bucket.count, 0) });
  }
  const across = buckets.filter((bucket) => inside(bucket) && bucket.low! < 0 && bucket.high! > 0);
  const outside = buckets.filter((bucket) => !inside(bucket));
  return [...outside, ...centre, ...across].sort((a, b) => (a.low ?? -Infinity) - (b.low ?? -Infinity));
}
