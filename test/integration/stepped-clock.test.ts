// Time that does not flow as it should: an event loop that stood still, and a wall clock that is stepped. Nothing is sent twice, nobody
// is thrown out, no account logs in without need.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import type { SimulatorOptions } from '../../simulator/simulator.ts';
import type { Answer } from '../support/http-client.ts';
import { startSimulatorProcess, type SimulatorProcess } from '../support/simulator-process.ts';
import { generationBody, madeUpAccounts, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const HOUR_MS = 3_600_000;
const ACCOUNTS = 4;
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** The system's clock with a wall clock that can be stepped. */
class SteppedClock implements Clock {
  #stepMs = 0;

  step(ms: number): void {
    this.#stepMs += ms;
  }

  wallMs(): number {
    return systemClock.wallMs() + this.#stepMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  after(delayMs: number, callback: () => void): () => void {
    return systemClock.after(delayMs, callback);
  }
}

/** What a service would go by that took the wall clock for its deadlines. */
class WallOnlyClock extends SteppedClock {
  override monotonicMs(): number {
    return this.wallMs();
  }
}

/**
 * Stops this process's event loop, and with it the proxy and its clients, but not NovelAI. Where it is stopped here, timers run
 * before what has arrived meanwhile is read, which is the harder case.
 */
function blockLoop(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
      resolve();
    });
  });
}

interface Trial {
  stack: Stack;
  novelai: SimulatorProcess;
}

async function start(
  context: TestContext,
  environment: Record<string, string>,
  { clock, ...simulator }: SimulatorOptions & { clock?: Clock } = {},
): Promise<Trial> {
  const novelai = await startSimulatorProcess({
    fixedLatencyMs: 400,
    imageScale: 0.05,
    accounts: madeUpAccounts(ACCOUNTS),
    ...simulator,
  });
  context.after(() => novelai.stop());
  const { imageUrl, textUrl, apiUrl } = novelai;
  const stack = await startStack({
    accounts: ACCOUNTS,
    environment: {
      NOVELAI_IMAGE_URL: imageUrl,
      NOVELAI_TEXT_URL: textUrl,
      NOVELAI_API_URL: apiUrl,
      ...environment,
    },
    ...(clock && { clock }),
  });
  context.after(() => stack.close());
  return { stack, novelai };
}

/** Sends so many at once; resolves when all accounts work and the others wait. */
async function sendMany(stack: Stack, count: number): Promise<Promise<Answer>[]> {
  const answers = Array.from({ length: count }, (_, index) =>
    stack.generate(generationBody({ prompt: `time ${index}` }), { agent }),
  );
  const { queue } = stack.service;
  await until(() => queue.running === ACCOUNTS && queue.stats('image').queued === count - ACCOUNTS);
  return answers;
}

function statusesOf(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

async function assertEachOnce({ novelai }: Trial, count: number, logins: number = ACCOUNTS): Promise<void> {
  const totals = await novelai.totals();
  assert.deepEqual(
    {
      generations: totals.generations,
      overlap: totals.greatestOverlap,
      lockRefusals: totals.lockRefusals,
      logins: totals.logins,
    },
    { generations: count, overlap: 1, lockRefusals: 0, logins },
  );
}

test('loop blocked past every deadline, with work running and waiting: all is served, each once', async (context) => {
  const trial = await start(context, {
    QUEUE_TIMEOUT: '2s',
    FIRST_BYTE_TIMEOUT: '1500ms',
    IDLE_TIMEOUT: '1500ms',
    UPSTREAM_TIMEOUT: '2s',
  });
  // So that the queue knows how quick these are, and takes them.
  await Promise.all(Array.from({ length: ACCOUNTS }, () => trial.stack.generate(generationBody(), { agent })));
  const sent = await sendMany(trial.stack, 12);
  // What runs is answered while nobody listens, and all deadlines pass.
  await blockLoop(3500);
  assert.deepEqual(statusesOf(await Promise.all(sent)), { 200: 12 });
  await assertEachOnce(trial, ACCOUNTS + 12);
  assert.ok(trial.stack.service.queue.stats('image').blockedMs >= 1000, 'the queue saw that it was blocked');
});

test('loop blocked, a limit that is truly over still ends what hangs', async (context) => {
  const trial = await start(context, { FIRST_BYTE_TIMEOUT: '1s', DRAIN_TIMEOUT: '1s' }, { fixedLatencyMs: 60_000 });
  const answer = trial.stack.generate(generationBody());
  await until(() => trial.stack.service.running === 1);
  await blockLoop(1500);
  assert.equal((await answer).status, 504);
});

for (const [direction, stepMs] of [
  ['on', HOUR_MS],
  ['back', -HOUR_MS],
] as const)
  test(`wall clock stepped an hour ${direction}, nothing expires and no account logs in anew`, async (context) => {
    const clock = new SteppedClock();
    const trial = await start(context, { QUEUE_TIMEOUT: '20s' }, { clock });
    await Promise.all(Array.from({ length: ACCOUNTS }, () => trial.stack.generate(generationBody(), { agent })));
    const sent = await sendMany(trial.stack, 16);
    clock.step(stepMs);
    assert.deepEqual(statusesOf(await Promise.all(sent)), { 200: 16 });
    const later = await Promise.all(Array.from({ length: 4 }, () => trial.stack.generate(generationBody(), { agent })));
    assert.deepEqual(statusesOf(later), { 200: 4 });
    await assertEachOnce(trial, ACCOUNTS + 20);
  });

test('wall clock stepped past the end of the tokens, one login for each account and nobody is refused', async (context) => {
  const clock = new SteppedClock();
  const trial = await start(context, { QUEUE_TIMEOUT: '20s' }, { clock, jwtLifetimeSeconds: 3600 });
  await Promise.all(Array.from({ length: ACCOUNTS }, () => trial.stack.generate(generationBody(), { agent })));
  const sent = await sendMany(trial.stack, 12);
  clock.step(1.5 * HOUR_MS);
  assert.deepEqual(statusesOf(await Promise.all(sent)), { 200: 12 });
  await assertEachOnce(trial, ACCOUNTS + 12, 2 * ACCOUNTS);
});

/** Whether a request whose time in the queue is over is told so, after a step while it waits. */
async function isToldAfterStep(context: TestContext, clock: SteppedClock, stepMs: number): Promise<boolean> {
  const stack = await startStack({ clock, environment: { QUEUE_TIMEOUT: '1s', SHUTDOWN_TIMEOUT: '100ms' } });
  context.after(() => stack.close());
  await stack.generate(generationBody());
  stack.simulator.faults.add({ endpoint: 'generate-image', kind: 'hang' });
  const ignored = () => undefined;
  void stack.generate(generationBody({ prompt: 'hangs' })).catch(ignored);
  await until(() => stack.service.running === 1);
  let status = 0;
  void stack.generate(generationBody({ prompt: 'waits' })).then((answer) => (status = answer.status), ignored);
  await until(() => stack.service.queue.stats('image').queued === 1);
  clock.step(stepMs);
  await until(() => status !== 0, 4000).catch(ignored);
  return status === 503;
}

test('wall clock stepped back while a deadline runs, it is kept', async (context) => {
  assert.equal(await isToldAfterStep(context, new SteppedClock(), -HOUR_MS), true);
});

test('wall clock stepped back while a deadline runs, a service that went by it would be noticed', async (context) => {
  assert.equal(await isToldAfterStep(context, new WallOnlyClock(), -HOUR_MS), false);
});
