// Large bodies that wait: they reach NovelAI byte for byte, and neither leaving, nor stopping, nor a broken disk leaves anything.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '../support/http-client.ts';
import { requestForm } from '../support/native-samples.ts';
import { StagedCall } from '../support/staged-call.ts';
import { generationBody, startStack, type Stack, type StackOptions } from '../support/stack.ts';
import { until } from '../support/until.ts';

const MIB = 1024 ** 2;
const isLinux = existsSync('/proc/self/fd');

/** Files without a name that this process holds open in the stack's spool. */
function spooled({ dir }: Stack): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(join(dir, 'data', 'spool'));
    } catch {
      return false;
    }
  }).length;
}

function large(sizeBytes: number, prompt: string): Buffer {
  return generationBody({ prompt, parameters: { unknown_padding: 'ab+/'.repeat(sizeBytes / 4) } });
}

function largeForm(sizeBytes: number, prompt: string) {
  const json = JSON.parse(generationBody({ prompt, action: 'generate' }).toString()) as object;
  const content = Buffer.alloc(sizeBytes, `\0\r\n-${prompt}\r\n`);
  return requestForm(json, [{ name: 'unknown', bytes: content, type: 'application/octet-stream' }]);
}

async function start(context: { after: (end: () => Promise<void>) => void }, options: StackOptions = {}) {
  const stack = await startStack({ simulator: { fixedLatencyMs: 1500 }, ...options });
  context.after(() => stack.close());
  const running = stack.generate(generationBody({ prompt: 'the one before' }));
  await until(() => stack.service.running === 1);
  return { stack, running };
}

const queued = ({ service }: Stack) => service.queue.stats('image').queued;
const received = ({ simulator }: Stack) =>
  simulator.truth
    .rows()
    .filter(({ endpoint, status }) => endpoint === 'generate-image' && status === 200)
    .map(({ requestSha256 }) => requestSha256);

test('waiting bodies, JSON and forms of 1 to 30 MB reach NovelAI byte for byte', { skip: !isLinux }, async (t) => {
  const { stack, running } = await start(t, { simulator: { fixedLatencyMs: 1500, bodyLimitBytes: 64 * MIB } });
  const bodies = [
    { body: large(1 * MIB, 'one'), headers: {} },
    { body: large(30 * MIB, 'thirty'), headers: {} },
    largeForm(3 * MIB, 'form'),
    largeForm(20 * MIB, 'great-form'),
  ];
  const hashes = bodies.map(({ body }) => sha256(body));
  const answers = bodies.map(({ body, headers }) => stack.generate(body, { headers }));
  await until(() => queued(stack) === bodies.length && spooled(stack) === bodies.length);
  assert.deepEqual(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([200]));
  await running;
  assert.deepEqual(received(stack).slice(1).toSorted(), hashes.toSorted());
  await until(() => spooled(stack) === 0);
});

test('waiting bodies, a 429 sends the same bytes again', { skip: !isLinux }, async (t) => {
  const { stack, running } = await start(t);
  const body = large(2 * MIB, 'again');
  stack.simulator.faults.add({ kind: 'status', status: 429, endpoint: 'generate-image', times: 2 });
  const answer = stack.generate(body);
  await until(() => spooled(stack) === 1);
  assert.equal((await answer).status, 200);
  await running;
  const refused = stack.simulator.truth.rows().filter(({ status }) => status === 429);
  assert.deepEqual([refused.length, received(stack).slice(1)], [2, [sha256(body)]]);
});

test('waiting bodies, clients that leave take their files with them', { skip: !isLinux }, async (t) => {
  const { stack, running } = await start(t);
  const headers = { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' };
  const calls = Array.from(
    { length: 12 },
    (_, index) =>
      new StagedCall(`${stack.address}/ai/generate-image`, { headers, body: large(MIB, `leaves ${index}`) }),
  );
  await until(() => queued(stack) === 12 && spooled(stack) === 12);
  for (const call of calls) call.drop();
  await until(() => queued(stack) === 0 && spooled(stack) === 0);
  assert.equal((await running).status, 200);
  assert.equal(received(stack).length, 1);
});

test('waiting bodies, an idle account needs no file, and a stop leaves none', { skip: !isLinux }, async (t) => {
  const { stack, running } = await start(t, { environment: { SHUTDOWN_TIMEOUT: '20s' } });
  await running;
  const direct = stack.generate(large(2 * MIB, 'direct'));
  await until(() => stack.service.running === 1);
  assert.equal(spooled(stack), 0);
  const waiting = stack.generate(large(2 * MIB, 'waiting'));
  // It has its name for the moment between being made and being used.
  await until(() => spooled(stack) === 1 && readdirSync(join(stack.dir, 'data', 'spool')).length === 0);
  await stack.service.stop();
  assert.deepEqual([(await direct).status, (await waiting).status], [200, 503]);
  await until(() => spooled(stack) === 0);
  assert.deepEqual(readdirSync(join(stack.dir, 'data', 'spool')), []);
});

test('waiting bodies, a disk that takes nothing keeps them in memory and going', async (t) => {
  const { stack, running } = await start(t);
  const spool = join(stack.dir, 'data', 'spool');
  // No folder can be made where a file is.
  writeFileSync(spool, '');
  const bodies = Array.from({ length: 5 }, (_, index) => large(4 * MIB, `no disk ${index}`));
  const hashes = bodies.map((body) => sha256(body));
  const answers = await Promise.all(bodies.map((body) => stack.generate(body)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  await running;
  assert.deepEqual(received(stack).slice(1).toSorted(), hashes.toSorted());
});

test('waiting bodies, the same key while one waits in a file gets the same answer, and another body is refused', async (t) => {
  const { stack, running } = await start(t);
  const headers = { 'idempotency-key': 'made-up-key' };
  const body = large(MIB, 'keyed');
  const first = stack.generate(body, { headers });
  await until(() => queued(stack) === 1);
  const second = stack.generate(body, { headers });
  assert.equal((await stack.generate(large(MIB, 'other'), { headers })).status, 422);
  const [one, two] = await Promise.all([first, second]);
  assert.deepEqual([one.status, two.sha256], [200, one.sha256]);
  await running;
  assert.equal(received(stack).length, 2);
});
