// Work of every kind and price, one request after the other, each different from all others: what a busy house sends in a day.
import { SeededRandom } from '../../simulator/random.ts';
import { encodePng } from '../../src/novelai/png.ts';
import { requestForm } from './native-samples.ts';
import { generationBody, type GenerationOptions } from './stack.ts';

/** One request, ready to send. */
export interface WorkItem {
  kind: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
}

interface Size {
  width: number;
  height: number;
}

type Recipe = (work: MixedWork, name: string) => WorkItem | Promise<WorkItem>;

const JSON_HEADERS = { 'content-type': 'application/json' };
const V45 = 'nai-diffusion-4-5-full';
const V5 = 'nai-diffusion-5-full';
const V3 = 'nai-diffusion-3';
/** Free on Opus up to 28 steps, and too large to be free. */
const SMALL: readonly Size[] = [
  { width: 832, height: 1216 },
  { width: 1024, height: 1024 },
  { width: 512, height: 768 },
  { width: 640, height: 640 },
];
const LARGE: readonly Size[] = [
  { width: 1088, height: 1024 },
  { width: 1024, height: 1536 },
  { width: 1472, height: 1472 },
];
const ALL_MODELS = [
  V5,
  'nai-diffusion-5-curated',
  V45,
  'nai-diffusion-4-5-curated',
  'nai-diffusion-4-full',
  'nai-diffusion-4-curated-preview',
  V3,
  'nai-diffusion-furry-3',
] as const;
const VIBE_BYTES = 120;
const PICTURE_PX = 64;

/** Every kind of work, by its name in reports. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  'free V4.5': (work, name) => work.picture(name, { parameters: { ...work.pick(SMALL), steps: 23 } }),
  'free V5': (work, name) => work.picture(name, { model: V5, parameters: { ...work.pick(SMALL), steps: 28 } }),
  'large, any model': (work, name) =>
    work.picture(name, {
      model: work.pick(ALL_MODELS),
      parameters: { ...work.pick(LARGE), steps: 20 + work.below(31) },
    }),
  'many steps': (work, name) =>
    work.picture(name, {
      model: work.pick(ALL_MODELS),
      parameters: { ...work.pick(SMALL), steps: 29 + work.below(22) },
    }),
  samples: (work, name) =>
    work.picture(name, {
      model: work.pick([V5, V45, V3]),
      parameters: { ...work.pick(SMALL), n_samples: 2 + work.below(3) },
    }),
  SMEA: (work, name) =>
    work.picture(name, { model: V3, parameters: { ...work.pick(LARGE), sm: true, sm_dyn: work.below(2) === 1 } }),
  img2img: async (work, name) => {
    const strength = (1 + work.below(9)) / 10;
    const image = await work.png(name);
    return work.picture(name, {
      action: 'img2img',
      parameters: { ...work.pick(LARGE), image, strength, noise: 0 },
    });
  },
  'img2img, a form': async (work, name) => {
    const parameters = { ...work.pick(LARGE), image: 'image', strength: 0.7, noise: 0 };
    const json: unknown = JSON.parse(generationBody({ prompt: name, action: 'img2img', parameters }).toString('utf8'));
    const form = requestForm(json, [{ name: 'image', bytes: await work.pngBytes(name) }]);
    return { kind: '', path: '/ai/generate-image', ...form };
  },
  infill: async (work, name) => {
    const image = await work.png(name);
    const inpaintImg2ImgStrength = (2 + work.below(8)) / 10;
    return work.picture(name, {
      model: `${V45}-inpainting`,
      action: 'infill',
      parameters: { ...work.pick(LARGE), image, mask: image, strength: 0.7, inpaintImg2ImgStrength },
    });
  },
  vibes: (work, name) =>
    work.picture(name, {
      parameters: {
        ...work.pick([...SMALL, ...LARGE]),
        reference_image_multiple: Array.from({ length: 3 + work.below(5) }, () => work.vibe()),
        reference_strength_multiple: [0.6],
      },
    }),
  'vibes to encode': async (work, name) => {
    const image = await work.png(name);
    return work.picture(name, {
      parameters: { ...work.pick(SMALL), reference_image_multiple: [image, work.vibe()] },
    });
  },
  'character references': async (work, name) => {
    const image = await work.png(name);
    return work.picture(name, {
      parameters: {
        ...work.pick(SMALL),
        director_reference_images: work.below(2) === 0 ? [image] : [image, image],
        n_samples: 1 + work.below(2),
      },
    });
  },
  'stream, msgpack': (work, name) => work.stream(name, 'msgpack'),
  'stream, SSE': (work, name) => work.stream(name, 'sse'),
  upscale: async (work, name) =>
    work.tool('/ai/upscale', { image: await work.png(name), model: V5, declared_blur_sigma: 0 }),
  lineart: async (work, name) => work.tool('/ai/augment-image', await work.augmentation(name, 'lineart')),
  'bg-removal': async (work, name) => work.tool('/ai/augment-image', await work.augmentation(name, 'bg-removal')),
  'encode-vibe': async (work, name) =>
    work.tool('/ai/encode-vibe', { image: await work.png(name), model: V45, information_extracted: 1 }),
  text: (_work, name) => ({
    kind: '',
    path: '/ai/generate',
    headers: JSON_HEADERS,
    body: Buffer.from(
      JSON.stringify({ input: name, model: 'kayra-v1', parameters: { use_string: true, max_length: 20 } }),
    ),
  }),
};

export const WORK_KINDS: readonly string[] = Object.keys(RECIPES);

/** Makes the requests, the same ones for the same seed. */
export class MixedWork {
  readonly #random: SeededRandom;
  readonly #kinds: readonly string[];

