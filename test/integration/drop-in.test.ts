// The proxy as a drop-in: what real clients send, in every odd form they send it, and what they get back.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { readZip } from '../../src/novelai/zip.ts';
import { call, sha256 } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';

let stack: Stack;
before(async () => {
  stack = await startStack({ accounts: 2, simulator: { recordsHeaders: true }, environment: { BODY_LIMIT: '1mb' } });
});
after(() => stack.close());

/** The newest generation that NovelAI saw. */
function lastSeen() {
  const row = stack.simulator.truth.rows().findLast(({ endpoint }) => endpoint === 'generate-image');
  assert.ok(row, 'NovelAI saw a generation');
  return row;
}

function assertNovelaiError(
  answer: { status: number; headers: Record<string, unknown>; text: string },
  status: number,
): string {
  assert.equal(answer.status, status);
  assert.equal(answer.headers['content-type'], 'application/json', 'exactly, without a charset');
  const json: unknown = JSON.parse(answer.text);
  assert.ok(typeof json === 'object' && json !== null && 'statusCode' in json && 'message' in json);
  assert.equal(json.statusCode, status);
  return String(json.message);
}

test('generate-image, bytes pass through unchanged both ways', async () => {
  const body = generationBody({ prompt: 'a cat, ünïcödé' });
  const answer = await stack.generate(body);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'binary/octet-stream');
  assert.equal(answer.headers['content-disposition'], 'attachment; filename=images.zip');
  const seen = lastSeen();
  assert.equal(seen.requestSha256, sha256(body));
  assert.equal(seen.answerSha256, answer.sha256);
  const [image] = await readZip(answer.body);
  assert.equal(image?.name, 'image_0.png');
  assert.match(String(answer.headers['x-request-id']), /^\w+-\w+$/);
});

test('generate-image, an answer as JSON passes through unchanged', async () => {
  const answer = await stack.generate(generationBody(), { headers: { accept: 'application/json' } });
  assert.match(String(answer.headers['content-type']), /^application\/json/);
  assert.equal(lastSeen().answerSha256, answer.sha256);
});

for (const [spelling, authorization] of [
  ['Bearer', (token: string) => `Bearer ${token}`],
  ['bearer', (token: string) => `bearer ${token}`],
  ['another scheme word', (token: string) => `Token ${token}`],
  ['the bare token', (token: string) => token],
  ['spaces around', (token: string) => `  Bearer   ${token} `],
] as const)
  test(`authorization, ${spelling} is accepted`, async () => {
    const answer = await stack.generate(generationBody(), { headers: { authorization: authorization(stack.token) } });
    assert.equal(answer.status, 200);
  });

for (const [what, authorization] of [
  ['missing', undefined],
  ['empty', ''],
  ['only a scheme', 'Bearer'],
  ['a wrong token', 'Bearer wrong'],
  ['three words', 'Bearer a b'],
  ['garbage', '\u00ff\u00fe{}"'],
] as const)
  test(`authorization, ${what}: 401 in NovelAI's form, nothing sent`, async () => {
    const before = stack.simulator.truth.totals().requests;
    const answer = await call(`${stack.address}/ai/generate-image`, {
      body: generationBody(),
      headers: authorization === undefined ? {} : { authorization },
    });
    assert.equal(assertNovelaiError(answer, 401), 'Unauthorized');
    assert.equal(stack.simulator.truth.totals().requests, before);
  });

test('GET with a body is a generation', async () => {
  const body = generationBody();
  const answer = await stack.generate(body, { method: 'GET' });
  assert.equal(answer.status, 200);
  assert.equal(lastSeen().requestSha256, sha256(body));
  assert.equal(lastSeen().method, 'POST');
});

