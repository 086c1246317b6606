// One key, one generation; and a paid image is not lost with its client's connection.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
const generations = (stack: Stack) => stack.simulator.truth.totals().generations;

function payingStack(environment: Record<string, string> = {}): Promise<Stack> {
  return startStack({
    accounts: 2,
    clients: 2,
    eachAccount: (account) => ({ ...account, tier: 1, fixedAnlas: 1000 }),
    simulator: { fixedLatencyMs: 150 },
    environment,
  });
}

/** Starts a generation and leaves as soon as NovelAI works on it. */
async function leaveInTheMiddle(stack: Stack, body: Buffer, headers: Record<string, string> = {}): Promise<void> {
  const before = generations(stack);
  let leave: (() => void) | undefined;
  const left = stack
    .generate(body, { agent: new Agent(), headers, onRequest: (request) => (leave = () => request.destroy()) })
    .catch(() => 'left');
  await until(() => generations(stack) > before);
  leave?.();
  assert.equal(await left, 'left');
}

test('50 parallel requests with one key: one generation, 50 answers with the same bytes', async (t) => {
  const stack = await payingStack();
  t.after(() => stack.close());
  const answers = await Promise.all(
    Array.from({ length: 50 }, () =>
      stack.generate(generationBody(), { agent, headers: { 'idempotency-key': 'picture-1' } }),
    ),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(new Set(answers.map(({ sha256 }) => sha256)).size, 1);
  assert.equal(generations(stack), 1);
  assert.equal(answers.filter(({ headers }) => headers['x-proxy-replay'] === 'idempotency-key').length, 49);
  assert.deepEqual([...new Set(answers.map(({ headers }) => headers['content-type']))], ['binary/octet-stream']);
});

test('one key for another body: 422; for another client: its own request', async (t) => {
  const stack = await payingStack();
  t.after(() => stack.close());
  const headers = { 'idempotency-key': 'same' };
  assert.equal((await stack.generate(generationBody(), { headers })).status, 200);
  const conflict = await stack.generate(generationBody({ prompt: 'another' }), { headers });
  assert.deepEqual([conflict.status, conflict.headers['x-proxy-error']], [422, 'client_key_conflict']);
  const other = await stack.generate(generationBody({ prompt: 'another' }), { headers, token: stack.tokens[1] ?? '' });
  assert.equal(other.status, 200);
  assert.equal(generations(stack), 2);
});

test('a key that is no key: 400 naming the header', async (t) => {
  const stack = await payingStack();
  t.after(() => stack.close());
  const answer = await stack.generate(generationBody(), { headers: { 'idempotency-key': 'x'.repeat(300) } });
  assert.equal(answer.status, 400);
  assert.match(answer.text, /Idempotency-Key/);
});

for (const headers of [{ 'idempotency-key': 'lost-one' }, {}])
  test(`lost connection, the retry ${'idempotency-key' in headers ? 'with its key' : 'with the same body'} gets the image at no charge`, async (t) => {
    const stack = await payingStack();
    t.after(() => stack.close());
    const body = generationBody({ prompt: 'lost' });
    await leaveInTheMiddle(stack, body, headers);
    const again = await stack.generate(body, { headers });
    assert.equal(again.status, 200);
    assert.ok(['idempotency-key', 'lost-connection'].includes(String(again.headers['x-proxy-replay'])));
    assert.equal(generations(stack), 1);
    assert.equal(stack.simulator.truth.totals().chargedAnlas, 17);
    const first = stack.simulator.truth.rows().find(({ endpoint }) => endpoint === 'generate-image');
    assert.equal(again.sha256, first?.answerSha256);
    if ('idempotency-key' in headers) return;
    // Asked for once more, it is a new picture: the lost one has been delivered, which is known when its line is in the log.
    const requestId = String(again.headers['x-request-id']);
    await until(() => readFileSync(join(stack.logDir, 'app.log'), 'utf8').includes(requestId));
    assert.equal((await stack.generate(body)).headers['x-proxy-replay'], undefined);
    assert.equal(generations(stack), 2);
  });

test('results off: nothing is given again, and one key is still charged only once', async (t) => {
  const stack = await payingStack({ BANK: 'off' });
  t.after(() => stack.close());
  const headers = { 'idempotency-key': 'no-bank' };
  assert.equal((await stack.generate(generationBody(), { headers })).status, 200);
  const again = await stack.generate(generationBody(), { headers });
  assert.deepEqual([again.status, again.headers['x-proxy-error']], [409, 'client_answer_lost']);
  assert.equal(generations(stack), 1);
});
