// The simulator's other endpoints over its sockets, by contract/novelai.md: streams, multipart, tools, vibes, upscale, tags, voice, private data.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { request } from 'undici';
import { unzipSync } from 'fflate';
import sharp from 'sharp';
import { encodePng, readPngTexts } from '../../src/novelai/png.ts';
import { StreamFrameReader } from '../../src/novelai/stream-frames.ts';
import type { ReceivedEvent } from '../../src/novelai/stream-frames.ts';
import { DEFAULT_ACCOUNT, startSimulator } from '../../simulator/simulator.ts';
import type { Simulator } from '../../simulator/simulator.ts';

const CONDITION = { caption: { base_caption: '1girl', char_captions: [] } };
const PARAMETERS = {
  width: 832,
  height: 1216,
  steps: 23,
  seed: 5,
  n_samples: 1,
  v4_prompt: CONDITION,
  v4_negative_prompt: CONDITION,
};

let simulator: Simulator;
let session: Record<string, string>;
let picture: Buffer;
const persistent = { authorization: `Bearer ${DEFAULT_ACCOUNT.persistentToken}` };

before(async () => {
  simulator = await startSimulator({ latencyFactor: 0, imageScale: 0.0625 });
  session = { authorization: `Bearer ${simulator.issueToken(DEFAULT_ACCOUNT.email)}` };
  picture = await encodePng({
    widthPx: 64,
    heightPx: 32,
    rgba: new Uint8Array(64 * 32 * 4).fill(99),
    texts: [['Source', 'NovelAI Diffusion V4.5 4BDE2A90']],
  });
});
after(async () => {
  assert.deepEqual(
    simulator.truth.rows().flatMap(({ crash }) => crash ?? []),
    [],
  );
  await simulator.close();
});

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

