// The service killed again and again, and the proof that it matters how it writes down: the same over source with one fault planted.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runTrial } from '../support/planted-run.ts';
import type { KillReport, KillRow } from './kill.ts';
import { KILL_PLANTS } from './money-plants.ts';

const RUNNER = fileURLToPath(new URL('run-money.ts', import.meta.url));
/** The full time is for CI and the curious: KILL_MINUTES=10. At the end the books come to rest. */
const SETTLING_SECONDS = 15;
const SECONDS = Number(process.env['KILL_MINUTES'] ?? 1) * 60 - SETTLING_SECONDS;
const PLANTED_SECONDS = 14;
/** NovelAI's own pace: even a slow machine has restarted before the longer generations end. */
const PLANTED_LATENCY_FACTOR = 1;

function run(...args: (string | number)[]) {
  return runTrial<KillReport>(RUNNER, ['kill', ...args.map(String)]);
}

function tableOf(kills: readonly KillRow[]): string[] {
  const [first] = kills;
  if (!first) return [];
  const names = Object.keys(first) as (keyof KillRow)[];
  const line = (cells: readonly (string | number)[]) =>
    cells.map((cell, index) => String(cell).padStart((names[index] ?? '').length)).join('  ');
  return [line(names), ...kills.map((kill) => line(names.map((name) => kill[name])))];
}

describe('kill', { concurrency: 2 }, () => {
  test(`killed every 5-20 s for ${SECONDS} s under load, the books agree with NovelAI`, async (t) => {
    const { code, report, output } = await run(SECONDS);
    assert.ok(report, output);
    const { kills, audit, ...rest } = report;
    for (const line of tableOf(kills)) t.diagnostic(line);
    t.diagnostic(`NovelAI charged ${audit.truth} Anlas, the ledger has ${audit.ledger}; ${JSON.stringify(rest)}`);
    t.diagnostic(JSON.stringify({ ...audit, accounts: undefined }));
    assert.deepEqual(report.problems, []);
    assert.equal(code, 0);
  });

  for (const [name, { breaks }] of Object.entries(KILL_PLANTS))
    test(`over a planted fault, "${name}" is noticed`, async () => {
      const { report, output } = await run(PLANTED_SECONDS, 3000, 6000, PLANTED_LATENCY_FACTOR, name);
      assert.ok(report, output);
      assert.match(report.problems.join('\n'), breaks);
    });
});
