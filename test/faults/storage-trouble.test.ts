// The books in bad company: a wrong key, a full disk, a database that can only be read, a clock that goes back, a second process.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { AccountRepository } from '../../src/accounts/account-repository.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { openStore } from '../../src/store/open-store.ts';
import { openSecretBox } from '../../src/store/secret-box.ts';
import { call, type Answer } from '../support/http-client.ts';
import { KillableProxy } from '../support/killable-proxy.ts';
import { accountsOf, environmentFor, startMoneyStack, type MoneyStack } from '../support/money-stack.ts';
import { QuickClock } from '../support/quick-clock.ts';
import { generationBody } from '../support/stack.ts';
import { until } from '../support/until.ts';

const PRICE_ANLAS = 30;
const PAID = { width: 1024, height: 1536, steps: 28 };
const RIGHT_KEY = 'the right key of this test';

/** Undoes what a test does, the last first: a folder goes when nothing uses it any more. */
function undoing(t: TestContext): AsyncDisposableStack {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  return stack;
}

function tempDir(undo: AsyncDisposableStack): string {
  const dir = mkdtempSync(join(tmpdir(), 'proxy-trouble-'));
  undo.defer(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function send(
  { address, token }: { address: string; token: string },
  parameters: Record<string, unknown> = {},
): Promise<Answer> {
  return call(`${address}/ai/generate-image`, {
    body: generationBody({ parameters }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
}

function generations({ truth }: Simulator): number {
  return truth.rows().filter(({ endpoint }) => endpoint === 'generate-image').length;
}

/** Every file of a folder with a hash of its bytes. */
function contentsOf(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).toSorted();
  return Object.fromEntries(
    files
      .filter((name) => statSync(join(dir, name)).isFile())
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(dir, name)))
          .digest('hex'),
      ]),
  );
}

test('a wrong SECRET_KEY, or none, the service refuses to start, says why, and leaves the data as it is', async (t) => {
  const undo = undoing(t);
  const dir = tempDir(undo);
  const accounts = accountsOf([{}]);
  const [{ email, password } = { email: '', password: '' }] = accounts;
  const simulator = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts });
  undo.defer(() => simulator.close());
  const { NOVELAI_ACCOUNTS: _none, ...environment } = environmentFor(simulator, accounts, newClientToken());
  const proxy = new KillableProxy({ dir, environment });
  undo.defer(() => proxy.close());
  const store = await openStore({ dataDir: proxy.dataDir });
  const secretBox = await openSecretBox({ store, dataDir: proxy.dataDir, secretKey: RIGHT_KEY });
  await new AccountRepository({ store, secretBox, clock: systemClock }).add({ name: 'kept', email, password });
  await store.close();
  const before = contentsOf(proxy.dataDir);

  for (const wrong of [{ SECRET_KEY: 'quite another key, or a typing error' }, {}]) {
    await assert.rejects(proxy.start(wrong));
    assert.equal(await proxy.end('SIGKILL'), 1);
    const lines = proxy.output.trim().split('\n');
    assert.equal(lines.length, 1, proxy.output);
    assert.match(lines[0] ?? '', 'SECRET_KEY' in wrong ? /^SECRET_KEY is not the key/ : /set SECRET_KEY/);
    assert.match(lines[0] ?? '', /Nothing was changed/);
    const { 'proxy.db.lock': _lock, ...after } = contentsOf(proxy.dataDir);
    const { 'proxy.db.lock': _lockBefore, ...expected } = before;
    assert.deepEqual(after, expected);
  }
  await proxy.start({ SECRET_KEY: RIGHT_KEY });
  await proxy.ready();
});

test('a second service on the same file, refuses with one line, and the first one works on', async (t) => {
  const undo = undoing(t);
  const dir = tempDir(undo);
  const accounts = accountsOf([{}]);
  const simulator = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts });
  undo.defer(() => simulator.close());
  const token = newClientToken();
  const environment = environmentFor(simulator, accounts, token);
  const first = new KillableProxy({ dir, environment });
  const second = new KillableProxy({ dir, environment });
  undo.defer(() => first.close());
  undo.defer(() => second.close());
  await first.start();
  await first.ready();
  await assert.rejects(second.start());
  assert.equal(await second.end('SIGKILL'), 1);
  assert.match(second.output, /^The database \S+proxy\.db is in use by another running service; .*\n$/);
  assert.equal((await send({ address: first.address, token }, PAID)).status, 200);
  // Killed, it leaves no lock behind.
  await first.end('SIGKILL');
  await second.start();
  await second.ready();
});

