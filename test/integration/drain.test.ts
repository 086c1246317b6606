// How the service stops: what is at NovelAI is finished and booked, what waits and what comes is told when to come again.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call, type Answer, type CallOptions } from '../support/http-client.ts';
import { KillableProxy } from '../support/killable-proxy.ts';
import { auditMoney, readLedger } from '../support/money-audit.ts';
import { generationBody, madeUpAccounts, startStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const SHUTDOWN_MS = 30_000;
/** Beyond what Opus has free: 20 Anlas and more. */
const PAID = generationBody({ parameters: { steps: 50 } });

interface Service {
  simulator: Simulator;
  proxy: KillableProxy;
  generate: (options?: CallOptions) => Promise<Answer>;
  /** Asks one of the service's own routes. */
  ask: (path: string, options?: CallOptions) => Promise<Answer>;
}

async function start(context: TestContext, accounts: number, fixedLatencyMs: number): Promise<Service> {
  const dir = mkdtempSync(join(tmpdir(), 'proxy-drain-'));
  const logins = madeUpAccounts(accounts);
  const simulator = await startSimulator({ fixedLatencyMs, imageScale: 0.05, accounts: logins });
  const token = newClientToken();
  const proxy = new KillableProxy({
    dir,
    environment: {
      SERVER_TOKENS: `me:${token}`,
      NOVELAI_ACCOUNTS: JSON.stringify(logins.map(({ email, password }) => ({ name: email, email, password }))),
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      SHUTDOWN_TIMEOUT: `${SHUTDOWN_MS}ms`,
      LOG_LEVEL: 'warn',
    },
  });
  context.after(async () => {
    await proxy.close();
    await simulator.close();
    rmSync(dir, { recursive: true, force: true });
  });
  await proxy.start({ LOG_LEVEL: 'info' });
  await proxy.ready();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return {
    simulator,
    proxy,
    generate: (options) => call(`${proxy.address}/ai/generate-image`, { body: PAID, headers, ...options }),
    ask: (path, options) => call(`${proxy.address}${path}`, { method: 'GET', headers, ...options }),
  };
}

function assertStopping({ status, headers, text }: Answer): void {
  assert.deepEqual([status, headers['x-proxy-error']], [503, 'proxy_stopping'], text);
  assert.ok(Number(headers['retry-after']) >= 1);
  assert.equal(headers.connection, 'close');
}

test('SIGTERM with 8 running and 200 waiting: 8 get their picture, 200 a 503 with Retry-After, the books are right, exit 0', async (context) => {
  const { simulator, proxy, generate, ask } = await start(context, 8, 6000);
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  context.after(() => [agent, kept].forEach((each) => each.destroy()));
  const sent = Array.from({ length: 208 }, () => generate({ agent }));
  // A connection that is at rest when the service begins to stop.
  const running = async () => {
    const { text } = await ask('/v1/queue', { agent: kept });
    const { image } = (JSON.parse(text) as { totals: { image: { running: number; waiting: number } } }).totals;
    return image.running === 8 && image.waiting === 200;
  };
  while (!(await running())) await new Promise((resolve) => setTimeout(resolve, 20));
  await until(() => simulator.truth.accounts().reduce((sum, { generations }) => sum + generations, 0) === 8);

  const startMs = performance.now();
  proxy.signal('SIGTERM');
  const exited = proxy.exited().then((code) => ({ code, tookMs: performance.now() - startMs }));
  while ((await ask('/readyz')).status !== 503) await new Promise((resolve) => setTimeout(resolve, 5));
  const ready = await ask('/readyz');
  assert.equal((JSON.parse(ready.text) as { status: string }).status, 'stopping');
  assert.equal((await ask('/livez')).status, 200);
  assert.equal((await ask('/version')).status, 200);

  assertStopping(await ask('/v1/queue', { agent: kept }));
  assertStopping(await generate());
  assertStopping(await ask('/user/subscription'));
  assertStopping(await ask('/v1/price', { method: 'POST', body: PAID }));
  assertStopping(await ask('/no/such/path'));

  const answers = await Promise.all(sent);
  const served = answers.filter(({ status }) => status === 200);
  const released = answers.filter(({ status }) => status !== 200);
  assert.deepEqual([served.length, released.length], [8, 200]);
  for (const answer of released) assertStopping(answer);
  const { code, tookMs } = await exited;
  assert.equal(code, 0, proxy.output);
  assert.ok(tookMs < SHUTDOWN_MS);
  await assert.rejects(generate(), 'nobody listens any more');

  const audit = auditMoney(
    await readLedger(proxy.dataDir),
    simulator,
    new Map(simulator.accounts.map(({ email }) => [email, email])),
  );
  assert.deepEqual(audit.problems, []);
  assert.ok(audit.truth > 0);
  assert.equal(audit.ledger, audit.truth);
  assert.equal(audit.outcomes['succeeded'], 8);
  assert.equal(simulator.truth.totals().generations, 8, 'nothing more was begun');
  context.diagnostic(
    `${served.length} pictures, ${released.length} x 503, exit ${code} after ${Math.round(tookMs)} ms; ledger ${audit.ledger} Anlas = truth ${audit.truth}`,
  );
});

test('a second signal ends the service at once, with an exit code that is not 0', async (context) => {
  const { simulator, proxy, generate } = await start(context, 1, 0);
  simulator.faults.add({ kind: 'hang', endpoint: 'generate-image' });
  const cut = assert.rejects(generate());
  await until(() => simulator.truth.rows().some(({ endpoint }) => endpoint === 'generate-image'));
  proxy.signal('SIGTERM');
  await until(() => proxy.output.includes('shutting down'));
  const exited = proxy.exited();
  proxy.signal('SIGTERM');
  assert.equal(await exited, 1);
  await cut;
});

test('stopping, a running request that NovelAI turns away is released with Retry-After, not sent again', async (context) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 300 } });
  context.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'status', status: 429, endpoint: 'generate-image', delayMs: 300 });
  const sent = stack.generate(generationBody());
  await until(() => stack.service.running === 1);
  const stopped = stack.service.stop();
  assertStopping(await sent);
  assert.equal(await stopped, true);
});

