// The simulator over its sockets: login, subscription, generate-image, lock, balance and truth log, by contract/novelai.md.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { unzipSync } from 'fflate';
import sharp from 'sharp';
import { deriveAccessKey } from '../../src/novelai/access-key.ts';
import { readPngTexts } from '../../src/novelai/png.ts';
import { DEFAULT_ACCOUNT, startSimulator } from '../../simulator/simulator.ts';
import type { Simulator } from '../../simulator/simulator.ts';

const PST = { authorization: `Bearer ${DEFAULT_ACCOUNT.persistentToken}`, 'content-type': 'application/json' };

function imageBody(changes: Record<string, unknown> = {}, model = 'nai-diffusion-4-5-full'): string {
  const condition = (base_caption: string) => ({ caption: { base_caption, char_captions: [] } });
  return JSON.stringify({
    input: '1girl',
    model,
    action: 'generate',
    parameters: {
      params_version: 3,
      width: 832,
      height: 1216,
      steps: 23,
      seed: 1234567890,
      n_samples: 1,
      v4_prompt: condition('1girl'),
      v4_negative_prompt: condition('lowres'),
      ...changes,
    },
  });
}

let simulator: Simulator;
before(async () => {
  simulator = await startSimulator({ latencyFactor: 0, imageScale: 0.0625 });
});
after(() => simulator.close());

async function post(path: string, body: string, headers: Record<string, string> = PST, origin = simulator.origin) {
  const answer = await request(`${origin}${path}`, { method: 'POST', headers, body });
  return { status: answer.statusCode, headers: answer.headers, bytes: Buffer.from(await answer.body.arrayBuffer()) };
}

async function getJson(path: string, headers: Record<string, string> = PST) {
  const answer = await request(`${simulator.origin}${path}`, { headers });
  return { status: answer.statusCode, json: (await answer.body.json()) as Record<string, unknown> };
}