async function call(
  method: Method,
  path: string,
  body?: string | Buffer | object,
  headers: Record<string, string> = persistent,
) {
  const answer = await request(`${simulator.origin}${path}`, {
    method,
    headers,
    ...(body === undefined
      ? {}
      : { body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
  });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  const type = String(answer.headers['content-type']);
  return {
    status: answer.statusCode,
    headers: answer.headers,
    bytes,
    text: bytes.toString(),
    json: (type === 'application/json' ? JSON.parse(bytes.toString()) : undefined) as Record<string, unknown>,
  };
}

function generation(parameters: object = {}, model = 'nai-diffusion-4-5-full', action = 'generate') {
  return { input: '1girl', model, action, parameters: { ...PARAMETERS, ...parameters } };
}

function framesOf(bytes: Buffer): ReceivedEvent[] {
  const reader = new StreamFrameReader();
  const events = reader.push(bytes);
  assert.equal(reader.isInsideFrame, false);
  return events;
}

test('stream, msgpack: N-1 intermediates and a final for each sample', async () => {
  const answer = await call('POST', '/ai/generate-image-stream', generation({ stream: 'msgpack' }));
  assert.equal(answer.headers['content-type'], 'application/msgpack');
  assert.equal(answer.headers['cache-control'], 'no-cache');
  const events = framesOf(answer.bytes);
  assert.deepEqual(
    events.map(({ event_type }) => event_type),
    [...Array<string>(22).fill('intermediate'), 'final'],
  );
  const [first] = events;
  assert.deepEqual(Object.keys(first ?? {}), ['event_type', 'samp_ix', 'step_ix', 'gen_id', 'sigma', 'image']);
  assert.equal(first?.['sigma'], 20000);
  assert.equal(events[21]?.['sigma'], 0.31205201148986816);
  const jpeg = Buffer.from(first?.['image'] as Uint8Array);
  assert.equal(jpeg.toString('hex', 0, 4), 'ffd8ffe0');
  assert.equal((await sharp(jpeg).metadata()).format, 'jpeg');
  assert.equal(new Set(events.map(({ gen_id }) => gen_id)).size, 1);
  const zip = await call('POST', '/ai/generate-image', generation());
  assert.deepEqual(
    Buffer.from(events[22]?.['image'] as Uint8Array),
    Buffer.from(unzipSync(zip.bytes)['image_0.png'] ?? []),
  );

  const two = framesOf((await call('POST', '/ai/generate-image-stream', generation({ n_samples: 2, steps: 3 }))).bytes);
  assert.deepEqual(
    two.map(({ event_type, samp_ix }) => `${event_type} ${String(samp_ix)}`),
    ['intermediate 0', 'intermediate 1', 'intermediate 0', 'intermediate 1', 'final 0', 'final 1'],
  );
});

test('stream, SSE: exactly three lines an event and nothing else', async () => {
  const answer = await call('POST', '/ai/generate-image-stream', generation({ stream: 'sse' }));
  assert.equal(answer.headers['content-type'], 'text/event-stream');
  const lines = answer.text.split('\n');
  assert.equal(lines.length, 70);
  assert.equal(lines[0], 'event: intermediate');
  assert.match(
    lines[1] ?? '',
    /^data: \{"event_type":"intermediate","samp_ix":0,"step_ix":0,"gen_id":\d+,"sigma":20000,"image":"\/9j\/4/,
  );
  assert.deepEqual([lines[2], lines[66], lines[68], lines[69]], ['', 'event: final', '', '']);
});

test('stream, img2img does only its share of the steps', async () => {
  const body = generation({ image: picture.toString('base64'), strength: 0.7 }, undefined, 'img2img');
  assert.equal(framesOf((await call('POST', '/ai/generate-image-stream', body)).bytes).length, 16 + 1);
});

test('stream, spreads its frames over the generation and breaks off on order', async () => {
  const own = await startSimulator({ fixedLatencyMs: 400, imageScale: 0.02 });
  try {
    const stream = async () => {
      const answer = await request(`${own.origin}/ai/generate-image-stream`, {
        method: 'POST',
        headers: persistent,
        body: JSON.stringify(generation({ steps: 11 })),
      });
      const reader = new StreamFrameReader();
      const events: { type: string; atMs: number }[] = [];
      for await (const chunk of answer.body) {
        for (const { event_type } of reader.push(chunk as Buffer))
          events.push({ type: event_type, atMs: performance.now() });
      }
      return events;
    };
    const events = await stream();
    assert.equal(events.length, 11);
    assert.ok((events[9]?.atMs ?? 0) - (events[0]?.atMs ?? 0) > 200, 'the intermediates came all at once');
    own.faults.add({ kind: 'stream-error', afterFrames: 2 });
    assert.deepEqual(
      (await stream()).map(({ type }) => type),
      ['intermediate', 'intermediate', 'error'],
    );
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).succeeded, 1);
    own.faults.clear();
    own.faults.add({ kind: 'reset-after-headers', afterBytes: 500 });
    await assert.rejects(stream());
    await own.truth.whenIdle();
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).succeeded, 2);
  } finally {
    await own.close();
  }
});

function form(json: object, parts: Record<string, Buffer>): { body: Buffer; headers: Record<string, string> } {
  const boundary = 'x-made-up-boundary';
  const part = (name: string, type: string, bytes: Buffer) =>
    Buffer.concat([
      Buffer.from(
        `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="blob"\r\nContent-Type: ${type}\r\n\r\n`,
      ),
      bytes,
      Buffer.from('\r\n'),
    ]);
  const pieces = Object.entries(parts).map(([name, bytes]) => part(name, 'image/png', bytes));
  return {
    body: Buffer.concat([
      ...pieces,
      part('request', 'application/json', Buffer.from(JSON.stringify(json))),
      Buffer.from(`--${boundary}--\r\n`),
    ]),
    headers: { ...persistent, 'content-type': `multipart/form-data; boundary=${boundary}` },
  };
}

test('multipart, gives the same picture as inline base64, and refuses what is no part', async () => {
  const inline = await call(
    'POST',
    '/ai/generate-image',
    generation({ image: picture.toString('base64') }, undefined, 'img2img'),
  );
  const { body, headers } = form(generation({ image: 'image' }, undefined, 'img2img'), { image: picture });
  const parted = await call('POST', '/ai/generate-image', body, headers);
  assert.equal(parted.status, 200);
  assert.deepEqual(parted.bytes, inline.bytes);

  const wrong = form(generation({ image: picture.toString('base64') }, undefined, 'img2img'), {});
  const refused = await call('POST', '/ai/generate-image', wrong.body, wrong.headers);
  assert.equal(
    refused.text,
    '{"statusCode":400,"message":"image field references unknown form part \\"iVBORw0KGgo...\\""}\n',
  );
});

