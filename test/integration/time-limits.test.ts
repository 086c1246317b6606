// The time limits, each by itself and over real sockets: the queue, connecting, the first byte, silence, the whole; and what none cuts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { generationBody, startStack, type Stack, type StackOptions } from '../support/stack.ts';
import { until } from '../support/until.ts';

const EMAIL = 'owner-1@example.org';

async function start(context: TestContext, environment: Record<string, string>, rest: StackOptions = {}) {
  const stack = await startStack({ environment, ...rest });
  context.after(() => stack.close());
  return stack;
}

/** The lines of requests, once there are `count` of them. */
async function requestLines(stack: Stack, count: number): Promise<Record<string, unknown>[]> {
  let lines: string[] = [];
  await until(() => {
    lines = readFileSync(join(stack.logDir, 'app.log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"msg":"request"'));
    return lines.length >= count;
  });
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

function sends(stack: Stack, endpoint = 'generate-image'): number {
  return stack.simulator.truth.rows().filter((row) => row.endpoint === endpoint).length;
}

test('queue timeout, a request that waits too long gets 503 with Retry-After, is never sent, and leaves nothing', async (context) => {
  const stack = await start(context, { QUEUE_TIMEOUT: '400ms' });
  // The proxy learns that such pictures are quick here, so that it lets the next one wait.
  for (let count = 0; count < 5; count += 1) assert.equal((await stack.generate(generationBody())).status, 200);
  stack.simulator.faults.add({ endpoint: 'generate-image', times: 1, kind: 'delay', delayMs: 1500 });
  const slow = stack.generate(generationBody({ prompt: 'slow' }));
  await until(() => stack.service.running === 1);
  const startedMs = performance.now();
  const late = await stack.generate(generationBody({ prompt: 'late' }));
  assert.ok(performance.now() - startedMs >= 390, 'it did wait');
  assert.deepEqual([late.status, late.headers['x-proxy-error']], [503, 'proxy_queue_timeout']);
  assert.ok(Number(late.headers['retry-after']) >= 1);
  assert.equal((await slow).status, 200, 'the queue timeout does not bind what is at NovelAI');
  assert.equal(sends(stack), 6);
  const lines = await requestLines(stack, 7);
  assert.equal(lines.filter(({ outcome }) => outcome === 'expired_queued').length, 1);
  const { queued, running } = stack.service.queue.stats('image');
  assert.deepEqual({ queued, running }, { queued: 0, running: 0 });
  assert.equal((await stack.generate(generationBody())).status, 200);
});

test('queue timeout, a wait that is too long by all experience is refused at once', async (context) => {
  const stack = await start(context, { QUEUE_TIMEOUT: '2s' }, { simulator: { fixedLatencyMs: 1500 } });
  const first = stack.generate(generationBody());
  await until(() => stack.service.running === 1);
  const second = stack.generate(generationBody());
  await until(() => stack.service.queue.stats('image').queued === 1);
  // Without experience, a picture counts as NovelAI's three seconds or so.
  const startedMs = performance.now();
  const refused = await stack.generate(generationBody());
  assert.deepEqual([refused.status, refused.headers['x-proxy-error']], [503, 'proxy_queue_timeout']);
  assert.ok(Number(refused.headers['retry-after']) >= 1);
  assert.ok(performance.now() - startedMs < 1500, 'well before its deadline');
  assert.deepEqual([(await first).status, (await second).status], [200, 200]);
});

/** An address that takes no more connections: whoever tries gets no answer at all. Linux only. */
async function startFullHost(context: TestContext): Promise<{ url: string; isFull: boolean }> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       // From here on nobody accepts.
       setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 0);
     });`,
    { eval: true },
  );
  context.after(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  await new Promise((resolve) => setTimeout(resolve, 50));
  // What the system accepts by itself is used up by these.
  for (let count = 0; count < 10; count += 1) {
    const filler = connect(port, '127.0.0.1').on('error', () => undefined);
    context.after(() => filler.destroy());
    const hasConnected = await Promise.race([
      once(filler, 'connect').then(() => true),
      new Promise<false>((resolve) => setTimeout(resolve, 200, false)),
    ]);
    if (!hasConnected) return { url: `http://127.0.0.1:${port}`, isFull: true };
  }
  return { url: '', isFull: false };
}

