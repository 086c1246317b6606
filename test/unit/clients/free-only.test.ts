// Tests the free-only policy: what passes is free on Opus, what is changed is told, and the rest is refused by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { FreeOnlyMode } from '../../../src/clients/client.ts';
import { applyFreeOnly, describeChanges, type PolicyRuling } from '../../../src/clients/free-only.ts';
import { freeSize } from '../../../src/clients/free-size.ts';
import type { EndpointId } from '../../../src/novelai/endpoints.ts';
import { MODELS } from '../../../src/novelai/models.ts';
import { FREE_AREA_PX, priceOf } from '../../../src/novelai/price.ts';
import { readRequestBody } from '../../../src/novelai/request-body.ts';

const OPUS = { tier: 3, isActive: true, isAllowanceExhausted: false };
const JSON_TYPE = 'application/json';

/** A body that is free on Opus unless its parameters say otherwise (contract 4.6). */
function generationBody({
  model = 'nai-diffusion-4-5-full',
  action = 'generate',
  parameters = {},
}: {
  model?: string;
  action?: string;
  parameters?: Record<string, unknown>;
} = {}): Buffer {
  const usual = { params_version: 3, width: 832, height: 1216, scale: 5, steps: 23, seed: 1, n_samples: 1 };
  return Buffer.from(JSON.stringify({ input: '1girl', model, action, parameters: { ...usual, ...parameters } }));
}

function rule(
  mode: FreeOnlyMode,
  body: Buffer | object,
  { endpointId = 'generate-image', contentType = JSON_TYPE }: { endpointId?: EndpointId; contentType?: string } = {},
): PolicyRuling {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  return applyFreeOnly(mode, {
    endpointId,
    contentType,
    body: bytes,
    facts: readRequestBody(endpointId, contentType, bytes),
  });
}

/** A form as the web client sends it (contract 3.4). */
function form(json: Buffer, pictures: Readonly<Record<string, Buffer>>): { contentType: string; body: Buffer } {
  const part = (name: string, type: string, content: Buffer) => [
    Buffer.from(
      `--cut\r\nContent-Disposition: form-data; name="${name}"; filename="blob"\r\nContent-Type: ${type}\r\n\r\n`,
    ),
    content,
    Buffer.from('\r\n'),
  ];
  const pieces = Object.entries(pictures).flatMap(([name, content]) => part(name, 'image/png', content));
  return {
    contentType: 'multipart/form-data; boundary=cut',
    body: Buffer.concat([...pieces, ...part('request', JSON_TYPE, json), Buffer.from('--cut--\r\n')]),
  };
}

test('free only, off lets everything pass, and what is free passes in every mode', () => {
  const dear = generationBody({ parameters: { steps: 50 } });
  assert.deepEqual(rule('off', dear), { kind: 'allow' });
  for (const mode of ['reject', 'clamp'] as const) {
    assert.deepEqual(rule(mode, generationBody()), { kind: 'allow' });
    assert.deepEqual(rule(mode, { input: 'hello', model: 'kayra-v1' }, { endpointId: 'text-generate' }), {
      kind: 'allow',
    });
    assert.deepEqual(rule(mode, Buffer.alloc(0), { endpointId: 'suggest-tags' }), { kind: 'allow' });
  }
});

test('free only, clamp: steps, size and samples at once, and nothing else', () => {
  const body = generationBody({
    parameters: { width: 1536, height: 1024, steps: 50, n_samples: 4, seed: 9_999_999_999 },
  });
  const ruling = rule('clamp', body);
  assert.ok(ruling.kind === 'clamp');
  assert.equal(describeChanges(ruling.changes), 'width 1536->1216, height 1024->832, steps 50->28, n_samples 4->1');
  assert.deepEqual(
    [ruling.facts.widthPx, ruling.facts.heightPx, ruling.facts.steps, ruling.facts.samples, ruling.facts.seed],
    [1216, 832, 28, 1, 9_999_999_999],
  );
  const before: unknown = JSON.parse(body.toString());
  const after: unknown = JSON.parse(ruling.body.toString());
  assert.ok(hasParameters(before) && hasParameters(after));
  Object.assign(before.parameters, { width: 1216, height: 832, steps: 28, n_samples: 1 });
  assert.deepEqual(after, before);
});