test('login, takes the real access key and gives a JWT that works', async () => {
  const key = await deriveAccessKey(DEFAULT_ACCOUNT.email, DEFAULT_ACCOUNT.password);
  const answer = await post('/user/login', JSON.stringify({ timeout: 5, key }), {});
  assert.equal(answer.status, 201);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.match(answer.bytes.toString(), /^\{"accessToken":"[^"]+"\}\n$/);
  const { accessToken } = JSON.parse(answer.bytes.toString()) as { accessToken: string };
  const [header, claims] = accessToken.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  assert.equal((JSON.parse(header as string) as { alg: string }).alg, 'HS256');
  assert.deepEqual(Object.keys(JSON.parse(claims as string) as object), ['exp', 'iat', 'id', 'nc']);
  assert.equal((await getJson('/user/subscription', { authorization: `Bearer ${accessToken}` })).status, 200);
});

test('login, refuses a wrong key with 401 in NovelAI’s form', async () => {
  const answer = await post('/user/login', JSON.stringify({ key: 'x'.repeat(64) }), {});
  assert.equal(answer.status, 401);
  assert.equal(answer.bytes.toString(), '{"statusCode":401,"message":"Unauthorized"}\n');
});

test('tokens, are refused once expired or revoked, and the persistent one only once revoked', async () => {
  const own = await startSimulator({ latencyFactor: 0 });
  const status = async (token: string) =>
    (await request(`${own.origin}/user/subscription`, { headers: { authorization: `Bearer ${token}` } })).statusCode;
  const { email, persistentToken } = DEFAULT_ACCOUNT;
  try {
    const first = own.issueToken(email, 100);
    assert.equal(await status(first), 200);
    own.advanceClockMs(101_000);
    assert.equal(await status(first), 401);
    const second = own.issueToken(email);
    own.expireTokens();
    assert.equal(await status(second), 401);
    assert.equal(await status(own.issueToken(email)), 200);
    assert.equal(await status(persistentToken), 200);
    own.revokeTokens(email);
    assert.equal(await status(persistentToken), 401);
    assert.equal(await status(`${own.issueToken(email)}x`), 401);
  } finally {
    await own.close();
  }
});

test('generate-image, has the captured headers and a streamed ZIP of a PNG with NovelAI’s texts', async () => {
  const answer = await post('/ai/generate-image', imageBody());
  assert.equal(answer.status, 200);
  const { date, connection, ...headers } = answer.headers;
  assert.ok(date);
  assert.equal(connection, 'keep-alive');
  assert.deepEqual(Object.entries(headers), [
    ['content-type', 'binary/octet-stream'],
    ['content-disposition', 'attachment; filename=images.zip'],
    ['transfer-encoding', 'chunked'],
    ['server', 'cloudflare'],
    ['vary', 'Origin'],
  ]);
  assert.equal(answer.bytes.readUInt16LE(6) & 8, 8);
  const entries = unzipSync(answer.bytes);
  assert.deepEqual(Object.keys(entries), ['image_0.png']);
  const png = Buffer.from(entries['image_0.png'] as Uint8Array);
  const info = await sharp(png).metadata();
  assert.deepEqual([info.format, info.width, info.height, info.channels], ['png', 52, 76, 4]);
  const texts = new Map(readPngTexts(png));
  assert.deepEqual([...texts.keys()], ['Title', 'Description', 'Software', 'Source', 'Generation_time', 'Comment']);
  const comment = JSON.parse(texts.get('Comment') as string) as Record<string, unknown>;
  assert.equal(comment['seed'], 1234567890);
  assert.equal(comment['width'], 832);
  assert.equal('params_version' in comment, false);
});

test('generate-image, gives one seed the same bytes, another prompt another picture, and samples consecutive seeds', async () => {
  const first = await post('/ai/generate-image', imageBody());
  const again = await post('/ai/generate-image', imageBody({ stream: 'sse' }));
  const other = await post('/ai/generate-image', imageBody({ v4_prompt: { caption: { base_caption: '1boy' } } }));
  assert.deepEqual(picturesOf(again.bytes), picturesOf(first.bytes));
  assert.notDeepEqual(picturesOf(other.bytes), picturesOf(first.bytes));
  await post('/ai/generate-image', imageBody({ seed: 10 }));
  const two = picturesOf((await post('/ai/generate-image', imageBody({ n_samples: 2, seed: 10 }))).bytes);
  assert.equal(two.length, 2);
  assert.deepEqual(two.map(seedOf), [10, 11]);
});

function picturesOf(zip: Buffer): Buffer[] {
  return Object.values(unzipSync(zip)).map((bytes) => Buffer.from(bytes));
}

function seedOf(png: Buffer): unknown {
  return (JSON.parse(new Map(readPngTexts(png)).get('Comment') as string) as Record<string, unknown>)['seed'];
}

test('generate-image, answers JSON with base64 to Accept: application/json, in Brotli where that is taken', async () => {
  const plain = await post('/ai/generate-image', imageBody(), { ...PST, accept: 'application/json' });
  assert.equal(plain.headers['content-type'], 'application/json');
  const { images } = JSON.parse(plain.bytes.toString()) as { images: { image: string; index: number; seed: number }[] };
  assert.deepEqual(Object.keys(images[0] as object), ['image', 'index', 'seed']);
  assert.equal(images[0]?.seed, 1234567890);
  const png = picturesOf((await post('/ai/generate-image', imageBody())).bytes)[0];
  assert.deepEqual(Buffer.from(images[0]?.image ?? '', 'base64'), png);
  const packed = await post('/ai/generate-image', imageBody(), {
    ...PST,
    accept: 'application/json',
    'accept-encoding': 'br',
  });
  assert.equal(packed.headers['content-encoding'], 'br');
});

test('generate-image, gives lossless WebP with its EXIF when asked', async () => {
  const [webp] = Object.entries(
    unzipSync((await post('/ai/generate-image', imageBody({ image_format: 'webp' }, 'nai-diffusion-5-full'))).bytes),
  );
  assert.equal(webp?.[0], 'image_0.webp');
  const bytes = Buffer.from(webp?.[1] as Uint8Array);
  assert.equal(bytes.toString('latin1', 8, 16), 'WEBPVP8X');
  assert.ok(bytes.includes('VP8L') && bytes.includes('EXIF'));
  const info = await sharp(bytes).metadata();
  assert.deepEqual([info.width, info.hasAlpha], [52, true]);
});

test('generate-image, refuses as documented', async () => {
  const refusals: [string, string, number, string][] = [
    [
      'unknown model',
      imageBody({}, 'nai-diffusion-5-curated-inpainting'),
      400,
      "Validation error: model nai-diffusion-5-curated-inpainting doesn't exist",
    ],
    ['no v4_prompt', imageBody({ v4_prompt: undefined }), 500, 'Internal Server Error'],
    [
      'V5 with a vibe',
      imageBody({ reference_image_multiple: ['AAAA'] }, 'nai-diffusion-5-full'),
      500,
      'Internal Server Error',
    ],
    ['broken JSON', '{"input":', 400, 'Validation error: invalid JSON in request body'],
    ['steps beyond the limit', imageBody({ steps: 51 }), 400, 'Validation error: steps must be between 1 and 50'],
  ];
  for (const [name, body, status, message] of refusals) {
    const answer = await post('/ai/generate-image', body);
    assert.equal(answer.bytes.toString(), `${JSON.stringify({ statusCode: status, message })}\n`, name);
    assert.deepEqual(
      Object.keys(answer.headers),
      ['connection', 'content-length', 'content-type', 'date', 'server', 'vary'],
      name,
    );
    assert.equal(answer.headers['content-type'], 'application/json');
  }
  const reference = await post(
    '/ai/generate-image',
    imageBody({ director_reference_images: ['AAAA'] }, 'nai-diffusion-5-full'),
  );
  assert.match(
    reference.bytes.toString(),
    /^\{"statusCode":400,"message":"Error encoding v4 director references: .*no such host"\}\n$/,
  );
});

test('generate-image, appends a ZIP to the JSON for infill on V5 Curated', async () => {
  const body = imageBody({}, 'nai-diffusion-5-curated').replace('"generate"', '"infill"');
  const { status, bytes } = await post('/ai/generate-image', body);
  assert.equal(status, 400);
  const end = bytes.indexOf('\n') + 1;
  assert.match(bytes.toString('utf8', 0, end), /doesn't support action infill/);
  assert.deepEqual(unzipSync(bytes.subarray(end)), {});
});

test('no Authorization, is 401, and the image host lets any origin read it', async () => {
  const answer = await post('/ai/generate-image', imageBody(), { origin: 'https://example.com' });
  assert.equal(answer.status, 401);
  assert.equal(answer.headers['access-control-allow-origin'], '*');
  assert.equal(answer.headers['access-control-allow-headers'], 'Authorization, Content-Type');
});

test('Python-urllib, is blocked with HTML by the edge', async () => {
  const answer = await post('/ai/generate-image', imageBody(), { ...PST, 'user-agent': 'Python-urllib/3.11' });
  assert.equal(answer.status, 403);
  assert.match(answer.bytes.toString(), /^<!DOCTYPE html>/);
});

test('the lock, refuses a second generation with 429, also after the first client left, until the first ends', async () => {
  const own = await startSimulator({ fixedLatencyMs: 300, imageScale: 0.0625 });
  try {
    const leaving = new AbortController();
    const left = request(`${own.origin}/ai/generate-image`, {
      method: 'POST',
      headers: PST,
      body: imageBody(),
      signal: leaving.signal,
    });
    left.catch(() => undefined);
    await sleep(100);
    leaving.abort();
    const second = await post('/ai/generate-image', imageBody(), PST, own.origin);
    assert.equal(second.status, 429);
    assert.equal(second.bytes.toString(), '{"statusCode":429,"message":"Concurrent generation is locked"}\n');
    await own.truth.whenIdle();
    assert.equal((await post('/ai/generate-image', imageBody(), PST, own.origin)).status, 200);

    const truth = own.truth.account(DEFAULT_ACCOUNT.email);
    assert.deepEqual(
      {
        generations: truth.generations,
        lockRefusals: truth.lockRefusals,
        greatestOverlap: truth.greatestOverlap,
        succeeded: truth.succeeded,
      },
      { generations: 2, lockRefusals: 1, greatestOverlap: 2, succeeded: 2 },
    );
    assert.ok(truth.busyMs >= 590 && truth.busyMs < 2000, `${truth.busyMs}`);
    const [first] = own.truth.rows();
    assert.equal(first?.wasClientGone, true);
    assert.equal(first?.status, 0);
  } finally {
    await own.close();
  }
});

test('one after the other, is never an overlap, however quickly', async () => {
  const own = await startSimulator({ latencyFactor: 0, cannedAnswerBytes: 200_000 });
  try {
    for (let turn = 0; turn < 50; turn++) {
      const { status, bytes } = await post('/ai/generate-image', imageBody(), PST, own.origin);
      assert.equal(status, 200);
      assert.equal(bytes.length, 200_000);
    }
    const { greatestOverlap, generations } = own.truth.account(DEFAULT_ACCOUNT.email);
    assert.deepEqual({ greatestOverlap, generations }, { greatestOverlap: 1, generations: 50 });
  } finally {
    await own.close();
  }
});

test('Anlas, are charged from the fixed pool first at the end, and missing ones are 402', async () => {
  const own = await startSimulator({
    latencyFactor: 0,
    imageScale: 0.0625,
    accounts: [{ ...DEFAULT_ACCOUNT, tier: 1, fixedAnlas: 10, purchasedAnlas: 8 }],
  });
  try {
    assert.equal((await post('/ai/generate-image', imageBody(), PST, own.origin)).status, 200);
    assert.deepEqual([own.accounts[0]?.fixedAnlas, own.accounts[0]?.purchasedAnlas], [0, 1]);
    const refused = await post('/ai/generate-image', imageBody(), PST, own.origin);
    assert.equal(refused.bytes.toString(), '{"statusCode":402,"message":"Not enough Anlas"}\n');
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).chargedAnlas, 17);
    own.setBalance(DEFAULT_ACCOUNT.email, { purchasedAnlas: 16 });
    assert.equal((await post('/ai/generate-image', imageBody(), PST, own.origin)).status, 402);
    own.setBalance(DEFAULT_ACCOUNT.email, { purchasedAnlas: 17 });
    assert.equal((await post('/ai/generate-image', imageBody(), PST, own.origin)).status, 200);
  } finally {
    await own.close();
  }
});