test('connect timeout, a host that takes no connection: 502 that says nothing was sent, and no account suffers', async (context) => {
  const { url, isFull } = await startFullHost(context);
  if (!isFull) {
    context.skip('this system connects whatever the backlog says');
    return;
  }
  const stack = await start(context, { CONNECT_TIMEOUT: '200ms', NOVELAI_TEXT_URL: url });
  const startedMs = performance.now();
  const answer = await stack.generate(
    JSON.stringify({ input: 'Once', model: 'kayra-v1', parameters: { use_string: true, max_length: 10 } }),
    { path: '/ai/generate' },
  );
  const tookMs = performance.now() - startedMs;
  assert.deepEqual([answer.status, answer.headers['x-proxy-error']], [502, 'upstream_unreachable']);
  assert.ok(Number(answer.headers['retry-after']) >= 1);
  assert.ok(tookMs >= 200, `it was waited for: ${tookMs} ms`);
  const [line] = await requestLines(stack, 1);
  assert.match(String(line?.['upstreamError']), /^connect_timeout/);
  assert.equal(line?.['outcome'], 'failed_upstream_free');
  assert.equal(stack.service.pool.accounts[0]?.availability('text').state, 'ready');
  assert.equal((await stack.generate(generationBody())).status, 200, 'the other hosts serve');
});

for (const fault of [{ kind: 'delay', delayMs: 1500 }, { kind: 'hang' }] as const)
  test(`first byte timeout (${fault.kind}), 504, sent once, and the account rests`, async (context) => {
    const stack = await start(context, { FIRST_BYTE_TIMEOUT: '300ms' });
    stack.simulator.faults.add({ endpoint: 'generate-image', times: 1, ...fault });
    const answer = await stack.generate(generationBody());
    assert.deepEqual([answer.status, answer.headers['x-proxy-error']], [504, 'upstream_timeout']);
    const [line] = await requestLines(stack, 1);
    assert.match(String(line?.['upstreamError']), /^first_byte_timeout/);
    assert.equal(sends(stack), 1);
    assert.equal(stack.service.pool.accounts[0]?.availability('image').state, 'cooling');
    assert.equal(stack.simulator.truth.account(EMAIL).greatestOverlap, 1);
  });

/** The answer in 20 pieces over so long. */
function drip(stack: Stack, delayMs: number): void {
  stack.simulator.faults.add({ endpoint: 'generate-image', times: 1, kind: 'slow-body', delayMs });
}

test('idle timeout, silence inside an answer cuts it, and the client does not take it for whole', async (context) => {
  const stack = await start(context, { IDLE_TIMEOUT: '250ms' });
  drip(stack, 20 * 1500);
  await assert.rejects(stack.generate(generationBody()));
  const [line] = await requestLines(stack, 1);
  assert.match(String(line?.['upstreamError']), /^idle_timeout/);
  assert.equal(line?.['isTruncated'], true);
  assert.equal(sends(stack), 1);
});

test('idle timeout, an answer that is slow but never silent for so long passes whole', async (context) => {
  const stack = await start(context, { IDLE_TIMEOUT: '700ms' });
  drip(stack, 1400);
  const startedMs = performance.now();
  const answer = await stack.generate(generationBody());
  assert.equal(answer.status, 200);
  assert.ok(performance.now() - startedMs >= 1400, 'it took longer than the limit in all');
  assert.equal(answer.sha256, stack.simulator.truth.rows().at(-1)?.answerSha256);
});

test('total timeout, an answer that is never silent but does not end is cut', async (context) => {
  const stack = await start(context, { UPSTREAM_TIMEOUT: '900ms', IDLE_TIMEOUT: '600ms' });
  drip(stack, 20 * 100);
  const startedMs = performance.now();
  await assert.rejects(stack.generate(generationBody()));
  assert.ok(performance.now() - startedMs >= 890);
  const [line] = await requestLines(stack, 1);
  assert.match(String(line?.['upstreamError']), /^total_timeout/);
});

test('slow first byte, with a live client it is cut by none of the other limits', async (context) => {
  const stack = await start(
    context,
    { CONNECT_TIMEOUT: '300ms', IDLE_TIMEOUT: '300ms', DRAIN_TIMEOUT: '200ms', QUEUE_TIMEOUT: '500ms' },
    { simulator: { fixedLatencyMs: 2000 } },
  );
  const answer = await stack.generate(generationBody());
  assert.equal(answer.status, 200);
  assert.equal(answer.sha256, stack.simulator.truth.rows().at(-1)?.answerSha256);
});
