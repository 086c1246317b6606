// GET /metrics: who may read it, that every request is counted once whatever became of it, and that nobody can make it grow.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TalliedCounter } from '../../src/telemetry/tallied-counter.ts';
import { TalliedHistogram } from '../../src/telemetry/tallied-histogram.ts';
import { call } from '../support/http-client.ts';
import { samplePicture } from '../support/native-samples.ts';
import { scrape } from '../support/scrape.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

/** More than this many made-up tokens and paths each change nothing, so a few thousand are tried here and more on demand. */
const MADE_UP = Number(process.env['METRICS_MADE_UP'] ?? 20_000);

const LABELS: Readonly<Record<string, readonly string[]>> = {
  requests_total: ['dialect', 'endpoint', 'outcome'],
  request_seconds: ['endpoint'],
  queue_wait_seconds: ['slot'],
  queue_depth: ['slot'],
  running: ['slot'],
  dispatch_gap_seconds: [],
  upstream_seconds: ['model'],
  upstream_responses_total: ['status_class'],
  sends_total: [],
  account_state: ['account', 'state'],
  account_busy_seconds_total: ['account'],
  account_anlas: ['account'],
  account_allowance_percent: ['account'],
  account_refreshes_total: ['account', 'result'],
  account_cooldowns_total: ['account', 'why'],
  anlas_charged_total: ['client'],
  anlas_saved_total: ['client'],
  eta_error_seconds: [],
  event_loop_delay_seconds: ['quantile'],
  ledger_write_seconds: [],
  ledger_owed: [],
  bank_bytes: [],
  bank_entries: [],
  log_lines_dropped_total: [],
  build_info: ['version'],
};

function requestLines({ logDir }: Stack): { outcome: string; status: number }[] {
  return readFileSync(join(logDir, 'app.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"msg":"request"'))
    .map((line) => JSON.parse(line) as { outcome: string; status: number });
}

async function vibeBody(): Promise<string> {
  const image = (await samplePicture(90)).toString('base64');
  return JSON.stringify({ image, model: 'nai-diffusion-4-5-full', information_extracted: 1 });
}

test('metrics, all are there under their names, with their labels', async (t) => {
  const stack = await startStack({ accounts: 1 });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'status', status: 429, nth: 1, endpoint: 'generate-image' });
  await Promise.all([1, 2, 3].map((n) => stack.generate(generationBody({ prompt: `p${n}` }))));
  await stack.generate(generationBody({ parameters: { width: 1024, height: 1536 } }));
  for (let n = 0; n < 2; n += 1) await stack.generate(await vibeBody(), { path: '/ai/encode-vibe' });
  await until(() => requestLines(stack).length === 6);
  const { text, values } = await scrape(stack.address);
  for (const [name, labels] of Object.entries(LABELS)) {
    assert.match(text, new RegExp(`^# TYPE novelai_proxy_${name} `, 'm'), name);
    const found = [...values.keys()].filter((key) =>
      new RegExp(`^novelai_proxy_${name}(_bucket|_sum|_count)?({|$)`).test(key),
    );
    assert.ok(found.length > 0, `${name} has a value`);
    for (const series of found) {
      const names = [...series.matchAll(/[{,](\w+)="/g)]
        .map(([, label]) => label ?? '')
        .filter((label) => label !== 'le');
      assert.deepEqual(names.toSorted(), labels.toSorted(), series);
    }
  }
  assert.match(text, /^process_resident_memory_bytes \d+$/m);
});

test('values, are those of what happened', async (t) => {
  const stack = await startStack({ accounts: 2 });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'status', status: 429, nth: 1, endpoint: 'generate-image' });
  await Promise.all(Array.from({ length: 9 }, (_, n) => stack.generate(generationBody({ prompt: `p${n}` }))));
  await stack.generate(generationBody({ prompt: 'paid', parameters: { width: 1024, height: 1536 } }));
  for (let n = 0; n < 3; n += 1) await stack.generate(await vibeBody(), { path: '/ai/encode-vibe' });
  // By a fault and not by expired tokens, which the reader of balances may meet, and mend, before a generation does.
  stack.simulator.faults.add({ kind: 'status', status: 401, nth: 1, endpoint: 'generate-image' });
  await stack.generate(generationBody({ prompt: 'after a login' }));
  await stack.settled();
  const metrics = await scrape(stack.address);
  const { generations } = stack.simulator.truth.totals();
  const charged = stack.simulator.truth.totals().chargedAnlas;
  assert.ok(charged > 2, 'something was paid for');
  assert.equal(metrics.value('novelai_proxy_anlas_charged_total{client="client-1"}'), charged);
  assert.equal(metrics.value('novelai_proxy_anlas_saved_total{client="client-1"}'), 4, 'two vibes at 2 Anlas');
  assert.deepEqual(metrics.by('novelai_proxy_requests_total', 'outcome'), { succeeded: 14 });
  assert.deepEqual(metrics.by('novelai_proxy_requests_total', 'endpoint'), { 'generate-image': 11, 'encode-vibe': 3 });
  const responses = metrics.by('novelai_proxy_upstream_responses_total', 'status_class');
  assert.equal(responses['2xx'], 12);
  assert.equal(responses['4xx'], 2, 'the 429 and the refused token');
  assert.equal(metrics.sum('novelai_proxy_sends_total'), metrics.sum('novelai_proxy_upstream_responses_total'));
  assert.equal(generations, 12);
  assert.equal(metrics.sum('novelai_proxy_upstream_seconds_count'), metrics.sum('novelai_proxy_sends_total'));
  assert.equal(metrics.by('novelai_proxy_account_cooldowns_total', 'why')['locked'], 1);
  assert.ok((metrics.by('novelai_proxy_account_refreshes_total', 'result')['ok'] ?? 0) >= 3, 'two logins and one more');
  assert.ok(metrics.value('novelai_proxy_dispatch_gap_seconds_count') >= 5, 'accounts were handed on');
  assert.ok(metrics.value('novelai_proxy_dispatch_gap_seconds_sum') > 0);
  assert.equal(metrics.value('novelai_proxy_queue_wait_seconds_count{slot="image"}'), 12);
  // Each of the 12 answers took the simulator at least 20 ms.
  assert.ok(metrics.sum('novelai_proxy_account_busy_seconds_total') >= 12 * 0.02);
  assert.ok(metrics.value('novelai_proxy_ledger_write_seconds_count') >= 3 * 12, 'reserved, sent and ended');
});