  constructor(seed: number, kinds: readonly string[] = WORK_KINDS) {
    this.#random = new SeededRandom(seed);
    this.#kinds = kinds;
  }

  /** The kinds take turns; `name` makes the request unlike any other. */
  async make(index: number, name = `piece ${index}`): Promise<WorkItem> {
    const kind = this.#kinds[index % this.#kinds.length] ?? '';
    const recipe = RECIPES[kind];
    if (!recipe) throw new Error(`There is no work of the kind "${kind}".`);
    return { ...(await recipe(this, name)), kind };
  }

  below(limit: number): number {
    return this.#random.below(limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T;
  }

  picture(name: string, options: GenerationOptions): WorkItem {
    return {
      kind: '',
      path: '/ai/generate-image',
      headers: JSON_HEADERS,
      body: generationBody({ prompt: name, ...options }),
    };
  }

  stream(name: string, stream: 'msgpack' | 'sse'): WorkItem {
    const parameters = { ...this.pick(LARGE), steps: 23 + this.below(6), stream };
    const body = generationBody({ prompt: name, model: this.pick([V45, V5]), parameters });
    return { kind: '', path: '/ai/generate-image-stream', headers: JSON_HEADERS, body };
  }

  tool(path: string, json: unknown): WorkItem {
    return { kind: '', path, headers: JSON_HEADERS, body: Buffer.from(JSON.stringify(json)) };
  }

  async augmentation(name: string, tool: string) {
    return { req_type: tool, width: PICTURE_PX, height: PICTURE_PX, image: await this.png(name) };
  }

  /** An encoded vibe, as far as its price goes: bytes that are no picture. */
  vibe(): string {
    return this.#random.fill(Buffer.alloc(VIBE_BYTES)).toString('base64');
  }

  /** A small picture that no other request has, in base64. */
  async png(name: string): Promise<string> {
    return (await this.pngBytes(name)).toString('base64');
  }

  pngBytes(name: string): Promise<Buffer> {
    const rgba = new Uint8Array(PICTURE_PX * PICTURE_PX * 4).fill(90);
    Buffer.from(name).copy(rgba);
    return encodePng({ widthPx: PICTURE_PX, heightPx: PICTURE_PX, rgba });
  }
}
