// Shows a bench's tables and charts: on the console, and for `npm run bench` in the documentation.
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderChart } from '../chart.ts';

/** Where `npm run bench` collects the tables of all benches, as Markdown. Charts are kept only where it is set. */
export const DETAILS_VARIABLE = 'BENCH_DETAILS';

const DOCS = fileURLToPath(new URL('../../docs', import.meta.url));

export interface Table {
  title: string;
  note?: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** Prints a table, and keeps it. */
export function publishTable({ title, note, head, rows }: Table): void {
  const widths = head.map((name, index) => Math.max(name.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[]) => cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ');
  console.log(`\n${title}${note === undefined ? '' : ` (${note})`}`);
  for (const row of [head, ...rows]) console.log(line(row));
  keep(
    [
      `### ${title}`,
      '',
      ...(note === undefined ? [] : [`${note[0]?.toUpperCase()}${note.slice(1)}.`, '']),
      markdownRow(head),
      markdownRow(head.map(() => '---')),
      ...rows.map(markdownRow),
      '',
    ].join('\n'),
  );
}

/** Says one sentence beside the tables. */
export function publishNote(sentence: string): void {
  console.log(sentence);
  keep(`${sentence}\n`);
}

/** Draws a chart into `docs/NAME.svg`. */
export function publishChart(name: string, chart: Parameters<typeof renderChart>[0]): void {
  if (process.env[DETAILS_VARIABLE] === undefined) return;
  writeFileSync(join(DOCS, `${name}.svg`), renderChart(chart));
  keep(`![${chart.title}](${name}.svg)\n`);
}

function keep(text: string): void {
  const file = process.env[DETAILS_VARIABLE];
  if (file !== undefined) appendFileSync(file, `${text}\n`);
}

export function markdownRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