test('standing, shows what waits, what runs and which account is busy', async (t) => {
  const stack = await startStack({ accounts: 1, simulator: { fixedLatencyMs: 400 } });
  t.after(() => stack.close());
  const working = [1, 2, 3].map((n) => stack.generate(generationBody({ prompt: `p${n}` })));
  await until(() => stack.service.queue.stats('image').queued === 2);
  const during = await scrape(stack.address);
  assert.equal(during.value('novelai_proxy_queue_depth{slot="image"}'), 2);
  assert.equal(during.value('novelai_proxy_running{slot="image"}'), 1);
  assert.equal(during.value('novelai_proxy_account_state{account="acc-1",state="busy"}'), 1);
  await Promise.all(working);
  await stack.settled();
  const after = await scrape(stack.address);
  assert.equal(after.value('novelai_proxy_queue_depth{slot="image"}'), 0);
  assert.equal(after.value('novelai_proxy_account_state{account="acc-1",state="ready"}'), 1);
  assert.ok(after.value('novelai_proxy_eta_error_seconds_count') >= 1, 'a forecast was held against the wait');
});

test('refusals, each is counted once and logged once, under its outcome', async (t) => {
  const stack = await startStack({ environment: { BODY_LIMIT: '4k', QUEUE_LIMIT_PER_CLIENT: '1' } });
  t.after(() => stack.close());
  const bearer = { authorization: `Bearer ${stack.token}` };
  const ask = (path: string, options: Parameters<typeof call>[1] = {}) =>
    call(stack.address + path, { ...options, headers: { ...bearer, ...options.headers } });
  const expected = {
    refused_auth: [
      () => ask('/ai/generate-image', { body: generationBody(), headers: { authorization: 'Bearer nobody' } }),
      () => ask('/ai/generate-image', { body: generationBody(), headers: { authorization: '' } }),
      () => ask('/user/login', { body: '{"key":"nobody"}', headers: { authorization: '' } }),
    ],
    refused_invalid: [
      () => ask('/ai/nothing', { body: '{}' }),
      () => ask('/ai/upscale', { method: 'DELETE' }),
      () => ask('/ai/generate-image', { body: '{' }),
      () => ask('/ai/generate-image', { body: Buffer.alloc(5000) }),
      () => ask('/ai/generate-image', { body: generationBody(), headers: { 'x-priority': 'now' } }),
      () => ask('/ai/generate-image', { body: generationBody(), headers: { 'idempotency-key': 'ä'.repeat(300) } }),
      () => ask('/user/login', { body: 'no json', headers: { authorization: '' } }),
    ],
    refused_policy: [() => ask('/user/keystore', { method: 'GET' }), () => ask('/user/delete', { body: '{}' })],
    succeeded: [
      () => ask('/user/subscription', { method: 'GET' }),
      () => ask('/ai/generate-image', { body: generationBody() }),
      () => ask('/ai/generate-image/suggest-tags?model=nai-diffusion-3&prompt=a', { method: 'GET' }),
    ],
  };
  const counts: Record<string, number> = {};
  for (const [outcome, asks] of Object.entries(expected)) {
    counts[outcome] = asks.length;
    for (const each of asks) await each();
  }
  const total = Object.values(counts).reduce((sum, count) => sum + count);
  await until(() => requestLines(stack).length >= total);
  const metrics = await scrape(stack.address);
  assert.deepEqual(metrics.by('novelai_proxy_requests_total', 'outcome'), counts);
  assert.equal(metrics.sum('novelai_proxy_request_seconds_count'), total);
  const logged: Record<string, number> = {};
  for (const { outcome } of requestLines(stack)) logged[outcome] = (logged[outcome] ?? 0) + 1;
  assert.deepEqual(logged, counts);
});

