// What the service says of itself: version, life and readiness.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { call } from '../support/http-client.ts';
import { startStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

test('GET /version, says what runs, on what, and for how long, whatever the wall clock does', async (context) => {
  let nowMs = 1000;
  let wallMs = Date.UTC(2026, 0, 31, 12);
  const stack = await startStack({
    isUnready: true,
    clock: { wallMs: () => wallMs, monotonicMs: () => nowMs, after: () => () => undefined },
  });
  context.after(() => stack.close());
  const ask = async () =>
    JSON.parse((await call(`${stack.address}/version`, { method: 'GET' })).text) as Record<string, unknown>;
  const first = await ask();
  assert.deepEqual(first, {
    name: 'novelai-proxy-service',
    version,
    node: process.versions.node,
    startedAt: '2026-01-31T12:00:00.000Z',
    uptimeSeconds: 0,
  });
  nowMs += 90_500;
  wallMs -= 3_600_000;
  assert.deepEqual(await ask(), { ...first, uptimeSeconds: 90 });
});

test('GET /readyz, 503 with reasons until an account can serve, then 200; GET /livez, 200 all the time', async (context) => {
  const stack = await startStack({ isUnready: true });
  context.after(() => stack.close());
  const ask = (path: string) => call(`${stack.address}${path}`, { method: 'GET' });
  const ready = await ask('/readyz');
  const { status, accounts } = JSON.parse(ready.text) as { status: string; accounts: { why?: string }[] };
  if (ready.status === 503) {
    assert.equal(status, 'not ready');
    assert.ok(accounts.every(({ why }) => why !== undefined && why !== ''));
  }
  assert.equal((await ask('/livez')).status, 200);
  await until(() => stack.service.pool.readiness().isReady);
  assert.equal((await ask('/readyz')).status, 200);
  for (const account of stack.service.pool.accounts) account.disable('switched off');
  const refused = await ask('/readyz');
  assert.equal(refused.status, 503);
  assert.match(refused.text, /"status":"not ready".*"why":"switched off"/);
  assert.equal((await ask('/livez')).status, 200);
});

test('GET /, a person finds what this is and where to read on', async (context) => {
  const stack = await startStack({ isUnready: true });
  context.after(() => stack.close());
  const { status, headers, text } = await call(`${stack.address}/`, { method: 'GET' });
  assert.equal(status, 200);
  assert.match(String(headers['content-type']), /^text\/plain/);
  assert.match(text, /NovelAI Proxy Service .*\/openapi\.json.*docs/s);
});
