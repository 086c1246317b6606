// Checks that model, size, price and the rest are read from real bodies, and that lies never make a request cheaper.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import sharp from 'sharp';
import { ENDPOINTS } from '../../../src/novelai/endpoints.ts';
import type { EndpointId } from '../../../src/novelai/endpoints.ts';
import { priceOf } from '../../../src/novelai/price.ts';
import type { PayingAccount } from '../../../src/novelai/price.ts';
import { RequestBodyError } from '../../../src/novelai/request-body-error.ts';
import { readRequestBody } from '../../../src/novelai/request-body.ts';
import type { RequestFacts } from '../../../src/novelai/request-body.ts';

const OPUS: PayingAccount = { tier: 3, isActive: true, isAllowanceExhausted: false };
const TIER1: PayingAccount = { tier: 1, isActive: true, isAllowanceExhausted: false };
/** Long enough to be cut out. */
const PNG = (await picture(640, 960)).toString('base64');
const VIBE = Buffer.from(`SJvq${'x'.repeat(3000)}`).toString('base64');

type Members = Record<string, unknown>;

function picture(width: number, height: number): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: 'teal' } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

function body(parameters: Members, top: Members = {}): Members {
  const plain = { width: 832, height: 1216, steps: 23, n_samples: 1, seed: 1 };
  return {
    input: '1girl',
    model: 'nai-diffusion-4-5-full',
    action: 'generate',
    ...top,
    parameters: { ...plain, ...parameters },
  };
}

function read(
  value: unknown,
  endpointId: EndpointId = 'generate-image',
  contentType = 'application/json',
): RequestFacts {
  return readRequestBody(
    endpointId,
    contentType,
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  );
}

function anlas(value: unknown, account: PayingAccount = OPUS, endpointId: EndpointId = 'generate-image'): number {
  return priceOf(read(value, endpointId).billable, account).costAnlas;
}

async function readForm(
  request: unknown,
  pictures: Record<string, Uint8Array>,
  id: EndpointId = 'generate-image',
): Promise<RequestFacts> {
  const data = new FormData();
  data.append('request', new Blob([JSON.stringify(request)], { type: 'application/json' }), 'blob');
  for (const [name, bytes] of Object.entries(pictures))
    data.append(name, new Blob([Uint8Array.from(bytes)], { type: 'image/png' }), 'blob');
  const sent = new Request('http://127.0.0.1/', { method: 'POST', body: data });
  return readRequestBody(id, sent.headers.get('content-type') ?? '', Buffer.from(await sent.arrayBuffer()));
}

test('readRequestBody, reads the facts of a generation', () => {
  assert.ok(PNG.length > 1024 && VIBE.length > 1024, 'the pictures of these tests are long enough to be cut out');
  const facts = read(body({ stream: 'msgpack', image_format: 'webp', seed: 9_999_999_999 }), 'generate-image-stream');
  const { billable: _billable, ...rest } = facts;
  assert.deepEqual(rest, {
    model: 'nai-diffusion-4-5-full',
    action: 'generate',
    widthPx: 832,
    heightPx: 1216,
    steps: 23,
    samples: 1,
    seed: 9_999_999_999,
    stream: 'msgpack',
    imageFormat: 'webp',
    outline: 'input,model,action,parameters;width,height,steps,n_samples,seed,stream,image_format',
  });
});

test('readRequestBody, prices the bodies of all recorded vectors as they were billed', () => {
  const fixture = readFileSync(new URL('../../fixtures/anlas-vectors.json', import.meta.url), 'utf8');
  const { vectors } = JSON.parse(fixture) as { vectors: { in: Members; account: string; anlas: number }[] };
  let count = 0;
  for (const { in: input, account, anlas: expected } of vectors) {
    if (expected === -3) continue;
    const { model, vibes, unencodedVibes, characterRefs, image, mask, ...parameters } = input;
    const references = Array.from({ length: Number(vibes ?? 0) }, (_, index) =>
      index < Number(unencodedVibes ?? 0) ? PNG : VIBE,
    );
    const request = body(
      {
        ...parameters,
        ...(image === undefined ? {} : { image: PNG }),
        ...(mask === undefined ? {} : { mask: PNG }),
        reference_image_multiple: references,
        director_reference_images: Array.from({ length: Number(characterRefs ?? 0) }, () => PNG),
      },
      { model, action: mask === undefined ? (image === undefined ? 'generate' : 'img2img') : 'infill' },
    );
    const payer = {
      ...(account.startsWith('opus') ? OPUS : TIER1),
      isActive: account !== 'opus-expired',
      isAllowanceExhausted: account.includes('isNegative'),
    };
    assert.equal(anlas(request, payer), expected, JSON.stringify(input));
    count++;
  }
  assert.equal(count, 59);
});