test('multipart, knows pictures by their cache keys once they have been sent', async () => {
  const keyed = { image_cache_secret_key: 'key-1' };
  const vibes = (data?: string) => ({
    reference_image_multiple_cached: [{ cache_secret_key: 'key-2', ...(data ? { data } : {}) }],
  });
  const first = form(generation({ ...keyed, ...vibes() }, undefined, 'img2img'), {});
  const unknown = await call('POST', '/ai/generate-image', first.body, first.headers);
  assert.equal(
    unknown.text,
    '{"statusCode":400,"message":"INVALID_CACHE_KEYS","details":{"invalidKeys":["key-1","key-2"]}}\n',
  );
  const second = form(generation({ ...keyed, image: 'image', ...vibes('ref_multiple_0') }, undefined, 'img2img'), {
    image: picture,
    ref_multiple_0: Buffer.from('encoded'),
  });
  const sent = await call('POST', '/ai/generate-image', second.body, second.headers);
  const kept = await call('POST', '/ai/generate-image', first.body, first.headers);
  assert.equal(kept.status, 200);
  assert.deepEqual(kept.bytes, sent.bytes);
});

test('augment-image, gives a stored ZIP: one picture, or three for bg-removal, which costs 65', async () => {
  const image = picture.toString('base64');
  const body = (req_type: string) => ({ req_type, width: 847, height: 1237, image });
  const sketch = await call('POST', '/ai/augment-image', body('sketch'));
  assert.deepEqual(Object.keys(unzipSync(sketch.bytes)), ['image_0.png']);
  assert.equal(sketch.bytes.readUInt16LE(6) & 8, 0);
  assert.equal(sketch.bytes.readUInt16LE(8), 0);
  assert.equal(simulator.truth.rows().at(-1)?.chargeAnlas, 0);

  const removed = await call('POST', '/ai/augment-image', body('bg-removal'));
  const entries = unzipSync(removed.bytes);
  assert.deepEqual(Object.keys(entries), ['image_0.png', 'image_1.png', 'image_2.png']);
  assert.equal(simulator.truth.rows().at(-1)?.chargeAnlas, 65);
  const texts = new Map(readPngTexts(Buffer.from(entries['image_0.png'] ?? [])));
  assert.equal(texts.get('Title'), 'AI augmented image');
  assert.match(texts.get('Generation time') ?? '', /^[\d.]+s$/);
  assert.equal(texts.get('Comment'), '{"req_type":"bg-removal"}');
});

test('augment-image, answers 500 to a 1x1 picture and 400 to an unknown tool', async () => {
  const dot = await encodePng({ widthPx: 1, heightPx: 1, rgba: new Uint8Array(4) });
  const tripped = await call('POST', '/ai/augment-image', {
    req_type: 'sketch',
    width: 1,
    height: 1,
    image: dot.toString('base64'),
  });
  assert.equal(tripped.text, '{"statusCode":500,"message":"Internal Server Error"}\n');
  assert.equal((await call('POST', '/ai/augment-image', { req_type: 'pixel-snap', image: 'AAAA' })).status, 400);
});

test('encode-vibe, gives 48,916 bytes with a .vibe40 name for 2 Anlas, the same for the same picture', async () => {
  const body = { image: picture.toString('base64'), model: 'nai-diffusion-4-5-full', information_extracted: 1 };
  const first = await call('POST', '/ai/encode-vibe', body);
  assert.equal(first.headers['content-type'], 'application/binary');
  assert.match(String(first.headers['content-disposition']), /^attachment; filename=[A-Za-z0-9]{8}\.vibe40$/);
  assert.equal(first.bytes.length, 48_916);
  assert.equal(first.bytes.toString('hex', 0, 8), '489bea09cde5f00a');
  assert.equal(simulator.truth.rows().at(-1)?.chargeAnlas, 2);
  assert.deepEqual((await call('POST', '/ai/encode-vibe', body)).bytes, first.bytes);
  assert.notDeepEqual(
    (await call('POST', '/ai/encode-vibe', { ...body, information_extracted: 0.5 })).bytes,
    first.bytes,
  );
  assert.equal((await call('POST', '/ai/encode-vibe', { ...body, model: 'nai-diffusion-3' })).status, 400);
});

