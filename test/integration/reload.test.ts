// A new configuration for a running service: what changes takes effect, what stays is left alone, and nothing running is harmed.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test, type TestContext } from 'node:test';
import { startSimulator } from '../../simulator/simulator.ts';
import { ConfigError, readConfig } from '../../src/config/load-config.ts';
import type { ReloadReport } from '../../src/cli/service.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../support/http-client.ts';
import { generationBody, madeUpAccounts, startStack, type Stack, type StackOptions } from '../support/stack.ts';
import { until } from '../support/until.ts';

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

const PERSISTENT = `pst-${'a1B2c3D4'.repeat(8)}`;
/** Over soon, so that nobody rests for long after it. */
const SMALL = { width: 256, height: 256, steps: 4 };

async function start(context: TestContext, options: StackOptions = {}): Promise<Stack> {
  const stack = await startStack({
    simulator: { fixedLatencyMs: 600 },
    ...options,
    environment: { SHOW_ACCOUNT: 'on', ...options.environment },
  });
  context.after(() => stack.close());
  return stack;
}

function reload({ service, environment }: Stack, changes: Record<string, string>): ReloadReport {
  return service.reload(readConfig({ ...environment, ...changes }));
}

/** The stack's accounts under their usual names, to be changed by a test. */
function named(count: number) {
  return madeUpAccounts(count).map(({ email, password }, index) => ({ name: `acc-${index + 1}`, email, password }));
}

const accounts = (list: readonly object[]) => ({ NOVELAI_ACCOUNTS: JSON.stringify(list) });
const allReady = ({ service }: Stack) =>
  until(() => service.pool.accounts.every((account) => account.availability('image').state === 'ready'));
const many = (stack: Stack, count: number) =>
  Array.from({ length: count }, (_, index) =>
    stack.generate(generationBody({ prompt: `picture ${index}` }), { agent }),
  );

test('reload, the same again: nothing is reported, no account logs in again', async (context) => {
  const stack = await start(context, { accounts: 2 });
  const before = [...stack.service.pool.accounts];
  const unchanged = { added: [], removed: [], replaced: [] };
  assert.deepEqual(reload(stack, {}), { changed: [], needRestart: [], accounts: unchanged, clients: unchanged });
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.deepEqual(stack.service.pool.accounts, before);
  assert.equal(stack.simulator.truth.totals().logins, 2);
});

test('reload, accounts added, removed and replaced while work runs and waits: all served, one at a time, the others keep their sessions', async (context) => {
  const stack = await start(context, { accounts: 3, environment: accounts(named(2)) });
  const [one, two, three] = named(3);
  assert.ok(one && two && three);
  const sent = many(stack, 12);
  await until(() => stack.service.running === 2 && stack.service.queue.stats('image').queued >= 6);
  const begun = stack.simulator.truth.account(one.email).generations;
  const report = reload(stack, accounts([{ ...two, concurrency: 2 }, three]));
  assert.deepEqual(report.accounts, { added: ['acc-3'], removed: ['acc-1'], replaced: ['acc-2'] });
  const answers = await Promise.all(sent);
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  const served = answers.map(({ headers }) => headers['x-account']);
  assert.ok(served.filter((name) => name === 'acc-1').length <= begun + 1, 'what was on its way to it, and no more');
  assert.ok(served.filter((name) => name === 'acc-3').length >= 1, String(served));
  const truth = (email: string) => stack.simulator.truth.account(email);
  assert.equal(truth(one.email).greatestOverlap, 1);
  assert.equal(truth(three.email).greatestOverlap, 1);
  assert.deepEqual(
    [one, two, three].map(({ email }) => truth(email).logins),
    [1, 2, 1],
  );
});