test('readRequestBody, ignores unknown members, odd content types and a byte order mark, and accepts any seed', () => {
  const request = body(
    { seed: 1e20, sedd: {}, tag_hint_qt: 1, ucPreset: 2, qualityToggle: true },
    { use_new_shared_trial: true, url: null },
  );
  for (const contentType of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/json; charset=utf-8',
    '',
    'nonsense',
  ]) {
    assert.equal(priceOf(read(request, 'generate-image', contentType).billable, OPUS).costAnlas, 0);
  }
  assert.equal(
    readRequestBody('generate-image', undefined, Buffer.from(`\ufeff${JSON.stringify(request)}`)).seed,
    1e20,
  );
  assert.equal(read(body({ seed: 'x', stream: 7, image_format: {} })).seed, undefined);
});

test('readRequestBody, what is missing is priced as the dearest', () => {
  assert.equal(anlas({}), 140);
  assert.equal(anlas({ model: 'nai-diffusion-3' }), 140);
  assert.equal(anlas({ ...body({}), parameters: null }), 140);
  assert.equal(anlas(body({ width: null })), 51);
  assert.equal(anlas(body({ steps: null })), 33);
  assert.equal(anlas(body({}, { model: 'nai-diffusion-9' })), 26);
  assert.equal(anlas(body({}, { model: 'm'.repeat(5000) })), 26);
  assert.equal(anlas(body({ n_samples: null })), 0);
});

test('readRequestBody, a strength lowers the price only for the action that uses it', () => {
  const small = { image: PNG, mask: PNG, strength: 0.1, inpaintImg2ImgStrength: 0.5 };
  assert.equal(anlas(body(small), TIER1), 17);
  assert.equal(anlas(body(small, { action: 'img2img' }), TIER1), 2);
  assert.equal(anlas(body(small, { action: 'infill' }), TIER1), 9);
  assert.equal(anlas(body({ ...small, img2img: { strength: 0.7 } }, { action: 'infill' }), TIER1), 12);
  assert.equal(anlas(body({ strength: 0.1 }, { action: 'img2img' }), TIER1), 17, 'no image');
  assert.equal(anlas(body({ strength: 0.5, image_cache_secret_key: 'k' }, { action: 'img2img' }), TIER1), 9);
});

test('readRequestBody, raw pictures as vibes count as unencoded where the model wants encoded ones', () => {
  const vibes = { reference_image_multiple: [PNG, VIBE], reference_image_multiple_cached: [{ cache_secret_key: 'k' }] };
  assert.equal(anlas(body(vibes)), 2);
  assert.equal(anlas(body(vibes, { model: 'nai-diffusion-3' })), 0);
  assert.equal(anlas(body(vibes, { model: 'nai-diffusion-9' })), 26 + 2);
  assert.equal(anlas(body({ reference_image: PNG }, { model: 'nai-diffusion-3' })), 0);
  assert.equal(anlas(body({ reference_image_multiple: Array.from({ length: 6 }, () => VIBE) })), 4);
  assert.equal(anlas(body({ director_reference_images: null, reference_image_multiple: null })), 0);
});

test('readRequestBody, automatic SMEA counts on large V3 pictures only', () => {
  const large = { width: 1536, height: 1536, steps: 50, autoSmea: true };
  assert.equal(anlas(body(large, { model: 'nai-diffusion-3' }), TIER1), 90);
  assert.equal(anlas(body(large), TIER1), 75);
  assert.equal(anlas(body({ autoSmea: true, steps: 28 }, { model: 'nai-diffusion-3' }), TIER1), 20);
});

test('readRequestBody, a member given twice is never cheaper than the dearer of both', () => {
  const twice = fc.constantFrom(
    ['width', 64, 1024],
    ['height', 64, 2048],
    ['steps', 1, 50],
    ['n_samples', 1, 4],
    ['sm', false, true],
  );
  let differing = 0;
  fc.assert(
    fc.property(
      twice,
      fc.boolean(),
      fc.constantFrom('same', 'Upper', 'escaped'),
      ([name, cheap, dear], isCheapLast, how) => {
        const other = {
          same: name,
          Upper: name.toUpperCase(),
          escaped: `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`,
        };
        const model = { model: 'nai-diffusion-3' };
        const json = JSON.stringify(body({}, model)).replace(new RegExp(`"${name}":[^,}]+,?`), '');
        const [first, last] = isCheapLast ? [dear, cheap] : [cheap, dear];
        const both = json.replace('"seed":1', `"${name}":${first},"${other[how]}":${last},"seed":1`);
        const alone = anlas(body({ [name]: dear }, model), TIER1);
        assert.ok(anlas(both, TIER1) >= alone, both);
        assert.ok(anlas(both, OPUS) > 0 || name === 'sm', both);
        differing++;
      },
    ),
  );
  assert.ok(differing > 50);
});

