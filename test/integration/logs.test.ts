// What is written to the log: one line per request, rotated files, and never a secret.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { generationBody, startStack, type Stack } from '../support/stack.ts';

function logText(stack: Stack): string {
  return readdirSync(stack.logDir)
    .map((name) => readFileSync(join(stack.logDir, name), 'utf8'))
    .join('');
}

function requestLines(stack: Stack): Record<string, unknown>[] {
  return readFileSync(join(stack.logDir, 'app.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"msg":"request"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('one line per request, with what an owner wants to know', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const answer = await stack.generate(generationBody());
  await stack.generate('{');
  await stack.generate(generationBody(), { token: 'wrong-token' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [served, invalid, unauthorized, ...more] = requestLines(stack);
  assert.equal(more.length, 0);
  const { requestId, queueWaitMs, upstreamMs, ...rest } = served ?? {};
  assert.equal(requestId, answer.headers['x-request-id']);
  assert.ok(Number(queueWaitMs) >= 0 && Number(upstreamMs) >= 20);
  assert.partialDeepStrictEqual(rest, {
    client: 'client-1',
    account: 'acc-1',
    endpoint: 'generate-image',
    model: 'nai-diffusion-4-5-full',
    size: '832x1216',
    steps: 23,
    status: 200,
    outcome: 'succeeded',
    bytes: answer.body.length,
  });
  assert.deepEqual([invalid?.['status'], invalid?.['outcome']], [400, 'refused_invalid']);
  assert.deepEqual([unauthorized?.['status'], unauthorized?.['outcome']], [401, 'refused_auth']);
});

test('no secret of the run is in any log file, whatever went wrong', async (t) => {
  const stack = await startStack({ accounts: 2, clients: 3 });
  t.after(() => stack.close());
  const wrongToken = `pst-${'Wr0ngT0k'.repeat(8)}`;
  await stack.generate(generationBody());
  stack.simulator.expireTokens();
  stack.simulator.faults.add({ kind: 'reset-before-headers', nth: 2, endpoint: 'generate-image' });
  stack.simulator.faults.add({ kind: 'status', status: 403, body: 'html', nth: 3, endpoint: 'generate-image' });
  await Promise.all(stack.tokens.map((token) => stack.generate(generationBody(), { token })));
  await stack.generate(generationBody(), { token: wrongToken });
  await stack.generate(generationBody(), { path: `/ai/nothing-${stack.token}` });
  stack.service.pool.accounts[0]?.disable('switched off for a test');
  await stack.generate(generationBody(), { token: stack.tokens[1] ?? '' });
  await new Promise((resolve) => setTimeout(resolve, 100));

  const text = logText(stack);
  assert.ok(text.length > 1500, 'something was logged');
  const session = stack.simulator.truth.totals().logins;
  assert.ok(session >= 3, 'tokens were renewed meanwhile');
  for (const secret of [...stack.secrets, wrongToken]) assert.ok(!text.includes(secret), `a log file holds ${secret}`);
  assert.doesNotMatch(text, /ey[\w-]{10,}\.[\w-]+\.[\w-]+/, 'a log file holds a session token');
});

test('rotation, by size with a limit on the number of files', async (t) => {
  const stack = await startStack({ environment: { LOG_MAX_SIZE: '4k', LOG_MAX_FILES: '2' } });
  t.after(() => stack.close());
  for (let count = 0; count < 60; count += 1) {
    await stack.generate('{');
    if (count % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  const names = readdirSync(stack.logDir).toSorted();
  assert.deepEqual(names, ['app.log', 'app.log.1', 'app.log.2']);
  for (const name of names) assert.ok(readFileSync(join(stack.logDir, name)).length < 8192, name);
});