test('V5 on Opus, drains the allowance by 1 % in 17.3 pictures, then costs Anlas until it has grown back', async () => {
  const own = await startSimulator({
    latencyFactor: 0,
    imageScale: 0.01,
    accounts: [{ ...DEFAULT_ACCOUNT, allowancePercent: 1 }],
  });
  try {
    const body = imageBody({}, 'nai-diffusion-5-full');
    for (let picture = 0; picture < 18; picture++) await post('/ai/generate-image', body, PST, own.origin);
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).chargedAnlas, 26);
    assert.equal(own.accounts[0]?.allowance().isNegative, true);
    own.advanceClockMs(7_888_000);
    await post('/ai/generate-image', body, PST, own.origin);
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).chargedAnlas, 26);
  } finally {
    await own.close();
  }
});

test('subscription, has the live members in order, and the old perks only by the switch', async () => {
  const { json } = await getJson('/user/subscription');
  assert.deepEqual(Object.keys(json), [
    'tier',
    'active',
    'paymentProcessor',
    'paymentProcessorData',
    'expiresAt',
    'perks',
    'trainingStepsLeft',
    'accountType',
    'isGracePeriod',
    'isPaypal',
    'usage',
  ]);
  assert.deepEqual(Object.keys(json['perks'] as object), [
    'maxPriorityActions',
    'startPriority',
    'contextTokens',
    'unlimitedMaxPriority',
    'moduleTrainingSteps',
  ]);
  const old = await startSimulator({ latencyFactor: 0, hasOldPerks: true });
  const answer = await request(`${old.origin}/user/subscription`, { headers: PST });
  const { perks, usage } = (await answer.body.json()) as Record<'perks' | 'usage', Record<string, unknown>>;
  assert.deepEqual(usage, { percent: 100, isNegative: false, timeUntilNextPercent: 0 });
  assert.equal(perks['unlimitedImageGeneration'], true);
  await old.close();
});