function hasParameters(json: unknown): json is { parameters: Record<string, unknown> } {
  return typeof json === 'object' && json !== null && 'parameters' in json;
}

test('free only, clamp: every byte but the numbers stays where it was', () => {
  const text =
    '\ufeff{ "input":"\\"steps\\":50 {[", "parameters" : {"a":{"steps":99},"b":["steps",50],\n\t"St\\u0065ps" : 50 , "width":1024,"height":1024,"seed":12345678901234567890}, "model":"nai-diffusion-4-5-full"}';
  const ruling = rule('clamp', Buffer.from(text));
  assert.ok(ruling.kind === 'clamp');
  assert.equal(ruling.body.toString(), text.replace('ps" : 50 ,', 'ps" : 28 ,'));
});

test('free only, clamp: a number that gets shorter is followed by spaces, one that gets longer moves the rest', () => {
  const parameters = (width: string) =>
    `{"model":"nai-diffusion-3","parameters":{"width":${width},"height":1,"steps":100}}`;
  const shorter = rule('clamp', Buffer.from(parameters('1024')));
  assert.ok(shorter.kind === 'clamp');
  assert.equal(shorter.body.toString(), parameters('1024').replace('100}', '28 }'));
  const longer = rule('clamp', Buffer.from(parameters('1e8')));
  assert.ok(longer.kind === 'clamp');
  assert.equal(
    longer.body.toString(),
    parameters('16384').replace('"height":1,', '"height":64,').replace('100}', '28 }'),
  );
});

test('free only, clamp: a form keeps its pictures to the byte', () => {
  const picture = Buffer.from('\r\n--cut"parameters":{"steps":50}\u0000\u00ff', 'latin1');
  const json = generationBody({
    action: 'img2img',
    parameters: { image: 'image', strength: 0.5, steps: 50, n_samples: 3 },
  });
  const sent = form(json, { image: picture });
  const ruling = rule('clamp', sent.body, sent);
  assert.ok(ruling.kind === 'clamp');
  assert.equal(describeChanges(ruling.changes), 'steps 50->28, n_samples 3->1');
  const expected = form(
    Buffer.from(json.toString().replace('"steps":50', '"steps":28').replace('"n_samples":3', '"n_samples":1')),
    {
      image: picture,
    },
  );
  assert.ok(ruling.body.equals(expected.body));
});

