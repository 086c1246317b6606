// Storms, and the proof that a storm would notice: the same storm over source with one fault planted must complain.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runTrial } from '../support/planted-run.ts';
import { PLANTS } from './plants.ts';
import type { StormOptions, StormReport } from './storm.ts';

const RUNNER = fileURLToPath(new URL('run-storm.ts', import.meta.url));
/** The full storm is for CI and the curious: STORM_REQUESTS=100000. */
const REQUESTS = Number(process.env['STORM_REQUESTS'] ?? 3000);
const PLANTED_REQUESTS = 1500;

function storm(options: StormOptions, plant?: string) {
  return runTrial<StormReport>(RUNNER, [JSON.stringify(options)], plant);
}

test(`storm of ${REQUESTS} requests, every invariant holds`, { timeout: 60_000 + REQUESTS * 25 }, async (t) => {
  const { code, report, output } = await storm({ requests: REQUESTS });
  assert.ok(report, output);
  t.diagnostic(JSON.stringify({ ...report, problems: undefined }));
  assert.deepEqual(report.problems, []);
  assert.equal(code, 0);
});

for (const [name, { breaks, weather }] of Object.entries(PLANTS))
  test(`storm over a planted fault, "${name}" is noticed`, { timeout: 120_000 }, async () => {
    const { code, report, output } = await storm({ requests: PLANTED_REQUESTS, ...weather }, name);
    assert.notEqual(code, 99, `the fault was not planted: ${output}`);
    assert.notEqual(code, 0, 'the storm noticed nothing');
    if (report) assert.match(report.problems.join('\n'), breaks);
  });
