// How a bench shows its figures: one row for each, with its target, and the exit code that says whether all were met.
import { appendFileSync } from 'node:fs';

export interface Target {
  what: string;
  target: string;
  reached: string;
  isMet: boolean;
}

/** Where `npm run bench` collects the rows of all benches, one JSON object a line. */
export const RESULTS_VARIABLE = 'BENCH_RESULTS';

/** Prints the rows as a table; the process then ends with 1 when one was missed. */
export function report(rows: readonly Target[]): void {
  const keys = ['what', 'target', 'reached'] as const;
  const widths = keys.map((key) => Math.max(key.length, ...rows.map((row) => row[key].length)));
  const line = (cells: readonly string[]) => cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ');
  console.log(line([...keys, 'ok']));
  for (const { what, target, reached, isMet } of rows) console.log(line([what, target, reached, isMet ? 'yes' : 'NO']));
  const results = process.env[RESULTS_VARIABLE];
  if (results !== undefined) for (const row of rows) appendFileSync(results, `${JSON.stringify(row)}\n`);
  if (rows.length === 0 || rows.some(({ isMet }) => !isMet)) process.exitCode = 1;
}

/** Gives the value below which this share (0 to 1) of `values` lies; NaN without any. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
