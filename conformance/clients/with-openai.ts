// OpenAI's own library (npm `openai`): text through NovelAI's `/oa/v1`, pictures through the service's `/v1/images`.
// Its base address is a constructor option, so nothing in it is changed.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Got, given, HEIGHT, tryFeatures, WIDTH } from './report.ts';

/** The little of the library's types that is used here; the library itself is not a dependency of this project. */
interface OpenAiClient {
  models: { list(): Promise<{ data: { id: string }[] }> };
  completions: { create(body: object): Promise<{ choices: { text: string }[] }> };
  chat: {
    completions: {
      create(
        body: object,
      ): Promise<AsyncIterable<{ choices: { delta?: { content?: string }; finish_reason?: string | null }[] }>>;
    };
  };
  images: { generate(body: object): Promise<{ data?: { b64_json?: string }[] }> };
}
interface OpenAiModule {
  OpenAI: new (options: { baseURL: string; apiKey: string; maxRetries: number }) => OpenAiClient;
}

const entry = createRequire(join(given('CLIENT_HOME'), 'package.json')).resolve('openai');
const { OpenAI } = (await import(pathToFileURL(entry).href)) as OpenAiModule;

await tryFeatures({ generate, text, chat });

function clientAt(path: string): OpenAiClient {
  return new OpenAI({ baseURL: `${given('GATEWAY_URL')}${path}`, apiKey: given('GATEWAY_TOKEN'), maxRetries: 0 });
}

async function generate(): Promise<Got> {
  const answer = await clientAt('/v1').images.generate({
    model: 'nai-diffusion-4-5-full',
    prompt: 'a lighthouse, open',
    size: `${WIDTH}x${HEIGHT}`,
    response_format: 'b64_json',
  });
  const pictures = (answer.data ?? []).map((image) => ({
    data: Buffer.from(image.b64_json ?? '', 'base64'),
    width: WIDTH,
    height: HEIGHT,
  }));
  return { detail: 'through the OpenAI images route', pictures };
}

async function text(): Promise<Got> {
  const client = clientAt('/oa/v1');
  const model = (await client.models.list()).data[0]?.id;
  if (model === undefined) throw new Error('no models');
  const answer = await client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 16 });
  const words = answer.choices[0]?.text;
  if (!words) throw new Error(`no text in ${JSON.stringify(answer).slice(0, 200)}`);
  return { detail: `${words.length} characters of ${model}` };
}

async function chat(): Promise<Got> {
  const messages = [{ role: 'user', content: 'Hello' }];
  const stream = await clientAt('/oa/v1').chat.completions.create({
    model: 'glm-4-6',
    messages,
    max_tokens: 16,
    stream: true,
  });
  let words = '';
  let chunks = 0;
  let hasEnded = false;
  for await (const chunk of stream) {
    chunks += 1;
    words += chunk.choices[0]?.delta?.content ?? '';
    hasEnded ||= Boolean(chunk.choices[0]?.finish_reason);
  }
  if (words === '' || chunks < 2 || !hasEnded) {
    throw new Error(`${chunks} chunks with ${words.length} characters, ${hasEnded ? 'and' : 'without'} an end`);
  }
  return { detail: `${chunks} chunks, ${words.length} characters` };
}
