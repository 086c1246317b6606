// One request of every kind that NovelAI answers, in every form that clients send it, for tests over the whole surface.
import type { EndpointId } from '../../src/novelai/endpoints.ts';
import { encodePng } from '../../src/novelai/png.ts';
import { generationBody } from './stack.ts';

export interface NativeSample {
  endpoint: EndpointId;
  /** How the request comes, and what kind of answer it gets. */
  form: string;
  method: 'GET' | 'POST';
  /** With its query. */
  path: string;
  headers: Record<string, string>;
  body?: Buffer | undefined;
  /** What NovelAI answers. */
  status: number;
  contentType: string;
}

const ZIP = 'binary/octet-stream';
const JSON_TYPE = 'application/json';
const SSE = 'text/event-stream';
const SIDE_PX = 64;

/** A small picture, another one for each `shade`. */
export function samplePicture(shade = 90): Promise<Buffer> {
  return encodePng({ widthPx: SIDE_PX, heightPx: SIDE_PX, rgba: new Uint8Array(SIDE_PX * SIDE_PX * 4).fill(shade) });
}

export interface FormPart {
  name: string;
  bytes: Buffer | string;
  type?: string;
}

/** Gives a form as the web client sends it (contract 3.4). */
export function form(parts: readonly FormPart[], boundary = '----sample7MA4YWxkTrZu0gW') {
  const pieces = parts.flatMap(({ name, bytes, type = 'image/png' }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="blob"\r\nContent-Type: ${type}\r\n\r\n`,
    ),
    Buffer.from(bytes),
    Buffer.from('\r\n'),
  ]);
  return {
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
  };
}

/** Gives a form whose part `request` holds this JSON. */
export function requestForm(json: unknown, parts: readonly FormPart[], boundary?: string) {
  return form([{ name: 'request', bytes: JSON.stringify(json), type: JSON_TYPE }, ...parts], boundary);
}

function json(value: unknown, headers: Record<string, string> = {}) {
  return { headers: { 'content-type': JSON_TYPE, ...headers }, body: Buffer.from(JSON.stringify(value)) };
}

function generation(options: Parameters<typeof generationBody>[0] = {}): Record<string, unknown> {
  return JSON.parse(generationBody(options).toString('utf8')) as Record<string, unknown>;
}

/** Gives the samples. Each call gives the same bytes. */
export async function nativeSamples(): Promise<NativeSample[]> {
  const picture = await samplePicture();
  return [
    ...imageSamples(picture),
    ...streamSamples(picture),
    ...toolSamples(picture),
    ...textSamples(),
    ...readSamples(),
  ];
}

function sample(
  endpoint: EndpointId,
  form: string,
  path: string,
  rest: Partial<NativeSample> & Pick<NativeSample, 'contentType'>,
): NativeSample {
  return { endpoint, form, method: rest.body === undefined ? 'GET' : 'POST', path, headers: {}, status: 200, ...rest };
}

function imageSamples(picture: Buffer): NativeSample[] {
  const path = '/ai/generate-image';
  const img2img = generation({
    action: 'img2img',
    parameters: { image: picture.toString('base64'), strength: 0.7, noise: 0, width: 64, height: 64 },
  });
  const inForm = generation({
    action: 'img2img',
    parameters: { image: 'image', strength: 0.7, noise: 0, width: 64, height: 64 },
  });
  return [
    sample('generate-image', 'JSON > zip', path, { ...json(generation()), contentType: ZIP }),
    sample('generate-image', 'JSON with base64 > zip', path, { ...json(img2img), contentType: ZIP }),
    sample('generate-image', 'multipart > zip', path, {
      ...requestForm(inForm, [{ name: 'image', bytes: picture }]),
      contentType: ZIP,
    }),
    sample('generate-image', 'JSON > JSON', path, {
      ...json(generation(), { accept: JSON_TYPE }),
      contentType: JSON_TYPE,
    }),
    sample('generate-image', 'JSON > zip of WebP', path, {
      ...json(generation({ parameters: { image_format: 'webp' } })),
      contentType: ZIP,
    }),
    sample('generate-image', 'JSON > error', path, {
      ...json(generation({ model: 'no-such-model' })),
      status: 400,
      contentType: JSON_TYPE,
    }),
  ];
}

function streamSamples(picture: Buffer): NativeSample[] {
  const path = '/ai/generate-image-stream';
  const streamed = (stream: string) => generation({ parameters: { stream } });
  const inForm = generation({
    action: 'img2img',
    parameters: { image: 'image', strength: 0.7, stream: 'msgpack', width: 64, height: 64 },
  });
  const msgpack = 'application/msgpack';
  return [
    sample('generate-image-stream', 'JSON > msgpack', path, { ...json(streamed('msgpack')), contentType: msgpack }),
    sample('generate-image-stream', 'JSON > SSE', path, { ...json(streamed('sse')), contentType: SSE }),
    sample('generate-image-stream', 'multipart > msgpack', path, {
      ...requestForm(inForm, [{ name: 'image', bytes: picture }]),
      contentType: msgpack,
    }),
  ];
}

function toolSamples(picture: Buffer): NativeSample[] {
  const base64 = picture.toString('base64');
  const part = [{ name: 'image', bytes: picture }];
  const lineart = { req_type: 'lineart', width: 64, height: 64 };
  const vibe = { model: 'nai-diffusion-4-5-full', information_extracted: 1 };
  const upscale = { model: 'nai-diffusion-5-curated', declared_blur_sigma: 0 };
  const encoded = 'application/binary';
  return [
    sample('augment-image', 'JSON > zip', '/ai/augment-image', {
      ...json({ ...lineart, image: base64 }),
      contentType: ZIP,
    }),
    sample('augment-image', 'multipart > zip', '/ai/augment-image', {
      ...requestForm({ ...lineart, image: 'image' }, part),
      contentType: ZIP,
    }),
    sample('augment-image', 'JSON > zip of three', '/ai/augment-image', {
      ...json({ req_type: 'bg-removal', width: 64, height: 64, image: base64 }),
      contentType: ZIP,
    }),
    sample('encode-vibe', 'JSON > binary', '/ai/encode-vibe', {
      ...json({ ...vibe, image: base64 }),
      contentType: encoded,
    }),
    sample('encode-vibe', 'multipart > binary', '/ai/encode-vibe', {
      ...requestForm({ ...vibe, image: 'image', information_extracted: 0.5 }, part),
      contentType: encoded,
    }),
    sample('upscale', 'JSON > zip', '/ai/upscale', { ...json({ ...upscale, image: base64 }), contentType: ZIP }),
    sample('upscale', 'multipart > zip', '/ai/upscale', {
      ...requestForm({ ...upscale, image: 'image' }, part),
      contentType: ZIP,
    }),
    sample('upscale', 'JSON > JSON', '/ai/upscale', {
      ...json({ ...upscale, image: base64 }, { accept: JSON_TYPE }),
      contentType: JSON_TYPE,
    }),
    sample('annotate-image', 'JSON > zip', '/ai/annotate-image', {
      ...json({ model: 'hed', parameters: { image: base64 } }),
      contentType: ZIP,
    }),
  ];
}

function textSamples(): NativeSample[] {
  const novel = { input: 'Once upon a time', model: 'kayra-v1', parameters: { use_string: true, max_length: 20 } };
  const chat = { model: 'glm-4-6', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 20 };
  const plain = { model: 'glm-4-6', prompt: 'Hello', max_tokens: 20 };
  return [
    sample('text-generate', 'JSON > JSON', '/ai/generate', { ...json(novel), contentType: JSON_TYPE }),
    sample('text-generate-stream', 'JSON > SSE', '/ai/generate-stream', { ...json(novel), contentType: SSE }),
    sample('text-completions', 'JSON > JSON', '/oa/v1/completions', { ...json(plain), contentType: JSON_TYPE }),
    sample('text-completions', 'JSON > SSE', '/oa/v1/completions', {
      ...json({ ...plain, stream: true }),
      contentType: SSE,
    }),
    sample('text-chat-completions', 'JSON > JSON', '/oa/v1/chat/completions', {
      ...json(chat),
      contentType: JSON_TYPE,
    }),
    sample('text-chat-completions', 'JSON > SSE', '/oa/v1/chat/completions', {
      ...json({ ...chat, stream: true }),
      contentType: SSE,
    }),
    sample('generate-prompt', 'JSON > error', '/ai/generate-prompt', {
      ...json({ input: 'x' }),
      // An old path that the simulator has not.
      status: 404,
      contentType: JSON_TYPE,
    }),
  ];
}

function readSamples(): NativeSample[] {
  const tags = '/ai/generate-image/suggest-tags?model=nai-diffusion-4-5-full&prompt=';
  const voice = '/ai/generate-voice?text=Hello%20there&seed=Aini&voice=-1&version=v2&opus=';
  return [
    sample('suggest-tags', 'query > JSON', `${tags}smi`, { contentType: JSON_TYPE }),
    sample('suggest-tags', 'query and body > JSON', `${tags}cat`, {
      method: 'GET',
      body: Buffer.from('https://image.novelai.net'),
      contentType: JSON_TYPE,
    }),
    sample('text-token-count', 'JSON > JSON', '/oa/v1/internal/token-count', {
      ...json({ model: 'glm-4-6', prompt: 'Hello there' }),
      contentType: JSON_TYPE,
    }),
    sample('text-models', 'no body > JSON', '/oa/v1/models', { contentType: JSON_TYPE }),
    sample('generate-voice', 'query > MP3', `${voice}false`, { contentType: 'audio/mpeg' }),
    sample('generate-voice', 'query > WebM', `${voice}true`, { contentType: 'audio/webm' }),
    // The simulator has no answer of its own for it.
    sample('trial-status', 'no body > error', '/ai/trial-status', { status: 404, contentType: JSON_TYPE }),
  ];
}