/** What cannot be made free, and the name that the refusal must say. */
const HARD: readonly [what: string, field: string, says: RegExp, body: object, endpointId?: EndpointId][] = [
  ['upscale', '/ai/upscale', /upscale always costs/, { image: 'x', model: 'nai-diffusion-5-curated' }, 'upscale'],
  [
    'encode-vibe',
    '/ai/encode-vibe',
    /encode-vibe always costs/,
    { image: 'x', model: 'nai-diffusion-4-5-full' },
    'encode-vibe',
  ],
  ['annotate-image', '/ai/annotate-image', /annotate-image/, { model: 'hed' }, 'annotate-image'],
  [
    'bg-removal',
    'req_type',
    /bg-removal is never free/,
    { req_type: 'bg-removal', width: 512, height: 512, image: 'x' },
    'augment-image',
  ],
  [
    'unknown tool',
    'req_type',
    /none that is known/,
    { req_type: 'repaint', width: 512, height: 512, image: 'x' },
    'augment-image',
  ],
  [
    'large Director tool',
    'image',
    /"image" is 1536x2048/,
    { req_type: 'lineart', width: 1536, height: 2048, image: 'x' },
    'augment-image',
  ],
  ['Director tool of unknown size', 'image', /size of "image"/, { req_type: 'lineart', image: 'x' }, 'augment-image'],
  ['unknown model', 'model', /"model" is none/, generation({}, { model: 'nai-diffusion-9' })],
  ['no model', 'model', /"model" is missing/, { parameters: { width: 64, height: 64, steps: 1 } }],
  ['no parameters', 'parameters', /"parameters" is missing/, { model: 'nai-diffusion-3' }],
  ['no width', 'parameters.width', /"parameters.width" is missing/, generation({ width: undefined })],
  ['no height', 'parameters.height', /"parameters.height" is missing/, generation({ height: null })],
  ['no steps', 'parameters.steps', /"parameters.steps" is missing/, generation({ steps: undefined })],
  ['negative steps', 'parameters.steps', /"parameters.steps" is -3/, generation({ steps: -3 })],
  ['no samples at all', 'parameters.n_samples', /"parameters.n_samples" is 0/, generation({ n_samples: 0 })],
  ['width twice', 'parameters.width', /"parameters.width" is given more than once/, generation({ Width: 64 })],
  [
    'character reference',
    'parameters.director_reference_images',
    /director_reference_images/,
    generation({ director_reference_images: ['x'], steps: 50 }),
  ],
  [
    'raw vibe',
    'parameters.reference_image_multiple',
    /not encoded yet/,
    generation({ reference_image_multiple: [picture64()] }),
  ],
  [
    'five vibes',
    'parameters.reference_image_multiple',
    /holds 5 vibes/,
    generation({ reference_image_multiple: ['a', 'b', 'c', 'd', 'e'] }),
  ],
  ['enlarged result', 'parameters.upscale', /parameters.upscale/, generation({ upscale: { declared_blur_sigma: 0 } })],
  [
    'large img2img',
    'parameters.width',
    /must match the picture/,
    generation({ width: 1536, image: picture64() }, { action: 'img2img' }),
  ],
  [
    'large infill',
    'parameters.width',
    /must match the picture/,
    generation(
      { width: 1536, image: 'a', mask: 'b' },
      { model: 'nai-diffusion-4-5-full-inpainting', action: 'infill' },
    ),
  ],
];

function generation(parameters: Record<string, unknown>, top: { model?: string; action?: string } = {}): object {
  return JSON.parse(generationBody({ ...top, parameters }).toString()) as object;
}

/** The beginning of a PNG, which is what makes a vibe a raw one. */
function picture64(): string {
  return Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex').toString('base64');
}

for (const [what, field, says, body, endpointId] of HARD)
  for (const mode of ['reject', 'clamp'] as const)
    test(`free only, ${mode}: ${what} is refused by name`, () => {
      const ruling = rule(mode, body, endpointId ? { endpointId } : {});
      assert.ok(ruling.kind === 'reject', ruling.kind);
      assert.equal(ruling.field, field);
      assert.match(ruling.message, says);
      assert.match(ruling.message, /^This token may only make requests that cost no Anlas, and .*\.$/);
    });

test('free only, reject: names the first thing that costs, and what would be free', () => {
  const ruling = rule('reject', generationBody({ parameters: { width: 2048, height: 1536, steps: 50 } }));
  assert.ok(ruling.kind === 'reject');
  assert.equal(ruling.field, 'parameters.width');
  assert.match(ruling.message, /2048x1536, of which only 1,048,576 pixels are free/);
  const steps = rule('reject', generationBody({ parameters: { steps: 29 } }));
  assert.ok(steps.kind === 'reject' && /"parameters.steps" is 29, of which only 28 are free/.test(steps.message));
});

test('free size, presets become presets, and free ones stay', () => {
  const sizes: [number, number, number, number][] = [
    [1536, 1024, 1216, 832],
    [1024, 1536, 832, 1216],
    [1472, 1472, 1024, 1024],
    [1088, 1920, 768, 1344],
    [1088, 1024, 1024, 960],
    [1000, 1000, 1000, 1000],
    [100_000, 64, 16_384, 64],
    [1e6, 1e6, 1024, 1024],
  ];
  for (const [width, height, freeWidth, freeHeight] of sizes)
    assert.deepEqual(
      freeSize({ widthPx: width, heightPx: height }),
      { widthPx: freeWidth, heightPx: freeHeight },
      `${width}x${height}`,
    );
});