test('access, this machine reads freely and nobody else does without a token', async (t) => {
  const closed = await startStack();
  t.after(() => closed.close());
  const open = await startStack({ environment: { METRICS_TOKEN: 'made-up-metrics-token', HOST: '0.0.0.0' } });
  t.after(() => open.close());
  const read = (address: string, headers = {}) => call(`${address}/metrics`, { method: 'GET', headers });
  assert.equal((await read(closed.address)).status, 200);
  for (const header of ['x-forwarded-for', 'forwarded', 'x-real-ip']) {
    const answer = await read(closed.address, { [header]: 'for=192.0.2.1', authorization: `Bearer ${closed.token}` });
    assert.equal(answer.status, 403, header);
    assert.match(answer.text, /Set METRICS_TOKEN/);
    assert.doesNotMatch(answer.text, /novelai_proxy_/);
  }
  const from = { 'x-forwarded-for': '192.0.2.1' };
  assert.equal((await read(open.address.replace('0.0.0.0', '127.0.0.1'))).status, 200);
  const local = open.address.replace('0.0.0.0', '127.0.0.1');
  assert.equal((await read(local, from)).status, 403);
  assert.equal((await read(local, { ...from, authorization: 'Bearer made-up-metrics-toke' })).status, 403);
  assert.equal((await read(local, { ...from, authorization: `Bearer ${open.token}` })).status, 403);
  assert.equal((await read(local, { ...from, authorization: 'Bearer made-up-metrics-token' })).status, 200);
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  if (outside) assert.equal((await read(open.address.replace('0.0.0.0', outside.address))).status, 403);
});

test('faults, metrics that fail harm no request', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const add = t.mock.method(TalliedCounter.prototype, 'add', () => assert.fail('planted'));
  const tally = t.mock.method(TalliedHistogram.prototype, 'tally', () => assert.fail('planted'));
  const answers = await Promise.all([1, 2, 3].map((n) => stack.generate(generationBody({ prompt: `p${n}` }))));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  );
  assert.equal((await stack.generate('{')).status, 400);
  assert.ok(add.mock.callCount() > 5 && tally.mock.callCount() > 5, 'the fault was met');
  await until(() => requestLines(stack).length === 4);
});

test('series, made-up tokens, paths and models leave their number as it is', async (t) => {
  const stack = await startStack({ environment: { LOG_LEVEL: 'silent' } });
  t.after(() => stack.close());
  await stack.generate(generationBody());
  await sendMadeUp(stack, 0, 300);
  const before = await scrape(stack.address);
  const counted = before.sum('novelai_proxy_requests_total');
  await sendMadeUp(stack, 300, 300 + MADE_UP);
  const after = await scrape(stack.address);
  assert.equal(after.sum('novelai_proxy_requests_total') - counted, MADE_UP, 'all were counted');
  const own = ({ values }: typeof after) => [...values.keys()].filter((key) => key.startsWith('novelai_proxy_'));
  assert.deepEqual(own(after).toSorted(), own(before).toSorted());
});

/** Requests with a token, a path and a model of their own each, over a few connections, many at once on each. */
async function sendMadeUp({ address, token }: Stack, from: number, to: number): Promise<void> {
  const { port } = new URL(address);
  const connections = 4;
  await Promise.all(
    Array.from({ length: connections }, async (_, index) => {
      const socket = connect(Number(port), '127.0.0.1');
      const count = { answers: 0, sent: 0 };
      let rest = '';
      socket.on('data', (bytes) => {
        const parts = (rest + bytes.toString('latin1')).split('HTTP/1.1 4');
        rest = (parts.at(-1) ?? '').slice(-16);
        count.answers += parts.length - 1;
      });
      for (let n = from + index; n < to; n += connections) {
        const isTokenMadeUp = n % 3 !== 0;
        socket.write(
          `POST ${isTokenMadeUp ? '/ai/generate-image' : `/ai/made-up-${n}`} HTTP/1.1\r\nhost: x\r\n` +
            `authorization: Bearer ${isTokenMadeUp ? `made-up-token-${n}` : token}\r\ncontent-length: 0\r\n\r\n`,
        );
        count.sent += 1;
        while (count.sent - count.answers > 200) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => count.answers >= count.sent);
      socket.destroy();
    }),
  );
}
