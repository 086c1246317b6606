// Reads: no queue, no slot; answers that are the same for everybody are kept for a while and asked for once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const TAGS = '/ai/generate-image/suggest-tags?model=nai-diffusion-4-5-full&prompt=';
const VOICE = '/ai/generate-voice?text=Hello&seed=Aini&voice=-1&version=v2&opus=false';

function get({ address, token }: Stack, path: string, headers: Record<string, string> = {}) {
  return call(address + path, { method: 'GET', headers: { authorization: `Bearer ${token}`, ...headers } });
}

function seen({ simulator }: Stack, path: string) {
  return simulator.truth.rows().filter((row) => row.path === path.split('?')[0]);
}

test('reads, all accounts generating: answered at once, and no generation is disturbed', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'delay', endpoint: 'generate-image', delayMs: 1000 });
  const generation = stack.generate(generationBody());
  await until(() => stack.service.running === 1);
  const [tags, voice, count] = await Promise.all([
    get(stack, `${TAGS}smi`),
    get(stack, VOICE),
    call(`${stack.address}/oa/v1/internal/token-count`, {
      headers: { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' },
      body: '{"model":"glm-4-6","prompt":"Hello"}',
    }),
  ]);
  assert.equal(stack.service.running, 1, 'the generation still runs');
  assert.deepEqual([tags.status, voice.status, count.status], [200, 200, 200]);
  assert.equal((await generation).status, 200);
  assert.equal(stack.simulator.truth.totals().greatestOverlap, 1);
  assert.equal(stack.simulator.truth.totals().lockRefusals, 0);
});

test('reads, spread over the accounts', async (t) => {
  const stack = await startStack({ accounts: 3 });
  t.after(() => stack.close());
  for (let index = 0; index < 6; index += 1) assert.equal((await get(stack, VOICE)).status, 200);
  const byAccount = Map.groupBy(seen(stack, VOICE), ({ account }) => account);
  assert.deepEqual(
    [...byAccount.values()].map(({ length }) => length),
    [2, 2, 2],
  );
});

test('shared reads, the same asked again: from the store, with other queries kept apart', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const first = await get(stack, `${TAGS}smi`);
  const again = await get(stack, `${TAGS}smi`);
  const other = await get(stack, `${TAGS}cat`);
  const otherForm = await get(stack, `${TAGS}smi`, { 'accept-language': 'ja' });
  assert.equal(again.text, first.text);
  assert.notEqual(other.text, first.text);
  assert.deepEqual(
    [first, again, other, otherForm].map(({ headers }) => headers['x-proxy-cache']),
    [undefined, 'hit', undefined, undefined],
  );
  assert.notEqual(again.headers['x-request-id'], first.headers['x-request-id']);
  assert.equal(again.headers['content-type'], 'application/json');
  assert.equal(seen(stack, TAGS).length, 3);
});

test('shared reads, 20 at the same time: one call for all', async (t) => {
  const stack = await startStack({ clients: 2 });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'delay', endpoint: 'suggest-tags', delayMs: 200 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(stack, `${TAGS}smi`)));
  assert.equal(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size, 1);
  assert.equal(answers[0]?.status, 200);
  assert.equal(answers.filter(({ headers }) => headers['x-proxy-cache'] === 'shared').length, 19);
  assert.equal(seen(stack, TAGS).length, 1);
});

test('shared reads, the first asker leaves: the others still get the answer', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'delay', endpoint: 'suggest-tags', delayMs: 300 });
  const first = call(`${stack.address}${TAGS}smi`, {
    method: 'GET',
    headers: { authorization: `Bearer ${stack.token}` },
    onRequest: (request) => setTimeout(() => request.destroy(), 100),
  });
  const second = get(stack, `${TAGS}smi`);
  await assert.rejects(first);
  assert.equal((await second).status, 200);
  assert.equal(seen(stack, TAGS).length, 1);
});