test('odd but harmless forms of the same request are served', async () => {
  const forms: [string, Parameters<Stack['generate']>[1]][] = [
    ['doubled slash', { path: '//ai/generate-image' }],
    ['slash at the end', { path: '/ai/generate-image/' }],
    ['query', { path: '/ai/generate-image?x=1' }],
    ['foreign Host', { headers: { host: 'image.novelai.net' } }],
    ['TE: trailers', { headers: { te: 'trailers', connection: 'te' } }],
    ['charset', { headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ['no JSON type', { headers: { 'content-type': 'text/plain' } }],
    ['broken type', { headers: { 'content-type': ';;;' } }],
    ['chunked', { headers: { 'transfer-encoding': 'chunked' } }],
    ['Expect', { headers: { expect: '100-continue' } }],
    ['browser headers', { headers: { origin: 'https://novelai.net', referer: 'https://novelai.net/', cookie: 'a=b' } }],
  ];
  for (const [name, options] of forms) {
    const answer = await stack.generate(generationBody({ prompt: name }), options);
    assert.equal(answer.status, 200, `${name}: ${answer.status < 400 ? '' : answer.text}`);
    assert.equal(lastSeen().requestSha256, sha256(generationBody({ prompt: name })), name);
  }
});

test('headers, the client is not named to NovelAI', async () => {
  await stack.generate(generationBody(), {
    headers: {
      cookie: 'secret=1',
      origin: 'https://example.org',
      referer: 'https://example.org/',
      'x-forwarded-for': '10.0.0.1',
    },
  });
  const { headers = {} } = lastSeen();
  for (const name of ['cookie', 'origin', 'referer', 'x-forwarded-for', 'x-request-id'])
    assert.equal(headers[name], undefined, name);
  assert.notEqual(headers['authorization'], `Bearer ${stack.token}`);
  assert.match(String(headers['user-agent']), /^novelai-proxy-service\//);
  assert.match(String(headers['x-correlation-id']), /^\w{6}$/);
});

test('headers, a correlation id of the client is kept', async () => {
  await stack.generate(generationBody(), { headers: { 'x-correlation-id': 'aB3xY9' } });
  assert.equal(lastSeen().headers?.['x-correlation-id'], 'aB3xY9');
});

test("NovelAI's own refusal passes through unchanged and leaves the account alone", async () => {
  const answer = await stack.generate(generationBody({ model: 'no-such-model' }));
  assert.equal(answer.status, 400);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(answer.sha256, lastSeen().answerSha256);
  assert.match(answer.text, /doesn't exist/);
  assert.ok(stack.service.pool.accounts.every((account) => account.availability('image').state === 'ready'));
});

for (const [what, body] of [
  ['broken JSON', '{"input": '],
  ['no JSON', 'hello'],
  ['an array', '[]'],
  ['nothing', ''],
  ['deep nesting', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
] as const)
  test(`body, ${what}: 400 in NovelAI's form, nothing sent`, async () => {
    const before = stack.simulator.truth.totals().requests;
    const answer = await stack.generate(body);
    assert.ok(assertNovelaiError(answer, 400).length > 10);
    assert.equal(stack.simulator.truth.totals().requests, before);
  });

test('body over the limit, declared: 413 before it is read', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(stack.address).port), '127.0.0.1', () => {
      socket.write(
        `POST /ai/generate-image HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${stack.token}\r\nContent-Type: application/json\r\nContent-Length: 50000000\r\n\r\n{`,
      );
    });
    socket.once('data', (chunk) => {
      resolve(chunk.toString('utf8'));
      socket.destroy();
    });
    socket.once('error', reject);
  });
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /"statusCode":413/);
});

test('body over the limit, declared and announced with Expect: refused without being asked for', async () => {
  let wasContinued = false;
  const answer = await call(`${stack.address}/ai/generate-image`, {
    headers: { authorization: `Bearer ${stack.token}`, expect: '100-continue', 'content-length': 50_000_000 },
    onRequest: (request) => request.once('continue', () => (wasContinued = true)),
  }).catch((error: unknown) => error);
  assert.equal(wasContinued, false);
  assert.ok(typeof answer === 'object' && answer !== null && 'status' in answer);
  assert.equal(answer.status, 413);
});

test('body over the limit, chunked: 413', async () => {
  const answer = await stack.generate(Buffer.alloc(1_200_000, 0x20), { headers: { 'transfer-encoding': 'chunked' } });
  assertNovelaiError(answer, 413);
});

test("unknown path and method: 404 and 405 in NovelAI's form", async () => {
  const headers = { authorization: `Bearer ${stack.token}` };
  assertNovelaiError(await call(`${stack.address}/ai/nothing`, { headers }), 404);
  assertNovelaiError(await call(`${stack.address}/nothing`, { headers, method: 'GET' }), 404);
  const wrongMethod = await call(`${stack.address}/ai/generate-image`, { headers, method: 'DELETE' });
  assertNovelaiError(wrongMethod, 405);
  assert.equal(wrongMethod.headers.allow, 'POST, GET');
});

test('health, both answers', async () => {
  assert.equal((await call(`${stack.address}/livez`, { method: 'GET' })).status, 200);
  const ready = await call(`${stack.address}/readyz`, { method: 'GET' });
  assert.equal(ready.status, 200);
  assert.match(ready.text, /"acc-1"/);
});