test('upscale, doubles the picture and keeps its texts; the old form is refused for its missing model', async () => {
  const image = picture.toString('base64');
  const upscaled = await call('POST', '/ai/upscale', {
    image,
    model: 'nai-diffusion-5-curated',
    declared_blur_sigma: 0,
  });
  const png = Buffer.from(unzipSync(upscaled.bytes)['image_0.png'] ?? []);
  const { width, height } = await sharp(png).metadata();
  assert.deepEqual([width, height], [128, 64]);
  assert.deepEqual(readPngTexts(png), [['Source', 'NovelAI Diffusion V4.5 4BDE2A90']]);
  assert.equal(simulator.truth.rows().at(-1)?.chargeAnlas, 1);
  const old = await call('POST', '/ai/upscale', { image, width: 64, height: 32, scale: 2 });
  assert.equal(old.text, `{"statusCode":400,"message":"Validation error: model  doesn't exist"}\n`);
});

test('annotate-image and generate-voice, answer on the old host’s behalf', async () => {
  const annotated = await call('POST', '/ai/annotate-image', {
    model: 'hed',
    parameters: { image: picture.toString('base64') },
  });
  assert.deepEqual(Object.keys(unzipSync(annotated.bytes)), ['image_0.png']);
  const voice = await call('GET', '/ai/generate-voice?text=hello&seed=Aini&voice=-1&opus=false&version=v2');
  assert.equal(voice.headers['content-type'], 'audio/mpeg');
  assert.equal(voice.bytes.readUInt16BE(0), 0xfffb);
  const opus = await call('GET', '/ai/generate-voice?text=hello&opus=true');
  assert.equal(opus.headers['content-type'], 'audio/webm');
});

test('suggest-tags, answers without Authorization and to a GET with a body; prefixes come first', async () => {
  const path = '/ai/generate-image/suggest-tags?model=nai-diffusion-4-5-full&prompt=cat';
  const { status, json } = await call('GET', path, 'https://image.novelai.net', {});
  assert.equal(status, 200);
  assert.deepEqual((json['tags'] as unknown[])[0], { tag: 'cat', count: 10_000, confidence: 0 });
  const japanese = await call('GET', `${path}&lang=jp`);
  assert.deepEqual(Object.keys((japanese.json as unknown as object[])[0] ?? {}), ['jp_tag', 'en_tag', 'power']);
  const unknown = await call('GET', '/ai/generate-image/suggest-tags?model=none&prompt=cat');
  assert.equal(unknown.text, '{"statusCode":400,"message":"Model not found"}\n');
});

test('private data, is for sessions only', async () => {
  for (const path of ['/user/keystore', '/user/clientsettings', '/user/objects/stories']) {
    const refused = await call('GET', path);
    assert.equal(
      refused.text,
      '{"statusCode":401,"message":"Usage of persistent access tokens is not allowed for this endpoint"}\n',
    );
    assert.equal((await call('GET', path, undefined, session)).status, 200);
  }
});

test('objects, can be put, listed, patched, refused when stale, and deleted', async () => {
  const put = await call('PUT', '/user/objects/stories', { data: 'AAAA', meta: 'm' }, session);
  assert.equal(put.status, 201);
  assert.deepEqual(Object.keys(put.json), ['id', 'type', 'meta', 'data', 'lastUpdatedAt', 'changeIndex', 'status']);
  const path = `/user/objects/stories/${String(put.json['id'])}`;
  assert.equal((await call('PATCH', path, { data: 'BBBB', changeIndex: 0 }, session)).json['changeIndex'], 1);
  assert.equal((await call('PATCH', path, { data: 'CCCC', changeIndex: 0 }, session)).status, 409);
  const { json } = await call('GET', '/user/objects/stories', undefined, session);
  assert.equal((json['objects'] as { data: string }[])[0]?.data, 'BBBB');
  assert.equal((await call('DELETE', path, undefined, session)).status, 204);
  assert.equal((await call('GET', path, undefined, session)).status, 404);
  await call('PUT', '/user/objects/presets', { data: 'AAAA' }, session);
  const batch = await call('DELETE', '/user/objects/batch', { types: ['presets'] }, session);
  assert.equal(batch.json['deletedDataObjects'], 1);
});