test('stopping, the shutdown limit passes: what runs is cut off, its client is told and the books say unknown', async (context) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 30_000 }, environment: { SHUTDOWN_TIMEOUT: '300ms' } });
  context.after(() => stack.close());
  const cut = stack.generate(PAID);
  await until(() => stack.simulator.truth.totals().generations === 1);
  assert.equal(await stack.service.stop(), false);
  const { status, headers } = await cut;
  assert.deepEqual([status, headers['x-proxy-error']], [502, 'upstream_broken']);
  const { attempts } = await readLedger(join(stack.dir, 'data'));
  assert.deepEqual(
    attempts.map(({ state, outcome }) => [state, outcome]),
    [['held', 'unknown']],
  );
});

for (const path of ['/ai/generate-image', '/v1/price'])
  test(`stopping, ${path}: a client that reads only when it has sent its whole body gets the refusal whole`, async (context) => {
    const stack = await startStack({ simulator: { fixedLatencyMs: 2500 }, environment: { SHUTDOWN_TIMEOUT: '10s' } });
    context.after(() => stack.close());
    const running = stack.generate(generationBody());
    await until(() => stack.service.running === 1);
    const stopped = stack.service.stop();
    const socket = connect(Number(new URL(stack.address).port), '127.0.0.1');
    context.after(() => socket.destroy());
    const sizeBytes = 24 * 1024 ** 2;
    socket.pause();
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${sizeBytes}\r\n\r\n`);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.write(Buffer.alloc(sizeBytes, ' '), (error) => (error ? reject(error) : resolve()));
    });
    let text = '';
    for await (const chunk of socket.resume()) text += String(chunk);
    assert.match(text, /^HTTP\/1\.1 503 [^]*connection: close[^]*shutting down[^]*$/i);
    assert.equal((await running).status, 200);
    assert.equal(await stopped, true);
  });

test('stopping, a client that reads slowly still gets its whole answer', async (context) => {
  const stack = await startStack({
    simulator: { cannedAnswerBytes: 6 * 1024 ** 2 },
    environment: { SHUTDOWN_TIMEOUT: '10s' },
  });
  context.after(() => stack.close());
  let sizeBytes = 0;
  const read = new Promise<void>((resolve, reject) => {
    void call(`${stack.address}/ai/generate-image`, {
      body: generationBody(),
      headers: { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' },
      onRequest: (request) =>
        request.once('response', (response) => {
          response.on('data', (chunk: Buffer) => {
            sizeBytes += chunk.length;
            response.pause();
            setTimeout(() => response.resume(), 10);
          });
          response.once('close', () => (response.complete ? resolve() : reject(new Error('cut off'))));
        }),
    }).catch(() => undefined);
  });
  await until(() => sizeBytes > 0 && stack.service.running === 0);
  assert.ok(sizeBytes < 6 * 1024 ** 2, 'still reading');
  const stopped = stack.service.stop();
  await read;
  assert.equal(sizeBytes, 6 * 1024 ** 2);
  assert.equal(await stopped, true);
});
