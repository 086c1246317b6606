// The queue as clients meet it: places and forecasts of their own requests, priorities, deadlines, limits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueView } from '../../src/dialects/jobs/queue-view.ts';
import { call } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

async function view(stack: Stack, token: string): Promise<QueueView> {
  const answer = await call(`${stack.address}/v1/queue`, {
    method: 'GET',
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(answer.status, 200);
  return JSON.parse(answer.text) as QueueView;
}

/** The prompts in the order NovelAI got them. */
function order(stack: Stack): string[] {
  return stack.simulator.truth
    .rows()
    .filter(({ endpoint }) => endpoint === 'generate-image')
    .map(({ body }) => (JSON.parse(String(body)) as { input: string }).input);
}

test("GET /v1/queue, a client sees its own requests with places and forecasts, never another's", async (t) => {
  const stack = await startStack({ clients: 2, simulator: { fixedLatencyMs: 900 } });
  t.after(() => stack.close());
  const [mine = '', other = ''] = stack.tokens;
  const running = stack.generate(generationBody({ prompt: 'running' }), { token: mine });
  await until(() => stack.service.running === 1);
  const waiting = [
    stack.generate(generationBody({ prompt: 'mine 1' }), { token: mine }),
    stack.generate(generationBody({ prompt: 'mine 2' }), { token: mine }),
    stack.generate(generationBody({ prompt: 'theirs' }), { token: other }),
  ];
  await until(() => stack.service.queue.stats('image').queued === 3);
  const seen = await view(stack, mine);
  assert.equal(seen.waiting.length, 2);
  assert.equal(seen.waitingCount, 2);
  const shortened = await call(`${stack.address}/v1/queue?limit=1`, {
    method: 'GET',
    headers: { authorization: `Bearer ${mine}` },
  });
  const { waiting: firstOnly, waitingCount } = JSON.parse(shortened.text) as QueueView;
  assert.deepEqual([firstOnly.map(({ requestId }) => requestId), waitingCount], [[seen.waiting[0]?.requestId], 2]);
  for (const limit of ['0', '1001', 'x', '-1']) {
    const refused = await call(`${stack.address}/v1/queue?limit=${limit}`, {
      method: 'GET',
      headers: { authorization: `Bearer ${mine}` },
    });
    assert.equal(refused.status, 400);
    assert.match(refused.text, /limit: expected a whole number from 1 to 1000/);
  }
  assert.deepEqual(seen.totals.image, { waiting: 3, running: 1, slots: 1, idleSlots: 0 });
  for (const { position, etaP50Seconds, etaP90Seconds, endpoint } of seen.waiting) {
    assert.equal(endpoint, 'generate-image');
    assert.ok(position >= 1 && position <= 3);
    assert.ok(etaP50Seconds !== null && etaP90Seconds !== null && etaP50Seconds <= etaP90Seconds);
  }
  const theirs = await view(stack, other);
  assert.equal(theirs.waiting.length, 1);
  const ids = new Set(seen.waiting.map(({ requestId }) => requestId));
  assert.ok(theirs.waiting.every(({ requestId }) => !ids.has(requestId)));
  await Promise.all([running, ...waiting]);
  assert.deepEqual((await view(stack, mine)).waiting, []);
});

test("GET /v1/queue without a token: 401 in NovelAI's form", async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const answer = await call(`${stack.address}/v1/queue`, { method: 'GET' });
  assert.deepEqual([answer.status, answer.headers['content-type']], [401, 'application/json']);
});

test('x-priority: batch goes after what came later, and is not starved', async (t) => {
  const stack = await startStack({ clients: 2, simulator: { fixedLatencyMs: 400, recordsBodies: true } });
  t.after(() => stack.close());
  const [first = '', second = ''] = stack.tokens;
  const all = [stack.generate(generationBody({ prompt: 'running' }), { token: first })];
  await until(() => stack.service.running === 1);
  for (let index = 0; index < 3; index += 1)
    all.push(stack.generate(generationBody({ prompt: 'batch' }), { token: first, headers: { 'x-priority': 'batch' } }));
  await until(() => stack.service.queue.stats('image').queued === 3);
  for (let index = 0; index < 3; index += 1)
    all.push(stack.generate(generationBody({ prompt: 'interactive' }), { token: second }));
  await Promise.all(all);
  assert.deepEqual(order(stack), ['running', 'interactive', 'interactive', 'interactive', 'batch', 'batch', 'batch']);
});

test('x-queue-timeout: a request that cannot start in time is refused, at once or at its deadline, with Retry-After', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 700 } });
  t.after(() => stack.close());
  const running = stack.generate(generationBody());
  await until(() => stack.service.running === 1);
  const late = await stack.generate(generationBody(), { headers: { 'x-queue-timeout': '200ms' } });
  assert.equal(late.status, 503);
  assert.equal(late.headers['x-proxy-error'], 'proxy_queue_timeout');
  assert.ok(Number(late.headers['retry-after']) >= 1);
  assert.equal((await running).status, 200);
});

test('x-deadline in the past, unknown priority: 400 naming the field, nothing sent', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  for (const [name, value] of [
    ['x-deadline', '2001-01-01T00:00:00Z'],
    ['x-priority', 'urgent'],
    ['x-queue-timeout', '-1s'],
  ] as const) {
    const answer = await stack.generate(generationBody(), { headers: { [name]: value } });
    assert.equal(answer.status, 400);
    assert.match(answer.text, new RegExp(name));
  }
  assert.equal(stack.simulator.truth.totals().generations, 0);
});

test('queue limits, per client 429 and in all 503, both with Retry-After; others are not touched', async (t) => {
  const stack = await startStack({
    clients: 3,
    simulator: { fixedLatencyMs: 400 },
    environment: { QUEUE_LIMIT: '4', QUEUE_LIMIT_PER_CLIENT: '2' },
  });
  t.after(() => stack.close());
  const [a = '', b = '', c = ''] = stack.tokens;
  const running = stack.generate(generationBody(), { token: a });
  await until(() => stack.service.running === 1);
  const waiting = [a, a, b, b].map((token) => stack.generate(generationBody(), { token }));
  await until(() => stack.service.queue.stats('image').queued === 4);
  const tooMany = await stack.generate(generationBody(), { token: a });
  assert.deepEqual([tooMany.status, tooMany.headers['x-proxy-error']], [429, 'client_queue_full']);
  const full = await stack.generate(generationBody(), { token: c });
  assert.deepEqual([full.status, full.headers['x-proxy-error']], [503, 'proxy_queue_full']);
  for (const { headers } of [tooMany, full]) assert.ok(Number(headers['retry-after']) >= 1);
  for (const { status } of await Promise.all([running, ...waiting])) assert.equal(status, 200);
});

test("a client's own longest wait: its requests are refused when that is over, others wait on", async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 2500, recordsBodies: true } });
  t.after(() => stack.close());
  const { token } = await stack.service.storage.clients.add('hasty', { maxWaitMs: 1000 });
  await until(() => stack.service.clients.find(token) !== undefined);
  const first = stack.generate(generationBody({ prompt: 'running' }));
  await until(() => stack.service.running === 1);
  const [hasty, patient] = await Promise.all([
    stack.generate(generationBody({ prompt: 'hasty' }), { token }),
    stack.generate(generationBody({ prompt: 'patient' })),
  ]);
  assert.deepEqual([hasty.status, patient.status, (await first).status], [503, 200, 200]);
  assert.ok(Number(hasty.headers['retry-after']) >= 1);
  assert.deepEqual(order(stack), ['running', 'patient']);
});
