// Accounts in trouble: wrong passwords, refused tokens, no Anlas, a blocked edge, hosts that are gone.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { startSimulator } from '../../simulator/simulator.ts';
import { call } from '../support/http-client.ts';
import { generationBody, startStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

/** A port of this machine on which nothing listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('login refused at start: the service starts, answers 503 with the reason, and picks up a mended password', async (t) => {
  const stack = await startStack({
    isUnready: true,
    environment: {
      NOVELAI_ACCOUNTS: JSON.stringify([{ name: 'mine', email: 'late@example.org', password: 'made-up-pass-late' }]),
    },
  });
  t.after(() => stack.close());
  await until(() => stack.service.pool.accounts[0]?.availability('image').state === 'disabled');
  const refused = await stack.generate(generationBody());
  assert.equal(refused.status, 503);
  assert.match(refused.text, /mine: NovelAI refused the e-mail address or password/);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  const ready = await call(`${stack.address}/readyz`, { method: 'GET' });
  assert.equal(ready.status, 503);
  assert.match(ready.text, /refused the e-mail address/);

  stack.simulator.addAccount({ email: 'late@example.org', password: 'made-up-pass-late' });
  await until(() => stack.service.pool.accounts[0]?.availability('image').state === 'ready');
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('NovelAI not reachable at start: 503 at once, then well again without a restart', async (t) => {
  const port = await deadPort();
  const stack = await startStack({ isUnready: true, environment: { NOVELAI_IMAGE_URL: `http://127.0.0.1:${port}` } });
  t.after(() => stack.close());
  await until(() => stack.service.pool.accounts[0]?.session.state === 'failing');
  const refused = await stack.generate(generationBody());
  assert.equal(refused.status, 503);
  assert.match(refused.text, /could not be reached/);
  const late = await startSimulator({
    port,
    fixedLatencyMs: 10,
    imageScale: 0.05,
    accounts: [{ email: 'owner-1@example.org', password: 'made-up-pass-1' }],
  });
  t.after(() => late.close());
  await until(() => stack.service.pool.accounts[0]?.availability('image').state === 'ready');
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('one account of two has wrong credentials: the other serves everything', async (t) => {
  const stack = await startStack({
    isUnready: true,
    accounts: 2,
    environment: {
      NOVELAI_ACCOUNTS: JSON.stringify([
        { name: 'bad', email: 'nobody@example.org', password: 'made-up-wrong' },
        { name: 'good', email: 'owner-1@example.org', password: 'made-up-pass-1' },
      ]),
      SHOW_ACCOUNT: 'on',
    },
  });
  t.after(() => stack.close());
  await until(
    () => stack.service.pool.accounts[0]?.session.state === 'refused' && stack.service.pool.readiness().isReady,
  );
  const answers = await Promise.all(Array.from({ length: 5 }, () => stack.generate(generationBody())));
  for (const { status, headers } of answers) assert.deepEqual([status, headers['x-account']], [200, 'good']);
});

test('a persistent token alone is an account; NOVEL_TOKEN beside a login is used until it is refused', async (t) => {
  const persistentToken = `pst-${'a1B2c3D4'.repeat(8)}`;
  const stack = await startStack({
    eachAccount: (account) => ({ ...account, persistentToken }),
    environment: {
      NOVELAI_ACCOUNTS: '',
      NOVEL_TOKEN: persistentToken,
      NOVELAI_USERNAME: 'owner-1@example.org',
      NOVELAI_PASSWORD: 'made-up-pass-1',
    },
  });
  t.after(() => stack.close());
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.equal(stack.simulator.truth.totals().logins, 0, 'the token was enough');
  stack.simulator.revokeTokens();
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.equal(stack.simulator.truth.totals().logins, 1);
});

test("a token without a login that is refused: 503 with the reason, never a 401 that is not the client's", async (t) => {
  const persistentToken = `pst-${'a1B2c3D4'.repeat(8)}`;
  const stack = await startStack({
    eachAccount: (account) => ({ ...account, persistentToken }),
    environment: { NOVELAI_ACCOUNTS: '', NOVEL_TOKEN: persistentToken },
  });
  t.after(() => stack.close());
  stack.simulator.revokeTokens();
  const first = await stack.generate(generationBody());
  assert.equal(first.status, 503);
  const second = await stack.generate(generationBody());
  assert.match(second.text, /NovelAI refuses its token/);
});

test('403 as JSON renews the token like 401', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.faults.add({ path: '/ai/generate-image', times: 1, kind: 'status', status: 403 });
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.equal(stack.simulator.truth.totals().logins, 2);
});

test('402 passes through when no account can pay, and the work then goes to the one that can', async (t) => {
  const stack = await startStack({
    accounts: 2,
    eachAccount: (account, index) => ({ ...account, fixedAnlas: index === 0 ? 5 : 100 }),
    environment: { SHOW_ACCOUNT: 'on' },
  });
  t.after(() => stack.close());
  const paid = generationBody({ parameters: { steps: 50 } });
  const answer = await stack.generate(paid);
  assert.deepEqual([answer.status, answer.headers['x-account']], [200, 'acc-2']);
  const tooDear = await stack.generate(
    generationBody({ parameters: { width: 1024, height: 1536, n_samples: 4, steps: 28 } }),
  );
  assert.equal(tooDear.status, 402);
  assert.equal(tooDear.headers['content-type'], 'application/json');
  assert.match(tooDear.text, /Not enough Anlas/);
});

test('free work spares the account that holds Anlas', async (t) => {
  const stack = await startStack({
    accounts: 2,
    eachAccount: (account, index) => ({ ...account, fixedAnlas: index === 0 ? 5000 : 0 }),
    environment: { SHOW_ACCOUNT: 'on' },
  });
  t.after(() => stack.close());
  for (let count = 0; count < 5; count += 1)
    assert.equal((await stack.generate(generationBody())).headers['x-account'], 'acc-2');
});

test('two hosts, one of them gone: every request is served by the other', async (t) => {
  const port = await deadPort();
  const stack = await startStack({ accounts: 2 });
  t.after(() => stack.close());
  const both = await startStack({
    isUnready: true,
    environment: {
      NOVELAI_IMAGE_URL: `http://127.0.0.1:${port},${stack.simulator.imageUrl}`,
      NOVELAI_ACCOUNTS: accountsOf(2),
    },
  });
  t.after(() => both.close());
  await until(() => both.service.pool.accounts.every((account) => account.availability('image').state === 'ready'));
  const answers = await Promise.all(Array.from({ length: 20 }, () => both.generate(generationBody())));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
});

function accountsOf(count: number): string {
  return JSON.stringify(
    Array.from({ length: count }, (_, index) => ({
      name: `acc-${index + 1}`,
      email: `owner-${index + 1}@example.org`,
      password: `made-up-pass-${index + 1}`,
    })),
  );
}