for (const [what, change] of [
  ['another name', { name: 'renamed' }],
  ['a token instead of its login', { email: undefined, password: undefined, token: PERSISTENT }],
] as const)
  test(`reload, an account that works gets ${what}: it still runs one generation at a time`, async (context) => {
    const stack = await start(context, { eachAccount: (account) => ({ ...account, persistentToken: PERSISTENT }) });
    const [one] = named(1);
    const sent = many(stack, 4);
    await until(() => stack.service.running === 1 && stack.service.queue.stats('image').queued === 3);
    const { replaced, added } = reload(stack, accounts([{ ...one, ...change }])).accounts;
    assert.equal(replaced.length + added.length, 1);
    assert.deepEqual(
      (await Promise.all(sent)).map(({ status }) => status),
      [200, 200, 200, 200],
    );
    const { greatestOverlap, lockRefusals, generations } = stack.simulator.truth.totals();
    assert.deepEqual(
      { greatestOverlap, lockRefusals, generations },
      { greatestOverlap: 1, lockRefusals: 0, generations: 4 },
    );
  });

test('reload, an account replaced while its client leaves: the new one rests until NovelAI is surely done with the old request', async (context) => {
  const stack = await start(context, { simulator: { fixedLatencyMs: 1500 }, environment: { DRAIN_TIMEOUT: '100ms' } });
  const [one] = named(1);
  assert.ok(one);
  let leave: () => void = () => assert.fail('nothing was sent');
  const left = assert.rejects(
    stack.generate(generationBody({ parameters: SMALL }), {
      onRequest: (request) => (leave = () => void request.destroy()),
    }),
  );
  await until(() => stack.simulator.truth.totals().generations === 1);
  reload(stack, { DRAIN_TIMEOUT: '100ms', ...accounts([{ ...one, name: 'renamed' }]) });
  leave();
  await left;
  assert.equal((await stack.generate(generationBody())).status, 200);
  const { greatestOverlap, lockRefusals } = stack.simulator.truth.totals();
  assert.deepEqual({ greatestOverlap, lockRefusals }, { greatestOverlap: 1, lockRefusals: 0 });
});

test('reload, tokens: a removed one gets 401 and what it has waiting is served, a new one is served', async (context) => {
  const stack = await start(context, { clients: 2 });
  const [mine = '', gone = ''] = stack.tokens;
  const fresh = newClientToken();
  const sent = [mine, gone, gone].map((token) => stack.generate(generationBody(), { token, agent }));
  await until(() => stack.service.running === 1 && stack.service.queue.stats('image').queued === 2);
  const report = reload(stack, { SERVER_TOKENS: `client-1:${mine},late:${fresh}` });
  assert.deepEqual(report.clients, { added: ['late'], removed: ['client-2'], replaced: [] });
  assert.equal((await stack.generate(generationBody(), { token: gone })).status, 401);
  assert.equal((await stack.generate(generationBody(), { token: fresh })).status, 200);
  assert.deepEqual(
    (await Promise.all(sent)).map(({ status }) => status),
    [200, 200, 200],
  );
});

test('reload, limits and policies hold for the next request', async (context) => {
  const stack = await start(context, { clients: 2, simulator: { fixedLatencyMs: 1200 } });
  const origin = 'https://page.example.org';
  const report = reload(stack, {
    BODY_LIMIT: '200b',
    CORS_ORIGINS: 'off',
    SHOW_ACCOUNT: 'off',
    LOG_LEVEL: 'error',
    QUEUE_LIMIT_PER_CLIENT: '1',
  });
  assert.deepEqual(report.changed, [
    'CORS_ORIGINS',
    'QUEUE_LIMIT_PER_CLIENT',
    'BODY_LIMIT',
    'LOG_LEVEL',
    'SHOW_ACCOUNT',
  ]);
  const tooLarge = await stack.generate(generationBody(), { headers: { origin } });
  assert.deepEqual([tooLarge.status, tooLarge.headers['access-control-allow-origin']], [413, undefined]);
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
    const { status } = await call(`${stack.address}/v1/price`, {
      body: generationBody(),
      headers: { authorization: `Bearer ${stack.token}`, ...headers },
    });
    assert.equal(status, 413, 'on its own routes as well');
  }
  reload(stack, { SHOW_ACCOUNT: 'off', QUEUE_LIMIT_PER_CLIENT: '1', QUEUE_LIMIT: '2' });
  const [a = '', b = ''] = stack.tokens;
  const sent = [stack.generate(generationBody(), { token: a, agent })];
  await until(() => stack.service.running === 1);
  for (const token of [a, b]) sent.push(stack.generate(generationBody(), { token, agent }));
  await until(() => stack.service.queue.stats('image').queued === 2);
  assert.equal((await stack.generate(generationBody(), { token: a })).headers['x-proxy-error'], 'client_queue_full');
  reload(stack, { SHOW_ACCOUNT: 'off', QUEUE_LIMIT: '2' });
  assert.equal((await stack.generate(generationBody(), { token: b })).headers['x-proxy-error'], 'proxy_queue_full');
  for (const { status, headers } of await Promise.all(sent))
    assert.deepEqual([status, headers['x-account']], [200, undefined]);
});