/** Sends paid and free requests until both were refused for want of a ledger; each one refused must have reached nobody. */
async function untilRefused(stack: MoneyStack): Promise<void> {
  const refused = { paid: 0, free: 0 };
  for (let round = 0; round < 100 && (refused.paid === 0 || refused.free === 0); round += 1)
    for (const [kind, parameters] of [
      ['paid', PAID],
      ['free', {}],
    ] as const) {
      const before = generations(stack.simulator);
      const answer = await send(stack, parameters);
      // What still fits into the file's last pages is written down, and so may be sent.
      if (answer.status === 200) continue;
      assert.equal(answer.status, 503, answer.text);
      assert.equal(answer.headers['x-proxy-error'], 'proxy_ledger_unavailable');
      assert.ok(Number(answer.headers['retry-after']) >= 1);
      assert.equal(generations(stack.simulator), before, 'what was refused was not sent');
      refused[kind] += 1;
    }
  assert.ok(refused.paid > 0 && refused.free > 0, JSON.stringify(refused));
}

/** Works again without anybody's help, and nothing is half-written. */
async function isWell(stack: MoneyStack): Promise<void> {
  await until(() => stack.service.storage.ledger.owedCount === 0, 20_000);
  for (const parameters of [PAID, {}]) assert.equal((await send(stack, parameters)).status, 200);
  await stack.settled();
  assert.deepEqual((await stack.audit()).problems, []);
  const { rows } = await stack.service.storage.store.read((db) =>
    sql<{ integrity_check: string }>`pragma integrity_check`.execute(db),
  );
  assert.equal(rows[0]?.integrity_check, 'ok');
}

test(
  'a full disk while it runs, paid and free work is refused, what ran is not lost, and it recovers',
  { skip: mountable() },
  async (t) => {
    const undo = undoing(t);
    const disk = join(tempDir(undo), 'disk');
    mkdirSync(disk);
    assert.equal(run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]), 0);
    undo.defer(() => void run('umount', [disk]));
    const stack = await startMoneyStack({ dataDir: join(disk, 'data'), simulator: { fixedLatencyMs: 500 } });
    undo.defer(() => stack.close());
    assert.equal((await send(stack, PAID)).status, 200);
    const running = send(stack, PAID);
    await until(() => generations(stack.simulator) === 2);
    assert.notEqual(run('dd', ['if=/dev/zero', `of=${join(disk, 'ballast')}`, 'bs=4096']), 0, 'the disk is full');
    // NovelAI has done it and charged it: the client gets it, and the end is owed to the ledger.
    assert.equal((await running).status, 200);
    await until(() => stack.service.storage.ledger.owedCount === 1);
    stack.simulator.latency.fixedMs = 20;
    await untilRefused(stack);
    rmSync(join(disk, 'ballast'));
    await isWell(stack);
    assert.equal((await stack.audit()).truth >= 3 * PRICE_ANLAS, true);
  },
);

test('a database that may not grow, paid and free work is refused, and it recovers', async (t) => {
  const undo = undoing(t);
  const stack = await startMoneyStack();
  undo.defer(() => stack.close());
  const { store } = stack.service.storage;
  assert.equal((await send(stack, PAID)).status, 200);
  const pages = await store.read(async (db) => {
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
    return rows[0]?.page_count ?? 0;
  });
  await store.write((tx) => sql`pragma max_page_count = ${sql.lit(pages)}`.execute(tx));
  await untilRefused(stack);
  await store.write((tx) => sql`pragma max_page_count = 1000000`.execute(tx));
  await isWell(stack);
});

test('a database that can only be read for a while, paid and free work is refused, and it recovers', async (t) => {
  const undo = undoing(t);
  const stack = await startMoneyStack();
  undo.defer(() => stack.close());
  const { store } = stack.service.storage;
  const refused = new Set<string>();
  for (let round = 0; round < 50 && refused.size < 2; round += 1)
    for (const [kind, parameters] of [
      ['paid', PAID],
      ['free', {}],
    ] as const) {
      // A read turns SQLite's switch off again; the service itself reads once a second.
      await store.read((db) => sql`select 1`.execute(db));
      await store.write((tx) => sql`pragma query_only = on`.execute(tx));
      const answer = await send(stack, parameters);
      if (answer.headers['x-proxy-error'] === 'proxy_ledger_unavailable') refused.add(kind);
      else assert.equal(answer.status, 200, answer.text);
    }
  assert.deepEqual([...refused].toSorted(), ['free', 'paid']);
  await store.read((db) => sql`select 1`.execute(db));
  await isWell(stack);
});

