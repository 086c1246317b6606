// Tests `ledger …` and `backup`: sums for people and programs, faults in the books found, a copy that opens.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { NO_LIMITS } from '../../../src/ledger/budgets.ts';
import { Ledger } from '../../../src/ledger/ledger.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { commandLine } from './command-line.ts';

/** A day's work: two clients, one image paid, one free, one refused by NovelAI, one of unknown charge. */
async function work(dataDir: string): Promise<void> {
  const store = await openStore({ dataDir });
  const clock = new FakeClock({ wallMs: Date.UTC(2026, 10, 24, 12) });
  const ledger = await Ledger.open({ store, clock });
  const attempt = async (requestId: string, clientName: string, costAnlas: number) => {
    await ledger.reserve({
      requestId,
      clientId: `c-${clientName}`,
      clientName,
      endpoint: 'generate-image',
      model: 'nai-diffusion-4-5-full',
      costAnlas,
      images: 1,
      limits: { ...NO_LIMITS, anlasPerDay: 100 },
    });
    await ledger.markSent(requestId, { account: 'main', quotedAnlas: costAnlas, limits: NO_LIMITS });
  };
  await attempt('r1', 'bot, the first', 20);
  await ledger.settle('r1', { outcome: 'succeeded', chargedAnlas: 20 });
  await attempt('r2', 'page', 0);
  await ledger.settle('r2', { outcome: 'succeeded', chargedAnlas: 0 });
  await attempt('r3', 'page', 20);
  await ledger.release('r3', 'failed_client');
  clock.stepWall(86_400_000);
  await attempt('r4', 'page', 30);
  await ledger.hold('r4');
  await ledger.close();
  await store.close();
}

test('ledger report, by client as a table with a total', async (t) => {
  const { run, dataDir } = await commandLine(t);
  assert.match((await run(['ledger', 'report'])).out, /^Nothing was asked for/);
  await work(dataDir);
  const { out, err } = await run(['ledger', 'report']);
  assert.equal(err, '');
  assert.equal(
    out,
    [
      'CLIENT          REQUESTS  SUCCEEDED  FAILED  NOT SENT  UNKNOWN  OPEN  IMAGES  ANLAS  PENDING',
      'bot, the first         1          1       0         0        0     0       1     20        0',
      'page                   3          1       1         0        1     0       1      0       30',
      'total                  4          2       1         0        1     0       2     20       30',
      '',
    ].join('\n'),
  );
});

test('ledger report, by day and account, as CSV and JSON, and for a time', async (t) => {
  const { run, dataDir } = await commandLine(t);
  await work(dataDir);
  const byDay = await run(['ledger', 'report', '--by', 'day', '--csv']);
  assert.deepEqual(byDay.out.trim().split('\r\n').slice(1), [
    '2026-11-24,3,2,1,0,0,0,2,20,0',
    '2026-11-25,1,0,0,0,1,0,0,0,30',
  ]);
  const byClient = await run(['ledger', 'report', '--csv']);
  assert.match(byClient.out, /^"bot, the first",1,/m);
  const json = await run([
    'ledger',
    'report',
    '--by',
    'account',
    '--json',
    '--from',
    '2026-11-25',
    '--to',
    '2026-11-26',
  ]);
  const rows = JSON.parse(json.out) as { key: string; requests: number; pendingAnlas: number; driftAnlas: number }[];
  assert.deepEqual(
    rows.map(({ key, requests, pendingAnlas, driftAnlas }) => [key, requests, pendingAnlas, driftAnlas]),
    [['main', 1, 30, 0]],
  );
  assert.match((await run(['ledger', 'report', '--to', '2026-11-24'])).out, /^Nothing/);
  for (const args of [
    ['--by', 'colour'],
    ['--from', 'yesterday'],
    ['--json', '--csv'],
  ])
    assert.notEqual((await run(['ledger', 'report', ...args])).exitCode, 0, args.join(' '));
});

test('ledger verify, right books, and the unknown charge listed', async (t) => {
  const { run, dataDir } = await commandLine(t);
  await work(dataDir);
  const { out, exitCode } = await run(['ledger', 'verify']);
  assert.equal(exitCode, 0);
  assert.match(out, /^The books are right/);
  assert.match(
    out,
    /^r4 of page on main \(2026-11-25T12:00:00\.000Z\) may have cost 30 Anlas; .* balance will tell\.$/m,
  );
});

test('ledger verify, a tampered balance is found', async (t) => {
  const { run, dataDir } = await commandLine(t);
  await work(dataDir);
  const database = new DatabaseSync(join(dataDir, 'proxy.db'));
  database.exec(
    "update books set settled = settled - 5, granted = granted - 5 where budget = 'anlas_total' and settled > 0",
  );
  database.close();
  const { out, exitCode } = await run(['ledger', 'verify']);
  assert.equal(exitCode, 1);
  assert.match(out, /settled is 15, but by the attempts it is 20/);
  const json = JSON.parse((await run(['ledger', 'verify', '--json'])).out) as { differences: unknown[] };
  assert.ok(json.differences.length > 0);
});

test('backup, a whole copy, and the key not forgotten', async (t) => {
  const { run, dataDir } = await commandLine(t);
  await work(dataDir);
  await run(['account', 'add', 'main', '--no-test'], { input: 'pst-x' });
  const file = join(dataDir, 'copies', 'today.db');
  const { out, err, exitCode } = await run(['backup', file]);
  assert.equal(exitCode, 0);
  assert.match(out, /today\.db/);
  assert.match(err, /secret\.key: keep that too/);
  const report = await run(['ledger', 'report', '--json'], { config: { databaseUrl: `sqlite:${file}` } });
  assert.equal((JSON.parse(report.out) as unknown[]).length, 2);
  assert.ok(!existsSync(`${file}.partial`));
  const refused = await run(['backup', join(dataDir, 'copies')]);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.err, /^The backup [^\n]* could not be written[^\n]*\n$/);
});