test('free size, always free, and the ratio is kept as far as steps of 64 allow', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200_000 }), fc.integer({ min: 1, max: 200_000 }), (width, height) => {
      const { widthPx, heightPx } = freeSize({ widthPx: width, heightPx: height });
      assert.ok(widthPx * heightPx <= FREE_AREA_PX);
      assert.ok(widthPx >= 1 && heightPx >= 1);
      if (width * height <= FREE_AREA_PX) return;
      assert.equal(widthPx % 64, 0);
      assert.equal(heightPx % 64, 0);
      const scale = Math.sqrt(FREE_AREA_PX / (width * height));
      if (Math.min(width, height) * scale < 64) return;
      for (const [given, side] of [
        [width, widthPx],
        [height, heightPx],
      ] as const)
        assert.ok(given * scale - side < 64 && side <= given * scale);
    }),
    { numRuns: 2000 },
  );
});

/** A member that is mostly sane, and absent, odd or in the way every now and then. */
function mostly<T, U>(sane: fc.Arbitrary<T>, odd: fc.Arbitrary<U>): fc.Arbitrary<T | U> {
  return fc.oneof({ weight: 12, arbitrary: sane }, { weight: 1, arbitrary: odd });
}
const absent = fc.constant(undefined);
const anyParameters = fc.record({
  width: mostly(fc.integer({ min: 1, max: 4096 }), fc.constantFrom(-64, 0, 777.7, 1e300, null)),
  height: mostly(fc.integer({ min: 1, max: 4096 }), fc.constantFrom(-64, 0, 1e7, null)),
  steps: mostly(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 100, noNaN: true })),
  n_samples: mostly(fc.integer({ min: 1, max: 9 }), fc.constantFrom(-1, 0, 1.5, null, undefined)),
  sm: fc.boolean(),
  sm_dyn: fc.boolean(),
  strength: fc.double({ min: 0, max: 2, noNaN: true }),
  image: fc.constantFrom('eA==', undefined),
  mask: fc.constantFrom('eA==', undefined),
  reference_image_multiple: mostly(
    fc.array(fc.constant('eA=='), { maxLength: 4 }),
    fc.constantFrom([picture64()], Array(6).fill('eA==')),
  ),
  director_reference_images: mostly(absent, fc.constant(['eA=='])),
  upscale: mostly(absent, fc.constant({ declared_blur_sigma: 0 })),
  STEPS: mostly(absent, fc.constant(3)),
  prompt: fc.string(),
});
const anyBody = fc.record({
  input: fc.string(),
  model: mostly(fc.constantFrom(...MODELS.map(({ id }) => id)), fc.constantFrom('unknown', undefined)),
  action: fc.constantFrom('generate', 'img2img', 'infill'),
  parameters: anyParameters,
});

test('free only, clamp: whatever passes is free on Opus, whatever comes in', () => {
  const seen = { allow: 0, reject: 0, clamp: 0 };
  fc.assert(
    fc.property(anyBody, fc.boolean(), (json, isForm) => {
      const bytes = Buffer.from(JSON.stringify(json, null, isForm ? 1 : 0));
      const sent = isForm
        ? form(bytes, { picture: Buffer.from('p'), 'eA==': Buffer.from('e'), [picture64()]: Buffer.from('f') })
        : { body: bytes, contentType: JSON_TYPE };
      const ruling = rule('clamp', sent.body, sent);
      seen[ruling.kind] += 1;
      if (ruling.kind === 'reject') {
        assert.match(ruling.message, /^This token may only .+\.$/);
        return;
      }
      const body = ruling.kind === 'clamp' ? ruling.body : sent.body;
      const facts = readRequestBody('generate-image', sent.contentType, body);
      assert.equal(priceOf(facts.billable, OPUS).costAnlas, 0);
      if (ruling.kind === 'clamp')
        assert.ok(ruling.changes.length > 0 && ruling.changes.every(({ from, to }) => from !== to));
    }),
    { numRuns: 3000 },
  );
  assert.ok(seen.clamp > 300 && seen.reject > 300 && seen.allow > 20, JSON.stringify(seen));
});
