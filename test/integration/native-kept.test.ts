// Encoded vibes are paid for once: the same picture, model and settings again come from the store, also after a restart.
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createService } from '../../src/compose.ts';
import { KeptAnswers } from '../../src/dispatch/kept/kept-answers.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { openLog } from '../../src/telemetry/log.ts';
import { call } from '../support/http-client.ts';
import { requestForm, samplePicture } from '../support/native-samples.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const VIBE = { model: 'nai-diffusion-4-5-full', information_extracted: 1 };

async function vibeBody(shade = 90, extra: object = {}): Promise<string> {
  return JSON.stringify({ ...VIBE, ...extra, image: (await samplePicture(shade)).toString('base64') });
}

function encode(stack: Stack, body: string | Buffer, options: Parameters<Stack['generate']>[1] = {}) {
  return stack.generate(body, { path: '/ai/encode-vibe', ...options });
}

/** What NovelAI took for vibes, and how often it was asked. */
function spent({ simulator }: Stack) {
  const rows = simulator.truth.rows().filter(({ endpoint }) => endpoint === 'encode-vibe');
  return { calls: rows.length, anlas: rows.reduce((sum, { chargeAnlas }) => sum + chargeAnlas, 0) };
}

async function logLines({ logDir }: Stack): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(logDir, 'app.log'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('vibes, the same again: the same bytes at once, unpaid, and the saving is told', async (t) => {
  const stack = await startStack({ clients: 2 });
  t.after(() => stack.close());
  const body = await vibeBody();
  const first = await encode(stack, body);
  const again = await encode(stack, body, { token: stack.tokens[1] ?? '' });
  assert.deepEqual([first.status, again.status], [200, 200]);
  assert.equal(again.sha256, first.sha256);
  for (const name of ['content-type', 'content-disposition']) assert.equal(again.headers[name], first.headers[name]);
  assert.equal(first.headers['x-proxy-cache'], undefined);
  assert.equal(again.headers['x-proxy-cache'], 'hit');
  assert.equal(again.headers['x-anlas-saved'], '2');
  assert.deepEqual(spent(stack), { calls: 1, anlas: 2 });
  await until(() => stack.service.running === 0);
  const saved = (await logLines(stack)).filter(({ savedAnlas }) => savedAnlas !== undefined);
  assert.deepEqual(
    saved.map(({ client, savedAnlas, cache, outcome }) => ({ client, savedAnlas, cache, outcome })),
    [{ client: 'client-2', savedAnlas: 2, cache: 'hit', outcome: 'succeeded' }],
  );
});

test('vibes, anything different is paid for', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  for (const body of [
    await vibeBody(90),
    await vibeBody(91),
    await vibeBody(90, { information_extracted: 0.5 }),
    await vibeBody(90, { model: 'nai-diffusion-4-full' }),
  ])
    assert.equal((await encode(stack, body)).headers['x-proxy-cache'], undefined);
  assert.deepEqual(spent(stack), { calls: 4, anlas: 8 });
});

test('vibes, a form with another boundary is the same form', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const parts = [{ name: 'image', bytes: await samplePicture() }];
  const caches = [];
  for (const boundary of ['--aaaa1111', '--bbbb2222']) {
    const { headers, body } = requestForm({ ...VIBE, image: 'image' }, parts, boundary);
    caches.push((await encode(stack, body, { headers })).headers['x-proxy-cache']);
  }
  assert.deepEqual(caches, [undefined, 'hit']);
});

test('vibes, 12 at the same time: one is paid for', async (t) => {
  const stack = await startStack({ accounts: 3, simulator: { fixedLatencyMs: 200 } });
  t.after(() => stack.close());
  const body = await vibeBody();
  const answers = await Promise.all(Array.from({ length: 12 }, () => encode(stack, body)));
  assert.equal(new Set(answers.map(({ sha256 }) => sha256)).size, 1);
  assert.deepEqual(spent(stack), { calls: 1, anlas: 2 });
  assert.equal(answers.filter(({ headers }) => headers['x-proxy-cache'] === 'shared').length, 11);
});

test('vibes, the payer leaves while NovelAI works: the vibe is kept for the next who asks', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 300 } });
  t.after(() => stack.close());
  const body = await vibeBody();
  await assert.rejects(encode(stack, body, { onRequest: (request) => setTimeout(() => request.destroy(), 120) }));
  const next = await encode(stack, body);
  assert.equal(next.status, 200);
  assert.equal(next.body.length, 48_916);
  assert.deepEqual(spent(stack), { calls: 1, anlas: 2 });
});