test('create-persistent-token, needs a session, is 409 when there is one, and replaces it when told to', async () => {
  const own = await startSimulator({ latencyFactor: 0 });
  try {
    const create = async (body: object, authorization: string) => {
      const answer = await request(`${own.origin}/user/create-persistent-token`, {
        method: 'POST',
        headers: { authorization },
        body: JSON.stringify(body),
      });
      return { status: answer.statusCode, json: (await answer.body.json()) as { token?: string } };
    };
    const jwt = `Bearer ${own.issueToken(DEFAULT_ACCOUNT.email)}`;
    assert.equal((await create({}, persistent.authorization)).status, 401);
    assert.equal((await create({}, jwt)).status, 409);
    const { status, json } = await create({ overwrite: true }, jwt);
    assert.equal(status, 201);
    assert.match(json.token ?? '', /^pst-[A-Za-z0-9]{64}$/);
    const read = (authorization: string) => request(`${own.origin}/user/subscription`, { headers: { authorization } });
    assert.equal((await read(persistent.authorization)).statusCode, 401);
    assert.equal((await read(`Bearer ${json.token}`)).statusCode, 200);
  } finally {
    await own.close();
  }
});

test('user data and information, have the documented members', async () => {
  const data = await call('GET', '/user/data');
  assert.deepEqual(Object.keys(data.json), ['priority', 'subscription', 'keystore', 'settings', 'information']);
  const information = await call('GET', '/user/information');
  assert.equal(Object.keys(information.json).length, 13);
  assert.deepEqual((await call('GET', '/user/giftkeys')).json, { giftKeys: [] });
});

test('unknown paths and methods, are 404 and 405 in NovelAI’s form', async () => {
  assert.equal((await call('GET', '/ai/models')).text, '{"statusCode":404,"message":"Not Found"}\n');
  assert.equal((await call('GET', '/ai/generate-image')).status, 405);
  assert.equal((await call('POST', '/ai/generate-image/request-price', {})).status, 404);
});

test('a body beyond the limit, is 413, however large', async () => {
  const own = await startSimulator({ latencyFactor: 0, bodyLimitBytes: 1000 });
  try {
    for (const sizeBytes of [2000, 5_000_000]) {
      const answer = await request(`${own.origin}/ai/generate-image`, {
        method: 'POST',
        headers: persistent,
        body: Buffer.alloc(sizeBytes),
      });
      assert.equal(answer.statusCode, 413);
      await answer.body.dump();
    }
  } finally {
    await own.close();
  }
});

test('the wire, takes chunked bodies behind Expect: 100-continue and HTTP/1.0', async () => {
  const { hostname, port } = new URL(simulator.origin);
  const talk = async (first: string, rest?: string): Promise<string> => {
    const socket = connect({ host: hostname, port: Number(port) });
    let heard = '';
    socket.on('data', (chunk: Buffer) => {
      if (heard === '' && rest !== undefined) socket.write(rest);
      heard += chunk.toString('latin1');
    });
    socket.write(first);
    await once(socket, 'close');
    return heard;
  };
  const authorization = `authorization: ${persistent.authorization}`;
  const body = JSON.stringify(generation());
  const continued = await talk(
    `POST /ai/generate-image HTTP/1.1\r\nhost: x\r\n${authorization}\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n`,
    `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  );
  assert.match(
    continued,
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\ncontent-type: binary\/octet-stream\r\ncontent-disposition: attachment; filename=images\.zip\r\ntransfer-encoding: chunked\r\n/,
  );
  const old = await talk(`GET /user/subscription HTTP/1.0\r\n${authorization}\r\n\r\n`);
  assert.match(old, /^HTTP\/1\.1 200 OK\r\nconnection: close\r\n/);
});
