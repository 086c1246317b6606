// The books under fire, and the proof that an error in them would show: the same work over source with one fault planted.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runTrial } from '../support/planted-run.ts';
import type { ChargesReport } from './charges.ts';
import { CHARGES_PLANTS } from './money-plants.ts';

const RUNNER = fileURLToPath(new URL('run-money.ts', import.meta.url));
/** The full number is for CI and the curious: MONEY_REQUESTS=10000. */
const REQUESTS = Number(process.env['MONEY_REQUESTS'] ?? 1500);
const PLANTED_REQUESTS = 300;

function run(requests: number, plant?: string) {
  return runTrial<ChargesReport>(RUNNER, ['charges', String(requests)], plant);
}

describe('charges', { concurrency: 2 }, () => {
  test(`${REQUESTS} mixed requests with faults, the ledger is what NovelAI charged, to the Anlas`, async (t) => {
    const { code, report, output } = await run(REQUESTS);
    assert.ok(report, output);
    const { audit, ...rest } = report;
    t.diagnostic(`NovelAI charged ${audit.truth} Anlas, the ledger has ${audit.ledger}; ${JSON.stringify(rest)}`);
    for (const { account, truth, ledger } of audit.accounts) t.diagnostic(`${account}: ${truth} = ${ledger}`);
    t.diagnostic(JSON.stringify({ ...audit, accounts: undefined }));
    assert.deepEqual(report.problems, []);
    assert.equal(code, 0);
  });

  for (const [name, { breaks }] of Object.entries(CHARGES_PLANTS))
    test(`over a planted fault, "${name}" is noticed`, async () => {
      const { code, report, output } = await run(PLANTED_REQUESTS, name);
      assert.notEqual(code, 99, `the fault was not planted: ${output}`);
      assert.ok(report, output);
      assert.match(report.problems.join('\n'), breaks);
    });
});
