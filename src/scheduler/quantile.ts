// Reads a quantile off a sorted sample.

/** The value below which the given part of the sample lies, between neighbours in proportion; 0 for an empty sample. */
export function quantileOf(sorted: ArrayLike<number>, quantile: number): number {
  const place = quantile * (sorted.length - 1);
  const low = sorted[Math.floor(place)] ?? 0;
  const high = sorted[Math.ceil(place)] ?? low;
  // Equal neighbours are given as they are: two infinities have no difference.
  return low === high ? low : low + (high - low) * (place - Math.floor(place));
}