test('rolePorts, give each host its own paths only, and the old host its documented answers', async () => {
  const own = await startSimulator({ latencyFactor: 0, rolePorts: { image: 0, text: 0, api: 0 } });
  try {
    const status = async (url: string, method: 'GET' | 'POST') =>
      (await request(url, { method, headers: PST })).statusCode;
    assert.equal(new Set([own.origin, own.imageUrl, own.textUrl, own.apiUrl]).size, 4);
    assert.equal(await status(`${own.imageUrl}/user/subscription`, 'GET'), 200);
    assert.equal(await status(`${own.textUrl}/user/subscription`, 'GET'), 404);
    assert.equal(await status(`${own.apiUrl}/ai/generate-image`, 'POST'), 404);
    const moved = await request(`${own.apiUrl}/user/subscription`, { headers: PST });
    assert.equal(moved.statusCode, 400);
    assert.equal(
      await moved.body.text(),
      '{"statusCode":400,"message":"Please refresh NovelAI.net. If using a third-party tool, update to the image URL."}\n',
    );
  } finally {
    await own.close();
  }
});

test('the truth log, has the hashes of both bodies and every count', async () => {
  const body = imageBody();
  const { bytes } = await post('/ai/generate-image', body);
  const row = simulator.truth.rows().at(-1);
  const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
  assert.equal(row?.requestSha256, sha256(body));
  assert.equal(row?.answerSha256, sha256(bytes));
  assert.equal(row?.answerBytes, bytes.length);
  assert.deepEqual(
    [row?.endpoint, row?.account, row?.status, row?.chargeAnlas, row?.overlap, row?.role],
    ['generate-image', DEFAULT_ACCOUNT.email, 200, 0, 1, 'image'],
  );
  assert.ok((row?.endMs ?? 0) >= (row?.releasedMs ?? Infinity));
  assert.equal(simulator.truth.rows().filter(({ crash }) => crash !== undefined).length, 0);
});