for (const [what, fault, status] of [
  ['an error', { kind: 'status', status: 500 }, 500],
  ['garbage', { kind: 'garbage' }, 200],
] as const)
  test(`shared reads, ${what}: passed on, and not kept`, async (t) => {
    const stack = await startStack();
    t.after(() => stack.close());
    stack.simulator.faults.add({ ...fault, endpoint: 'suggest-tags', times: 1 });
    const spoilt = await get(stack, `${TAGS}smi`);
    assert.equal(spoilt.status, status);
    assert.equal(spoilt.sha256, seen(stack, TAGS)[0]?.answerSha256);
    const next = await get(stack, `${TAGS}smi`);
    assert.equal(next.status, 200);
    assert.match(next.text, /"tag":"smile"/);
    assert.equal(next.headers['x-proxy-cache'], undefined);
  });

test('reads, a refused token: one login, and the read is answered', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.expireTokens();
  const answers = await Promise.all(Array.from({ length: 8 }, () => get(stack, VOICE)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(stack.simulator.truth.totals().logins, 2, 'the first one and the renewal');
});

test('reads, an account that NovelAI turns away: another one answers, and no account is thrown out for it', async (t) => {
  const stack = await startStack({ accounts: 2 });
  t.after(() => stack.close());
  const [account] = stack.simulator.accounts;
  for (const status of [403, 429, 402])
    stack.simulator.faults.add({
      kind: 'status',
      status,
      body: status === 403 ? 'html' : 'json',
      endpoint: 'generate-voice',
      account: account?.email ?? '',
      times: 1,
    });
  for (let index = 0; index < 8; index += 1) assert.equal((await get(stack, VOICE)).status, 200);
  assert.equal(stack.simulator.truth.totals().faults, 3);
  assert.ok(stack.service.pool.accounts.every((one) => one.availability('image').state === 'ready'));
});

test('reads, refusals and failures everywhere: the last answer stands, accounts stay as they were', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const rule = stack.simulator.faults.add({ kind: 'status', status: 429, endpoint: 'generate-voice' });
  assert.equal((await get(stack, VOICE)).status, 429);
  stack.simulator.faults.remove(rule);
  for (let index = 0; index < 7; index += 1) {
    const rules = ['status', 'reset-before-headers'] as const;
    const id = stack.simulator.faults.add({ kind: rules[index % 2] ?? 'status', endpoint: 'generate-voice' });
    const answer = await get(stack, VOICE);
    assert.equal(answer.status, index % 2 === 0 ? 500 : 502);
    stack.simulator.faults.remove(id);
  }
  assert.equal(stack.service.pool.accounts[0]?.availability('image').state, 'ready');
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('reads, a connection that breaks once: asked again, since it costs nothing', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'reset-before-headers', endpoint: 'generate-voice', times: 1 });
  assert.equal((await get(stack, VOICE)).status, 200);
  assert.equal(seen(stack, VOICE).length, 2);
});

test('reads, the client leaves: the call is ended at once', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'hang', endpoint: 'generate-voice' });
  const left = call(`${stack.address}${VOICE}`, {
    method: 'GET',
    headers: { authorization: `Bearer ${stack.token}` },
    onRequest: (request) => setTimeout(() => request.destroy(), 150),
  });
  await assert.rejects(left);
  await until(() => seen(stack, VOICE)[0]?.endMs !== undefined, 2000);
  assert.ok(seen(stack, VOICE)[0]?.wasClientGone);
});

test('reads, no account can log in: 503 with Retry-After', async (t) => {
  const stack = await startStack({
    isUnready: true,
    environment: {
      NOVELAI_ACCOUNTS: JSON.stringify([{ name: 'x', email: 'no@example.org', password: 'made-up-none' }]),
    },
  });
  t.after(() => stack.close());
  const answer = await get(stack, VOICE);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers['x-proxy-error'], 'upstream_no_account');
  assert.ok(Number(answer.headers['retry-after']) > 0);
});

test('reads, asked while the first login is under way: they wait for it', async (t) => {
  const stack = await startStack({ isUnready: true });
  t.after(() => stack.close());
  assert.equal((await get(stack, VOICE)).status, 200);
});
