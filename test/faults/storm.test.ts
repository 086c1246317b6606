// Storms, and the proof that a storm would notice: the same storm over source with one fault planted must complain.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PLANTS } from './plants.ts';
import type { StormOptions, StormReport } from './storm.ts';

const RUNNER = fileURLToPath(new URL('run-storm.ts', import.meta.url));
const PLANTER = new URL('plant.ts', import.meta.url).href;
/** The full storm is for CI and the curious: STORM_REQUESTS=100000. */
const REQUESTS = Number(process.env['STORM_REQUESTS'] ?? 3000);
const PLANTED_REQUESTS = 1500;

async function storm(
  options: StormOptions,
  plant?: string,
): Promise<{ code: number | null; report: StormReport | undefined; output: string }> {
  const args = [...(plant === undefined ? [] : ['--import', PLANTER]), RUNNER, JSON.stringify(options)];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...(plant !== undefined && { PLANT: plant }) },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  const [code] = (await once(child, 'close')) as [number | null];
  let report: StormReport | undefined;
  try {
    report = JSON.parse(stdout) as StormReport;
  } catch {
    report = undefined;
  }
  return { code, report, output: stdout + stderr };
}

test(`storm of ${REQUESTS} requests, every invariant holds`, { timeout: 1_200_000 }, async (t) => {
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