test('readRequestBody, parameters, model or references given twice are priced as the dearest', () => {
  const json = JSON.stringify(body({}));
  assert.equal(anlas(json.replace('"parameters":', '"parameters":{"width":2048},"parameters":')), 140);
  assert.equal(anlas(json.replace('"parameters":', '"Parameters":{"width":2048},"parameters":')), 140);
  assert.equal(anlas(json.replace('"model":', '"model":"nai-diffusion-5-full","model":')), 26);
  assert.equal(
    anlas(json.replace('"seed":1', '"director_reference_images":["a","a"],"director_reference_images":[]')),
    140,
  );
  assert.equal(anlas(json.replace('"n_samples":1', '"N_SAMPLES":8')), 17 * 7);
  assert.equal(anlas(json.replace('"parameters"', '"PARAMETERS"')), 0);
});

test('readRequestBody, refuses wrong types on which the price hangs and says which', () => {
  const rows: [value: unknown, message: string][] = [
    [[], 'Validation error: expected body to be a JSON object, got a list'],
    ['null', 'Validation error: expected body to be a JSON object, got null'],
    [body({ width: '832' }), 'Validation error: expected parameters.width to be a number, got a string'],
    [body({ steps: [] }), 'Validation error: expected parameters.steps to be a number, got a list'],
    [body({ n_samples: true }), 'Validation error: expected parameters.n_samples to be a number, got a boolean'],
    [body({}, { model: 5 }), 'Validation error: expected model to be a string, got a number'],
    [{ ...body({}), parameters: 'x' }, 'Validation error: expected parameters to be an object, got a string'],
    [
      body({ image: 5 }, { action: 'img2img' }),
      'Validation error: expected parameters.image to be a string, got a number',
    ],
    [
      body({ reference_image_multiple: 'x' }),
      'Validation error: expected parameters.reference_image_multiple to be a list, got a string',
    ],
    [
      body({ director_reference_images: [7] }),
      'Validation error: expected parameters.director_reference_images to be a string, got a number',
    ],
  ];
  for (const [value, message] of rows) assert.throws(() => read(value), { name: 'RequestBodyError', message });
});

test('readRequestBody, reads a form: facts from the request part, pictures from the others', async () => {
  const png = await picture(64, 64);
  const request = body(
    {
      image: 'image',
      strength: 0.62,
      reference_image_multiple_cached: [{ cache_secret_key: 'k', data: 'ref_multiple_0' }],
      director_reference_images_cached: [{ cache_secret_key: 'k' }],
    },
    { action: 'img2img' },
  );
  const facts = await readForm(request, { image: png, ref_multiple_0: png });
  assert.equal(facts.widthPx, 832);
  assert.equal(priceOf(facts.billable, TIER1).costAnlas, 11 + 2 + 5);
  const encoded = await readForm(request, { image: png, ref_multiple_0: Buffer.from(VIBE) });
  assert.equal(priceOf(encoded.billable, TIER1).costAnlas, 11 + 5);
});

test('readRequestBody, refuses forms that lack a part, in the words of NovelAI', async () => {
  const cases: [request: Members, message: string][] = [
    [body({ image: 'picture' }, { action: 'img2img' }), 'image field references unknown form part "picture"'],
    [body({ image: PNG }, { action: 'img2img' }), `image field references unknown form part "${PNG.slice(0, 40)}..."`],
    [body({ mask: 'mask' }, { action: 'infill' }), 'mask field references unknown form part "mask"'],
    [body({ reference_image_multiple: ['r'] }), 'reference_image_multiple field references unknown form part "r"'],
  ];
  for (const [request, message] of cases)
    await assert.rejects(readForm(request, {}), { name: 'RequestBodyError', message });
  const data = new FormData();
  data.append('image', new Blob(['x']), 'blob');
  const sent = new Request('http://127.0.0.1/', { method: 'POST', body: data });
  const bytes = Buffer.from(await sent.arrayBuffer());
  assert.throws(
    () => readRequestBody('generate-image', sent.headers.get('content-type') ?? '', bytes),
    /a form with a part "request", got one without/,
  );
});