test('reload, times: a request that comes afterwards is held to the new ones, one that runs to the old ones', async (context) => {
  const stack = await start(context, { accounts: 2, simulator: { fixedLatencyMs: 700 } });
  const running = stack.generate(generationBody(), { agent });
  await until(() => stack.service.running === 1);
  reload(stack, { UPSTREAM_TIMEOUT: '250ms', CONNECT_TIMEOUT: '200ms' });
  const late = await stack.generate(generationBody());
  assert.deepEqual([late.status, late.headers['x-proxy-error']], [504, 'upstream_timeout']);
  assert.equal((await running).status, 200);
  reload(stack, {});
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('reload, another address of NovelAI: what runs ends at the old one, what comes goes to the new one', async (context) => {
  const stack = await start(context, { accounts: 2 });
  const other = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts: madeUpAccounts(2) });
  context.after(() => other.close());
  const running = stack.generate(generationBody(), { agent });
  await until(() => stack.service.running === 1);
  reload(stack, { NOVELAI_IMAGE_URL: other.imageUrl });
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.equal((await running).status, 200);
  assert.deepEqual(
    [stack.simulator, other].map(({ truth }) => truth.totals().succeeded),
    [1, 1],
  );
});

test('reload, what needs a restart is named and stays as it was', async (context) => {
  const stack = await start(context);
  const restart = { PORT: '1', HOST: '0.0.0.0', LOG_DIR: 'elsewhere', SECRET_KEY: 'another-made-up-key', BANK: 'off' };
  const { needRestart, changed } = reload(stack, restart);
  assert.deepEqual([needRestart.toSorted(), changed], [Object.keys(restart).toSorted(), []]);
  assert.deepEqual(reload(stack, restart).needRestart.toSorted(), Object.keys(restart).toSorted(), 'told again');
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('reload, with no account or no client left it is refused and nothing changes', async (context) => {
  const stack = await start(context);
  for (const changes of [
    { NOVELAI_ACCOUNTS: '[]', SERVER_TOKENS: '' },
    { NOVELAI_ACCOUNTS: '[]' },
    { SERVER_TOKENS: '' },
  ])
    assert.throws(
      () => reload(stack, { ...changes, SHOW_ACCOUNT: 'off' }),
      (error) => error instanceof ConfigError && error.faults.length === Object.keys(changes).length,
    );
  const answer = await stack.generate(generationBody());
  assert.deepEqual([answer.status, answer.headers['x-account']], [200, 'acc-1']);
});

test('reload, accounts and clients of the database stay; one that shares its name with one of the environment steps back', async (context) => {
  const stack = await start(context, { accounts: 2, environment: accounts(named(1)) });
  const { storage, pool } = stack.service;
  const [one, two] = named(2);
  assert.ok(one && two);
  await storage.accounts.add({ name: 'stored', email: two.email, password: two.password });
  await until(() => pool.accounts.length === 2);
  await allReady(stack);
  reload(stack, accounts([{ ...one, name: 'renamed' }]));
  assert.deepEqual(pool.accounts.map(({ name }) => name).toSorted(), ['renamed', 'stored']);
  await assert.rejects(storage.accounts.add({ name: 'renamed', token: 'made-up-token' }));
  reload(stack, accounts([{ ...one, name: 'stored' }]));
  assert.deepEqual(
    pool.accounts.map(({ name, session }) => [name, session.logins <= 1]),
    [['stored', true]],
  );
  reload(stack, accounts([one]));
  assert.deepEqual(pool.accounts.map(({ name }) => name).toSorted(), ['acc-1', 'stored']);
  await allReady(stack);
  assert.equal((await stack.generate(generationBody())).status, 200);
});
