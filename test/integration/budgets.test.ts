// Clients with limits of their own: budgets to the unit under a rush, rates, scopes, free-only, and what is at rest.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { call } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
/** 17 Anlas on any account that is no Opus (contract 7.3, row 10); 832x1216, 23 steps. */
const COST_ANLAS = 17;

/** A stack whose accounts pay for everything, so that each request costs {@link COST_ANLAS}. */
function payingStack(): Promise<Stack> {
  return startStack({ accounts: 3, eachAccount: (account) => ({ ...account, tier: 1, fixedAnlas: 5000 }) });
}

/** Adds a client and waits until the service knows it. */
async function addClient(stack: Stack, settings: Record<string, unknown>): Promise<{ token: string; id: string }> {
  const { token, client } = await stack.service.storage.clients.add(
    `limited-${Math.random().toString(36).slice(2)}`,
    settings,
  );
  await until(() => stack.service.clients.find(token) !== undefined);
  return { token, id: client.id };
}

const statuses = (answers: { status: number }[]) => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

test('200 parallel requests against a budget for 10: exactly 10, and the books balance', async (t) => {
  const stack = await payingStack();
  t.after(() => stack.close());
  const { token } = await addClient(stack, { anlasTotal: 10 * COST_ANLAS });
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => stack.generate(generationBody({ prompt: `${index}` }), { token, agent })),
  );
  assert.deepEqual(statuses(answers), { 200: 10, 402: 190 });
  const refused = answers.find(({ status }) => status === 402);
  assert.match(refused?.text ?? '', /budget of 170 Anlas in all/);
  assert.equal(refused?.headers['x-proxy-error'], 'policy_budget');
  await stack.settled();
  assert.equal(stack.simulator.truth.totals().chargedAnlas, 10 * COST_ANLAS);
  const { ledger } = stack.service.storage;
  await until(() => ledger.owedCount === 0);
  assert.deepEqual(await ledger.verify(), []);
  const [row] = await ledger.report({ by: 'client' });
  assert.equal(row?.chargedAnlas, 10 * COST_ANLAS);
});

test('images a day: exactly as many, and a refused request uses up nothing', async (t) => {
  const stack = await startStack({ accounts: 3 });
  t.after(() => stack.close());
  const { token } = await addClient(stack, { imagesPerDay: 7 });
  // NovelAI refuses these: they must not count.
  for (let index = 0; index < 5; index += 1)
    assert.equal((await stack.generate(generationBody({ model: 'no-such-model' }), { token })).status, 400);
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, index) => stack.generate(generationBody({ prompt: `${index}` }), { token, agent })),
  );
  assert.deepEqual(statuses(answers), { 200: 7, 402: 53 });
  assert.ok(Number(answers.find(({ status }) => status === 402)?.headers['retry-after']) > 0);
});

test('most at once: never more than that at NovelAI, and none refused', async (t) => {
  const stack = await startStack({ accounts: 4, simulator: { fixedLatencyMs: 30 } });
  t.after(() => stack.close());
  const { token } = await addClient(stack, { maxInFlight: 2 });
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, stack.service.running)), 1);
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => stack.generate(generationBody(), { token, agent })),
  );
  clearInterval(watch);
  assert.deepEqual(statuses(answers), { 200: 40 });
  assert.equal(most, 2);
});

test('rate, scope and expiry: refused with the reason, nothing sent', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const slow = await addClient(stack, { requestsPerMinute: 2 });
  const rated = [];
  for (let index = 0; index < 3; index += 1) rated.push(await stack.generate(generationBody(), { token: slow.token }));
  assert.deepEqual(
    rated.map(({ status }) => status),
    [200, 200, 429],
  );
  assert.ok(Number(rated[2]?.headers['retry-after']) >= 1);
  const narrow = await addClient(stack, { endpoints: ['upscale'] });
  const outside = await stack.generate(generationBody(), { token: narrow.token });
  assert.deepEqual([outside.status, outside.headers['x-proxy-error']], [403, 'policy_scope']);
  assert.equal(stack.simulator.truth.totals().generations, 2);
});

test('free only: refused by name of the field, or made smaller and told so', async (t) => {
  const stack = await startStack({ simulator: { recordsBodies: true } });
  t.after(() => stack.close());
  const dear = generationBody({ parameters: { steps: 50, n_samples: 4 } });
  const strict = await addClient(stack, { freeOnly: 'reject' });
  const refused = await stack.generate(dear, { token: strict.token });
  assert.deepEqual([refused.status, refused.headers['x-proxy-error']], [402, 'policy_free_only']);
  assert.match(refused.text, /steps|n_samples/);
  const soft = await addClient(stack, { freeOnly: 'clamp' });
  const clamped = await stack.generate(dear, { token: soft.token });
  assert.equal(clamped.status, 200);
  assert.match(String(clamped.headers['x-proxy-changed']), /steps 50->28/);
  assert.match(String(clamped.headers['x-proxy-changed']), /n_samples 4->1/);
  const sent = JSON.parse(
    String(stack.simulator.truth.rows().findLast(({ endpoint }) => endpoint === 'generate-image')?.body),
  ) as {
    parameters: { steps: number; n_samples: number };
  };
  assert.deepEqual([sent.parameters.steps, sent.parameters.n_samples], [28, 1]);
  assert.equal(stack.simulator.truth.totals().chargedAnlas, 0);
});

test('/user/subscription, shows a client its own budget as its Anlas', async (t) => {
  const stack = await payingStack();
  t.after(() => stack.close());
  const { token } = await addClient(stack, { anlasPerDay: 100, anlasTotal: 500 });
  const shown = async () => {
    const answer = await call(`${stack.address}/user/subscription`, {
      method: 'GET',
      headers: { authorization: `Bearer ${token}` },
    });
    const { trainingStepsLeft: left } = JSON.parse(answer.text) as { trainingStepsLeft: Record<string, number> };
    return (left['fixedTrainingStepsLeft'] ?? 0) + (left['purchasedTrainingSteps'] ?? 0);
  };
  assert.equal(await shown(), 100);
  assert.equal((await stack.generate(generationBody(), { token })).status, 200);
  await until(() => stack.service.storage.ledger.owedCount === 0);
  assert.equal(await shown(), 100 - COST_ANLAS);
});

test('at rest, the data folder holds no token or password in the clear', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const { token } = await addClient(stack, {});
  const account = {
    name: 'kept',
    email: 'kept@example.org',
    password: 'made-up-pass-kept',
    token: `pst-${'K3ptT0k3'.repeat(8)}`,
  };
  await stack.service.storage.accounts.add(account);
  await stack.generate(generationBody(), { token });
  const files = readdirSync(join(stack.dir, 'data'), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const bytes = Buffer.concat(files.map((entry) => readFileSync(join(entry.parentPath, entry.name))));
  assert.ok(files.some(({ name }) => name === 'proxy.db') && bytes.length > 10_000);
  assert.ok(bytes.includes('limited-'), 'names are kept in the clear, so this looks in the right place');
  for (const secret of [token, token.slice(4), account.password, account.token, account.email, ...stack.secrets])
    assert.ok(!bytes.includes(secret), `the data folder holds ${secret}`);
});
