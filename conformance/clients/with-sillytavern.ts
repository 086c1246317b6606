// SillyTavern's own server (npm `sillytavern`), driven over its HTTP API as its browser page does: node-fetch, the
// first `.png` of the zip, the old upscale body, text as a string with its own biases and bans.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Got, given, HEIGHT, OLD_UPSCALE_REFUSAL, Refused, tryFeatures, WIDTH } from './report.ts';

/** Its first start compiles its page's libraries, about 25 s on two cores; later starts find them in its data folder. */
const START_LIMIT_MS = 120_000;

const folder = given('OUTPUT_DIR');
const port = await freePort();
const log: string[] = [];
const server = await startServer();
try {
  await post('/api/secrets/write', { key: 'api_key_novel', value: given('GATEWAY_TOKEN') });
  await tryFeatures({ generate, upscale, subscription, text });
} finally {
  server.kill('SIGTERM');
  if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
}

async function generate(): Promise<Got> {
  const v45 = await draw({ model: 'nai-diffusion-4-5-full', variety_boost: true });
  const v3 = await draw({ model: 'nai-diffusion-3', scheduler: 'native' });
  const size = { width: WIDTH, height: HEIGHT };
  return {
    detail: 'V4.5, and V3',
    pictures: [
      { data: v45, ...size },
      { data: v3, ...size },
    ],
  };
}

/** SillyTavern falls back to the picture as it was when NovelAI refuses to upscale, and says so in its log only. */
async function upscale(): Promise<Got> {
  log.length = 0;
  const data = await draw({ model: 'nai-diffusion-4-5-full', upscale_ratio: 2 });
  if (log.join('').includes(OLD_UPSCALE_REFUSAL))
    throw new Refused(`NovelAI's own refusal arrived: ${OLD_UPSCALE_REFUSAL}`);
  return { detail: '', pictures: [{ data, width: WIDTH * 2, height: HEIGHT * 2 }] };
}

async function subscription(): Promise<Got> {
  const answer = (await (await post('/api/novelai/status', {})).json()) as {
    error?: boolean;
    tier?: number;
    trainingStepsLeft?: { fixedTrainingStepsLeft: number };
  };
  if (answer.error === true || answer.trainingStepsLeft === undefined)
    throw new Error(`no balance in ${JSON.stringify(answer)}`);
  return { detail: `tier ${answer.tier}, ${answer.trainingStepsLeft.fixedTrainingStepsLeft} fixed Anlas` };
}

async function text(): Promise<Got> {
  const request = {
    input: 'Once upon a time',
    model: 'kayra-v1',
    max_length: 20,
    min_length: 1,
    temperature: 1,
    prefix: 'vanilla',
  };
  const whole = (await (await post('/api/novelai/generate', request)).json()) as { output?: string };
  if (!whole.output) throw new Error(`no output in ${JSON.stringify(whole).slice(0, 200)}`);
  const stream = await (await post('/api/novelai/generate', { ...request, streaming: true })).text();
  const tokens = stream.split('\n').filter((line) => line.startsWith('data:') && line.includes('"token"'));
  if (tokens.length < 2) throw new Error(`the stream gave ${tokens.length} tokens: ${stream.slice(0, 200)}`);
  return { detail: `${whole.output.length} characters at once, ${tokens.length} streamed tokens` };
}

async function draw(values: object): Promise<Buffer> {
  const answer = await post('/api/novelai/generate-image', {
    prompt: 'a lighthouse, silly',
    negative_prompt: 'lowres',
    width: WIDTH,
    height: HEIGHT,
    steps: 23,
    scale: 5,
    sampler: 'k_euler_ancestral',
    ...values,
  });
  return Buffer.from(await answer.text(), 'base64');
}

async function post(path: string, body: object): Promise<Response> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok)
    throw new Error(`SillyTavern answered ${answer.status} to ${path}; its log ends: ${log.join('').slice(-400)}`);
  return answer;
}

async function startServer(): Promise<ChildProcess> {
  const home = given('CLIENT_HOME');
  const configPath = join(folder, 'config.yaml');
  writeFileSync(configPath, 'skipContentCheck: true\nsecurityOverride: true\n');
  const child = spawn(
    process.execPath,
    [
      '--import',
      fileURLToPath(new URL('sillytavern-hosts.mjs', import.meta.url)),
      join(home, 'node_modules', 'sillytavern', 'server.js'),
      `--port=${port}`,
      `--dataRoot=${join(home, 'data')}`,
      `--configPath=${configPath}`,
      '--disableCsrf',
      '--whitelist=false',
      '--browserLaunchEnabled=false',
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      // It asks git for its own revision, to know whether its page is current; it must not find this project's.
      env: { ...process.env, GIT_CEILING_DIRECTORIES: home },
    },
  );
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      log.push(chunk);
      process.stderr.write(chunk);
    });
  }
  const deadline = performance.now() + START_LIMIT_MS;
  while (child.exitCode === null && performance.now() < deadline) {
    const isUp = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (isUp) return child;
    await sleep(200);
  }
  child.kill('SIGKILL');
  throw new Error(`SillyTavern did not start; its log ends: ${log.join('').slice(-400)}`);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no port to be had');
  return address.port;
}