test('a clock that goes back, no day opens twice and nothing is older than its beginning', async (t) => {
  const undo = undoing(t);
  const dataDir = tempDir(undo);
  const nextMidnightMs = (Math.floor(Date.now() / DAY_MS) + 1) * DAY_MS;
  const clock = new QuickClock({ wallMs: nextMidnightMs + HALF_HOUR_MS });
  const open = async (wallClock: QuickClock) => startMoneyStack({ dataDir, clock: wallClock });
  let stack = await open(clock);
  undo.defer(() => stack.close());
  const { token } = await stack.service.storage.clients.add('daily', { anlasPerDay: PRICE_ANLAS + 10 });
  const ask = () => send({ address: stack.address, token }, PAID);
  let answer = await ask();
  while (answer.status === 401) answer = await ask();
  assert.equal(answer.status, 200);
  const refused = async (when: string) => {
    const { status, headers } = await ask();
    assert.deepEqual([status, headers['x-proxy-error']], [402, 'policy_budget'], when);
    const retryAfter = Number(headers['retry-after']);
    assert.ok(retryAfter >= 1 && retryAfter <= 48 * 3600, `${when}: in ${retryAfter} s`);
  };
  await refused('the same day');
  clock.stepWall(-2 * HALF_HOUR_MS);
  await refused('the clock is back on the day before');
  clock.stepWall(2 * HALF_HOUR_MS + DAY_MS);
  assert.equal((await ask()).status, 200, 'a new day');
  clock.stepWall(-DAY_MS);
  await refused('the clock is back on the first day');
  await stack.close();
  stack = await open(new QuickClock({ wallMs: nextMidnightMs + HALF_HOUR_MS }));
  await refused('after a restart on the first day');

  const { attempts, differences } = await stack.ledger();
  assert.equal(differences, 0);
  for (const { reserved_at_ms, sent_at_ms, ended_at_ms } of attempts)
    assert.ok(reserved_at_ms <= (sent_at_ms ?? 0) && (sent_at_ms ?? 0) <= (ended_at_ms ?? 0), 'no negative ages');
  const days = attempts.map(({ day }) => day);
  assert.deepEqual(days, days.toSorted());
  assert.equal(new Set(days).size, 2);
});

const DAY_MS = 86_400_000;
const HALF_HOUR_MS = 1_800_000;

test('numbers that make no sense, NovelAI or the price refuses them, never the ledger', async (t) => {
  const undo = undoing(t);
  const stack = await startMoneyStack();
  undo.defer(() => stack.close());
  for (const parameters of [
    { steps: 1.5 },
    { steps: 1e300 },
    { width: 1e300 },
    { n_samples: 1e300 },
    { n_samples: 2.5 },
    { n_samples: -1 },
    { n_samples: 2 ** 60 },
    { n_samples: 1e15, width: 64, height: 64 },
    { width: 832.5, height: -64 },
  ]) {
    const { status, text } = await send(stack, parameters);
    assert.ok([200, 400, 402].includes(status), `${JSON.stringify(parameters)}: ${status} ${text}`);
  }
  await stack.settled();
  assert.deepEqual((await stack.audit()).problems, []);
  // PostgreSQL takes nothing but whole numbers.
  for (const { width, height, steps, samples, images } of (await stack.ledger()).attempts)
    for (const value of [width, height, steps, samples, images])
      assert.ok(value === null || Number.isSafeInteger(value), String(value));
});

/** Gives the exit code. */
function run(command: string, args: string[]): number | null {
  return spawnSync(command, args).status;
}

/** Why this machine lets no test have a disk of its own; false when it does. */
function mountable(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux, to mount a small disk';
  const place = mkdtempSync(join(tmpdir(), 'proxy-mount-'));
  const isMounted = run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place]) === 0;
  if (isMounted) run('umount', [place]);
  rmSync(place, { recursive: true, force: true });
  return isMounted ? false : 'this machine lets nobody mount a small disk';
}