test('vibes, the first is refused: the one that waited for it is tried on its own', async (t) => {
  const stack = await startStack({ simulator: { fixedLatencyMs: 150 } });
  t.after(() => stack.close());
  stack.simulator.faults.add({ kind: 'status', status: 500, endpoint: 'encode-vibe', times: 1, delayMs: 150 });
  const body = await vibeBody();
  const answers = await Promise.all([encode(stack, body), encode(stack, body)]);
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 500],
  );
  assert.equal(spent(stack).calls, 2);
});

for (const [what, fault] of [
  ['an error', { kind: 'status', status: 400 }],
  ['an answer that breaks off', { kind: 'truncate' }],
] as const)
  test(`vibes, ${what} is not kept`, async (t) => {
    const stack = await startStack();
    t.after(() => stack.close());
    stack.simulator.faults.add({ ...fault, endpoint: 'encode-vibe', times: 1 });
    const body = await vibeBody();
    await encode(stack, body).catch(() => undefined);
    // Where the end was not seen, the account rests until such a work is surely over.
    const next = await encode(stack, body);
    assert.equal(next.status, 200);
    assert.equal(next.headers['x-proxy-cache'], undefined);
    assert.equal((await encode(stack, body)).headers['x-proxy-cache'], 'hit');
  });

test('vibes, after a restart they are still there', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const body = await vibeBody();
  const first = await encode(stack, body);
  await stack.service.stop();
  const config = readConfig({
    PORT: '0',
    SERVER_TOKENS: stack.token,
    NOVEL_TOKEN: stack.simulator.issueToken('owner-1@example.org'),
    NOVELAI_IMAGE_URL: stack.simulator.imageUrl,
    DATA_DIR: join(stack.dir, 'data'),
  });
  const logHandle = await openLog({ ...config.log, dir: undefined, isTerminal: false, hasConsole: false });
  const service = await createService(config, { log: logHandle.log });
  const address = await service.start();
  t.after(() => service.stop());
  const again = await call(`${address}/ai/encode-vibe`, {
    headers: { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' },
    body,
  });
  assert.equal(again.headers['x-proxy-cache'], 'hit');
  assert.equal(again.sha256, first.sha256);
});

test('kept answers, never more on disk than allowed, the longest unused go first', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const dir = join(stack.dir, 'bounded');
  const kept = new KeptAnswers({ dir, limitBytes: 10_000 });
  await kept.open();
  for (const key of ['a1', 'b2', 'c3']) await kept.put(key, { headers: {}, body: Buffer.alloc(3000, key) });
  assert.ok(await kept.get('a1'));
  await kept.put('d4', { headers: {}, body: Buffer.alloc(3000) });
  await until(() => kept.entries === 3);
  assert.ok(kept.sizeBytes <= 10_000);
  assert.equal(await kept.get('b2'), undefined, 'the longest unused');
  for (const key of ['a1', 'c3', 'd4']) assert.ok(await kept.get(key), key);
  await kept.put('huge', { headers: {}, body: Buffer.alloc(20_000) });
  assert.equal(await kept.get('huge'), undefined);
  let files: string[] = [];
  for (let tries = 0; tries < 100 && files.length !== 3; tries += 1) files = await readdir(dir);
  assert.deepEqual(files.toSorted(), ['a1.answer', 'c3.answer', 'd4.answer']);
});

test('kept answers, a file that was changed or never finished is not given out', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  const dir = join(stack.dir, 'spoilt');
  const kept = new KeptAnswers({ dir, limitBytes: 100_000 });
  await kept.put('a1', { headers: { 'content-type': 'application/binary' }, body: Buffer.from('vibe') });
  const path = join(dir, 'a1.answer');
  await writeFile(path, (await readFile(path, 'utf8')).replace('vibe', 'vile'));
  assert.equal(await kept.get('a1'), undefined);
  await kept.put('b2', { headers: {}, body: Buffer.from('whole') });
  await writeFile(join(dir, 'c3.partial'), 'half');
  const reopened = new KeptAnswers({ dir, limitBytes: 100_000 });
  await reopened.open();
  assert.equal((await reopened.get('b2'))?.body.toString(), 'whole');
  assert.deepEqual(await readdir(dir), ['b2.answer']);
});
