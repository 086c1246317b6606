// Prints results as a table of clients and features.
import { type Feature, FEATURES, type FeatureResult } from './features.ts';
import type { ClientSpec } from './manifest.ts';

/** What came of one client: its results, or why it could not be tried here. */
export interface ClientResults {
  readonly client: ClientSpec;
  readonly results: readonly FeatureResult[];
  readonly skippedBecause?: string;
  readonly durationMs: number;
}

const WORDS = { ok: 'ok', refused: 'refused', fail: 'FAIL' } as const;

/** Gives the table, one line per client; `later` is what the client can do and this run did not try. */
export function table(rows: readonly ClientResults[]): string {
  const heads = ['client', ...FEATURES];
  const lines = [heads, ...rows.map((row) => [title(row.client), ...FEATURES.map((feature) => cell(row, feature))])];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((word, column) => word.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Gives one line for each result that says more than its word in the table. */
export function details(rows: readonly ClientResults[]): string {
  const lines: string[] = [];
  for (const { client, results, skippedBecause, durationMs } of rows) {
    lines.push('', `${title(client)} (${(durationMs / 1000).toFixed(1)} s; changed in it: ${client.changed})`);
    if (skippedBecause !== undefined) lines.push(`  skipped: ${skippedBecause}`);
    for (const { feature, outcome, detail } of results) {
      lines.push(`  ${feature.padEnd(12)} ${WORDS[outcome].padEnd(7)} ${detail}`);
    }
  }
  return lines.join('\n').trimStart();
}

function cell({ client, results, skippedBecause }: ClientResults, feature: Feature): string {
  if (!client.features.includes(feature)) return '-';
  if (skippedBecause !== undefined) return 'skipped';
  const result = results.find((candidate) => candidate.feature === feature);
  return result === undefined ? 'later' : WORDS[result.outcome];
}

function title(client: ClientSpec): string {
  return `${client.name} ${client.version}`;
}
