// Tests `client …`: tokens shown once, settings read and checked, one clear line for what is wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../support/fake-clock.ts';
import { commandLine, type Outcome } from './command-line.ts';

const TOKEN = /pst-[A-Za-z0-9]{64}/;

function assertFails({ out, err, exitCode }: Outcome, says: RegExp): void {
  assert.notEqual(exitCode, 0);
  assert.equal(out, '');
  assert.match(err, says);
  assert.equal(err.trim().split('\n').length, 1, `one line: ${err}`);
  assert.doesNotMatch(err, /\n\s+at /);
}

test('client add, the token is shown once and never again', async (t) => {
  const { run } = await commandLine(t);
  const added = await run(['client', 'add', 'bot']);
  assert.equal(added.exitCode, 0, added.err);
  assert.match(added.out, TOKEN);
  const token = TOKEN.exec(added.out)?.[0] ?? '';
  for (const args of [['list'], ['list', '--json'], ['show', 'bot'], ['show', 'bot', '--json'], ['revoke', 'bot']]) {
    const { out, exitCode } = await run(['client', ...args]);
    assert.equal(exitCode, 0);
    assert.ok(out.includes('bot') && !out.includes(token), args.join(' '));
    assert.doesNotMatch(out, /igest/);
  }
});

test('client add, every option becomes a setting', async (t) => {
  const { run } = await commandLine(t);
  const clock = new FakeClock();
  const options =
    '--expires 30d --endpoints generate-image,upscale --dialects native --weight 0.5 --priority batch --max-queued 7 ' +
    '--max-in-flight 1 --max-wait 2h --rate 30 --anlas-day 10 --anlas-month 100 --anlas-total 1000 --images-day 0 --free-only clamp --json';
  const { out, err } = await run(['client', 'add', 'bot', ...options.split(' ')], { clock });
  assert.equal(err, '');
  const { id, token, ...client } = JSON.parse(out) as Record<string, unknown>;
  assert.match(String(token), TOKEN);
  assert.match(String(id), /^c-\w{12}$/);
  assert.deepEqual(client, {
    name: 'bot',
    origin: 'database',
    createdAtMs: clock.wallMs(),
    rotatedAtMs: null,
    revokedAtMs: null,
    expiresAtMs: clock.wallMs() + 30 * 86_400_000,
    endpoints: ['generate-image', 'upscale'],
    dialects: ['native'],
    weight: 0.5,
    band: 'batch',
    maxQueued: 7,
    maxInFlight: 1,
    maxWaitMs: 7_200_000,
    requestsPerMinute: 30,
    anlasPerDay: 10,
    anlasPerMonth: 100,
    anlasTotal: 1000,
    imagesPerDay: 0,
    freeOnly: 'clamp',
  });
  const lifted = [
    '--expires',
    'never',
    '--endpoints',
    'all',
    '--rate',
    'none',
    '--anlas-day',
    'none',
    '--name',
    'robot',
  ];
  const edited = await run(['client', 'edit', 'bot', ...lifted, '--json'], { clock });
  assert.equal(edited.err, '');
  const after = JSON.parse(edited.out) as Record<string, unknown>;
  assert.deepEqual(after, {
    id,
    ...client,
    name: 'robot',
    expiresAtMs: null,
    endpoints: null,
    requestsPerMinute: null,
    anlasPerDay: null,
  });
});

test('client list, readable for people and with the clients of .env', async (t) => {
  const { run } = await commandLine(t);
  await run(['client', 'add', 'bot', '--anlas-day', '10', '--anlas-total', '500', '--free-only', 'reject']);
  await run(['client', 'add', 'old', '--expires', '2020-01-01']);
  await run(['client', 'add', 'lost phone']);
  await run(['client', 'revoke', 'lost phone']);
  const { out } = await run(['client', 'list']);
  const lines = out.split('\n');
  assert.match(lines[0] ?? '', /^NAME {2,}STATE {2,}PRIORITY/);
  assert.match(lines[1] ?? '', /^of-env {2,}active \(\.env\)/);
  assert.match(out, /^bot {2,}active {2,}interactive x1 {2,}10\/day, 500 in all {2,}no limit {2,}reject/m);
  assert.match(out, /^old {2,}expired 2020-01-01 00:00/m);
  assert.match(out, /^lost phone {2,}revoked 20/m);
  assert.ok(!out.includes('made-up-token'));
  const json = JSON.parse((await run(['client', 'list', '--json'])).out) as { name: string }[];
  assert.deepEqual(
    json.map(({ name }) => name),
    ['of-env', 'bot', 'old', 'lost phone'],
  );
});

test('client rotate, another token, shown once', async (t) => {
  const { run } = await commandLine(t);
  const first = TOKEN.exec((await run(['client', 'add', 'bot'])).out)?.[0];
  const rotated = await run(['client', 'rotate', 'bot']);
  const second = TOKEN.exec(rotated.out)?.[0];
  assert.ok(second !== undefined && second !== first);
  await run(['client', 'revoke', 'bot']);
  assertFails(await run(['client', 'rotate', 'bot']), /was revoked, which is for good; add a new one/);
});

test('client commands, what is wrong is said in one line', async (t) => {
  const { run } = await commandLine(t);
  await run(['client', 'add', 'bot']);
  assertFails(await run(['client', 'add', 'bot']), /There is a client "bot" already/);
  assertFails(await run(['client', 'add', 'of-env']), /SERVER_TOKENS.*\.env/);
  assertFails(await run(['client', 'show', 'nobody']), /There is no client "nobody"; `client list` shows all/);
  assertFails(await run(['client', 'edit', 'of-env', '--weight', '2']), /SERVER_TOKENS.*\.env/);
  assertFails(await run(['client', 'edit', 'bot', '--weight', '0']), /weight: expected 0\.01 to 1000/);
  assertFails(
    await run(['client', 'edit', 'bot', '--endpoints', 'generate-imgae']),
    /got "generate-imgae"; all of them: generate-image/,
  );
  for (const [option, value, says] of [
    ['--expires', 'soon', /never/],
    ['--expires', '2027-13-01', /never/],
    ['--rate', '1.5', /whole number/],
    ['--anlas-day', '-1', /whole number/],
    ['--weight', 'heavy', /number/],
    ['--priority', 'urgent', /interactive, batch/],
    ['--free-only', 'maybe', /off, reject, clamp/],
  ] as const)
    assertFails(await run(['client', 'edit', 'bot', option, value]), says);
  const { out } = await run(['client', 'show', 'bot']);
  assert.match(out, /^Anlas {2,}no limit$/m, 'nothing was changed by any of these');
});