test('readRequestBody, prices Director tools by the larger of the size said and the picture sent', async () => {
  const large = (await picture(1536, 2048)).toString('base64');
  const tool = (members: Members): number => anlas({ req_type: 'lineart', ...members }, OPUS, 'augment-image');
  assert.equal(tool({ width: 832, height: 1216, image: PNG }), 0);
  assert.equal(tool({ image: PNG }), 0);
  assert.equal(tool({ width: 832, height: 1216, image: large }), 60);
  assert.equal(tool({ width: 1536, height: 2048, image: PNG }), 60);
  assert.equal(tool({}), 60);
  assert.equal(tool({ req_type: 'bg-removal', width: 832, height: 1216, image: PNG }), 65);
  const facts = read({ req_type: 'sketch', image: large }, 'augment-image');
  assert.deepEqual([facts.tool, facts.widthPx, facts.heightPx], ['sketch', 1536, 2048]);
  const twice = `{"req_type":"lineart","width":64,"width":64,"height":64,"image":"${PNG}"}`;
  assert.equal(anlas(twice, OPUS, 'augment-image'), 60);
});

test('readRequestBody, prices an upscale by its picture, in JSON and in a form', async () => {
  const large = await picture(1472, 1472);
  assert.equal(anlas({ image: PNG, model: 'nai-diffusion-5-curated', declared_blur_sigma: 0 }, OPUS, 'upscale'), 1);
  assert.equal(anlas({ image: large.toString('base64') }, OPUS, 'upscale'), 3);
  assert.equal(anlas({ image: 'AAAA' }, OPUS, 'upscale'), 4);
  assert.equal(anlas({ image: PNG, width: 1536, height: 2048, scale: 2 }, OPUS, 'upscale'), 4);
  const facts = await readForm({ image: 'image', model: 'nai-diffusion-5-curated' }, { image: large }, 'upscale');
  assert.equal(priceOf(facts.billable, OPUS).costAnlas, 3);
  const asText = await readForm({ image: 'image' }, { image: Buffer.from(large.toString('base64')) }, 'upscale');
  assert.equal(asText.widthPx, 1472);
});

test('readRequestBody, reads the other endpoints', () => {
  assert.deepEqual(read({ image: PNG, model: 'nai-diffusion-4-full' }, 'encode-vibe'), {
    model: 'nai-diffusion-4-full',
    outline: 'image,model;',
    billable: { kind: 'encode-vibe' },
  });
  assert.equal(read({ model: 'hed' }, 'annotate-image').billable.kind, 'unknown');
  const text = read({ input: 'x', model: 'kayra-v1', parameters: { max_length: 150 } }, 'text-generate');
  assert.deepEqual(text, {
    model: 'kayra-v1',
    tokens: 150,
    outline: 'input,model,parameters;',
    billable: { kind: 'nothing' },
  });
  assert.equal(read({ model: 'glm-4-6', max_tokens: 99, stream: true }, 'text-chat-completions').tokens, 99);
  assert.deepEqual(read({ model: 7, max_tokens: 'x', parameters: 3 }, 'text-completions').billable, {
    kind: 'nothing',
  });
  assert.deepEqual(read('http://image.example.com', 'suggest-tags'), { billable: { kind: 'nothing' } });
});

test('readRequestBody, never throws anything but RequestBodyError', () => {
  const names = [
    'model',
    'action',
    'parameters',
    'width',
    'height',
    'steps',
    'n_samples',
    'image',
    'mask',
    'strength',
    'img2img',
    'req_type',
    'reference_image_multiple',
    'director_reference_images_cached',
    'sm',
    'upscale',
    'Width',
    '__proto__',
    'constructor',
    'toString',
  ];
  const leaf = fc.oneof(
    fc.constantFrom(null, true, 'generate', 'infill', 'nai-diffusion-3', PNG, '\u00010', ''),
    fc.double(),
    fc.string(),
  );
  const object = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 8 }),
    ),
  })).value;
  const ids = ENDPOINTS.map((endpoint) => endpoint.id);
  const contentType = fc.constantFrom('application/json', 'multipart/form-data; boundary=x');
  const seen = { read: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.constantFrom(...ids),
      contentType,
      fc.oneof(
        object.map((value) => JSON.stringify(value)),
        fc.string(),
      ),
      (id, type, json) => {
        const text =
          type === 'application/json'
            ? json
            : `--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n${json}\r\n--x--`;
        try {
          const price = priceOf(readRequestBody(id, type, Buffer.from(text)).billable, OPUS);
          assert.ok(price.costAnlas >= 0);
          seen.read++;
        } catch (error) {
          assert.ok(error instanceof RequestBodyError, String(error));
          assert.ok(error.message.length < 300);
          seen.refused++;
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(seen.read > 500 && seen.refused > 300, JSON.stringify(seen));
});
