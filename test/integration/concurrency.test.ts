// Many requests at once: one generation per account whatever happens, one login for all, and nothing left behind.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { call, sha256 } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

/** As many connections as requests: the proxy's queue is what is tested, not the client's. */
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

function generationRows(stack: Stack) {
  return stack.simulator.truth.rows().filter(({ endpoint }) => endpoint === 'generate-image');
}

test('300 requests from 10 clients over 3 accounts: one at a time each, no 429, bytes unchanged', async (t) => {
  const stack = await startStack({ accounts: 3, clients: 10, simulator: { fixedLatencyMs: 100 } });
  t.after(() => stack.close());
  const bodies = Array.from({ length: 300 }, (_, index) => generationBody({ prompt: `picture ${index}` }));
  const answers = await Promise.all(
    bodies.map((body, index) => stack.generate(body, { token: stack.tokens[index % 10] ?? '', agent })),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 300);

  const rows = generationRows(stack);
  assert.equal(rows.length, 300, 'every request reached NovelAI once');
  const answerOf = new Map(rows.map(({ requestSha256, answerSha256 }) => [requestSha256, answerSha256]));
  for (const [index, body] of bodies.entries())
    assert.equal(answers[index]?.sha256, answerOf.get(sha256(body)), `answer ${index}`);
  const { greatestOverlap, lockRefusals } = stack.simulator.truth.totals();
  assert.equal(greatestOverlap, 1);
  assert.equal(lockRefusals, 0);
  for (const { account, generations } of stack.simulator.truth.accounts()) {
    assert.ok(generations >= 80, `${account} did its share: ${generations}`);
    t.diagnostic(
      `${account}: ${generations} generations, busy ${(100 * stack.simulator.truth.utilisation(account)).toFixed(1)} %`,
    );
  }
});

test('overlap, the truth log would tell: two requests at once straight to NovelAI are seen', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 100 } });
  t.after(() => stack.close());
  const email = stack.simulator.accounts[0]?.email ?? '';
  const straight = () =>
    call(`${stack.simulator.imageUrl}/ai/generate-image`, {
      body: generationBody(),
      headers: { authorization: `Bearer ${stack.simulator.issueToken(email)}`, 'content-type': 'application/json' },
    });
  const statuses = (await Promise.all([straight(), straight()])).map(({ status }) => status).toSorted((a, b) => a - b);
  assert.deepEqual(statuses, [200, 429]);
  assert.equal(stack.simulator.truth.totals().greatestOverlap, 2);
});

test('tokens expired under 50 concurrent requests: one login per account, every client served', async (t) => {
  const stack = await startStack({ accounts: 3, clients: 5, simulator: { fixedLatencyMs: 30 } });
  t.after(() => stack.close());
  const loginsBefore = stack.simulator.truth.accounts().map(({ logins }) => logins);
  assert.deepEqual(loginsBefore, [1, 1, 1]);
  stack.simulator.expireTokens();
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      stack.generate(generationBody(), { token: stack.tokens[index % 5] ?? '', agent }),
    ),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.deepEqual(
    stack.simulator.truth.accounts().map(({ logins }) => logins),
    [2, 2, 2],
  );
  assert.ok(stack.simulator.truth.totals().unauthorized >= 3, 'tokens were indeed refused');
  assert.equal(stack.simulator.truth.totals().greatestOverlap, 1);
});

test('200 clients abort at random moments: no slot leaks, overlap stays 1', async (t) => {
  const stack = await startStack({ accounts: 3, clients: 10, simulator: { fixedLatencyMs: 40 } });
  t.after(() => stack.close());
  // A fixed sequence, so that a failure can be repeated.
  let state = 42;
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  let aborted = 0;
  let served = 0;
  await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      stack
        .generate(generationBody({ prompt: `abort ${index}` }), {
          token: stack.tokens[index % 10] ?? '',
          agent: new Agent(),
          onRequest: (request) => {
            setTimeout(() => request.destroy(), random() * 1500);
          },
        })
        .then(
          () => (served += 1),
          () => (aborted += 1),
        ),
    ),
  );
  assert.ok(aborted >= 50, `many clients did leave: ${aborted}, served ${served}`);
  await stack.settled();
  assert.deepEqual(
    {
      ...pick(stack),
      overlap: stack.simulator.truth.totals().greatestOverlap,
      refusals: stack.simulator.truth.totals().lockRefusals,
    },
    { running: 0, queued: 0, idle: 3, overlap: 1, refusals: 0 },
  );
  const next = await stack.generate(generationBody());
  assert.equal(next.status, 200);
  assert.ok(Number(next.headers['x-queue-wait']) < 40, 'served at once');
  assert.ok(generationRows(stack).length < 201, 'who left while waiting was never sent');
});

function pick(stack: Stack) {
  const { running, queued, idleSlots } = stack.service.queue.stats('image');
  return { running, queued, idle: idleSlots };
}

test('client gone while waiting: dropped, never sent', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 200 } });
  t.after(() => stack.close());
  const first = stack.generate(generationBody({ prompt: 'first' }));
  await until(() => stack.service.running === 1);
  let leave: (() => void) | undefined;
  const second = stack
    .generate(generationBody({ prompt: 'second' }), {
      agent: new Agent(),
      onRequest: (request) => (leave = () => request.destroy()),
    })
    .catch(() => 'left');
  await until(() => stack.service.queue.stats('image').queued === 1);
  leave?.();
  assert.equal(await second, 'left');
  await until(() => stack.service.queue.stats('image').queued === 0);
  assert.equal((await first).status, 200);
  assert.equal(generationRows(stack).length, 1);
});

test('client gone while generating: the account is held until NovelAI is done', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 300 } });
  t.after(() => stack.close());
  let leave: (() => void) | undefined;
  const first = stack
    .generate(generationBody({ prompt: 'first' }), {
      agent: new Agent(),
      onRequest: (request) => (leave = () => request.destroy()),
    })
    .catch(() => 'left');
  await until(() => generationRows(stack).some(({ startMs }) => startMs !== undefined));
  leave?.();
  assert.equal(await first, 'left');
  assert.equal(stack.service.running, 1, 'still held');
  const second = await stack.generate(generationBody({ prompt: 'second' }));
  assert.equal(second.status, 200);
  const { greatestOverlap, lockRefusals } = stack.simulator.truth.totals();
  assert.deepEqual({ greatestOverlap, lockRefusals }, { greatestOverlap: 1, lockRefusals: 0 });
});

test('drain limit: a generation that never ends after its client left frees the account at last', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 60_000 }, environment: { DRAIN_TIMEOUT: '100ms' } });
  t.after(() => stack.close());
  let leave: (() => void) | undefined;
  const first = stack
    .generate(generationBody(), { agent: new Agent(), onRequest: (request) => (leave = () => request.destroy()) })
    .catch(() => 'left');
  await until(() => generationRows(stack).length === 1);
  leave?.();
  await first;
  await stack.settled();
  // NovelAI may still be generating: the account rests rather than run into its lock.
  assert.equal(stack.service.pool.accounts[0]?.availability('image').state, 'cooling');
});
