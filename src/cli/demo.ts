// `novelai-proxy demo`: the whole path in one command: a simulated NovelAI, the proxy in front of it, and one image through both.
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join, resolve } from 'node:path';
import { intro, log as print, note, outro, progress } from '@clack/prompts';
import type { Command } from 'commander';
import { DEFAULT_ACCOUNT, startSimulator } from '../../simulator/simulator.ts';
import { readConfig } from '../config/load-config.ts';
import { newClientToken } from '../lib/random-text.ts';
import { readZip } from '../novelai/zip.ts';
import { openLog } from '../telemetry/log.ts';
import { explainFailure, exitWith } from './fail.ts';
import type { CreateService, Service } from './service.ts';

interface DemoOptions {
  once: boolean;
  port: number;
  out: string;
}

interface Demo {
  address: string;
  token: string;
  stop: () => Promise<void>;
}

/** What NovelAI takes for such an image (contract 3.1); only the progress display goes by it. */
const USUAL_MS = 3400;
const PROGRESS_STEP_MS = 100;

const EXAMPLE = {
  input: '1girl, cherry blossoms, watercolor',
  model: 'nai-diffusion-4-5-full',
  action: 'generate',
  parameters: {
    params_version: 3,
    width: 832,
    height: 1216,
    scale: 5,
    sampler: 'k_euler_ancestral',
    noise_schedule: 'karras',
    steps: 23,
    seed: 1234567890,
    n_samples: 1,
    negative_prompt: 'lowres',
    v4_prompt: {
      caption: { base_caption: '1girl, cherry blossoms, watercolor', char_captions: [] },
      use_coords: false,
      use_order: true,
    },
    v4_negative_prompt: { caption: { base_caption: 'lowres', char_captions: [] } },
  },
};

export function addDemoCommand(program: Command, createService: CreateService): void {
  program
    .command('demo')
    .description('Watch an image travel through the proxy to a simulated NovelAI and back; needs no account')
    .option('--once', 'end after the first image', false)
    .option('--port <number>', 'port of the proxy; a free one is taken when it is in use', Number, 5000)
    .option('--out <folder>', 'where the image goes', 'demo-output')
    .action((options: DemoOptions) => demo(options, createService));
}

async function demo({ once, port, out }: DemoOptions, createService: CreateService): Promise<void> {
  try {
    intro('NovelAI Proxy Service: demo');
    const running = await start(port, resolve(out), createService);
    print.info(
      `The proxy listens at ${running.address}, in front of a simulated NovelAI.\nThis program's token: ${running.token}`,
    );
    const file = await generate(running, resolve(out));
    print.success(`The image went client -> proxy -> NovelAI (simulated) -> proxy -> client:\n${file}`);
    if (once) {
      await running.stop();
      outro('Done. `npm run demo` without --once keeps serving.');
      return;
    }
    note(instructions(running), 'Try it yourself');
    outro('Serving until Ctrl-C. Every request is a line in logs/app.log.');
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => void running.stop().then(() => process.exit(0)));
  } catch (error) {
    exitWith(error);
  }
}

async function start(port: number, dataDir: string, createService: CreateService): Promise<Demo> {
  const simulator = await startSimulator();
  const token = newClientToken();
  const configFor = (chosenPort: number) =>
    readConfig({
      PORT: String(chosenPort),
      SERVER_TOKENS: `demo:${token}`,
      NOVELAI_USERNAME: DEFAULT_ACCOUNT.email,
      NOVELAI_PASSWORD: DEFAULT_ACCOUNT.password,
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
      DATA_DIR: join(dataDir, 'data'),
    });
  const config = configFor(port);
  const logHandle = await openLog({ ...config.log, isTerminal: false, hasConsole: false });
  let service: Service = await createService(config, { log: logHandle.log });
  let address: string;
  try {
    address = await service.start();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    print.warn(explainFailure(error).lines[0]?.split(';', 1)[0] ?? '');
    await service.stop();
    service = await createService(configFor(0), { log: logHandle.log });
    address = await service.start();
  }
  return {
    address,
    token,
    async stop() {
      await service.stop();
      await simulator.close();
      await logHandle.close();
    },
  };
}

/** Generates the example through the proxy, with a progress display, and saves it; gives the image file's path. */
async function generate({ address, token }: Demo, outDir: string): Promise<string> {
  const bar = startProgress('Generating 832x1216 in 23 steps');
  try {
    const [entry] = await readZip(await post(`${address}/ai/generate-image`, token, JSON.stringify(EXAMPLE)));
    if (!entry) throw new Error('The answer held no image.');
    mkdirSync(outDir, { recursive: true });
    const file = join(outDir, entry.name);
    writeFileSync(file, entry.bytes);
    return file;
  } finally {
    bar.stop();
  }
}

/** A bar that fills at the usual pace where a person watches, and one plain line elsewhere. */
function startProgress(what: string): { stop: () => void } {
  if (!process.stdout.isTTY) {
    print.step(what);
    return { stop: () => undefined };
  }
  const bar = progress({ max: USUAL_MS, style: 'heavy' });
  bar.start(what);
  const timer = setInterval(() => bar.advance(PROGRESS_STEP_MS), PROGRESS_STEP_MS);
  return {
    stop() {
      clearInterval(timer);
      bar.stop(what);
    },
  };
}

function post(url: string, token: string, body: string): Promise<Buffer> {
  return new Promise((resolvePost, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    request(url, { method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const answer = Buffer.concat(chunks);
        if (response.statusCode === 200) resolvePost(answer);
        else reject(new Error(`The proxy answered ${response.statusCode}: ${answer.toString('utf8').trim()}`));
      });
    })
      .once('error', reject)
      .end(body);
  });
}

function instructions({ address, token }: Demo): string {
  return [
    'curl, gives a zip with one PNG:',
    '',
    `curl -sS ${address}/ai/generate-image -H 'Authorization: Bearer ${token}' \\`,
    `  -H 'Content-Type: application/json' -o images.zip -d '${JSON.stringify(EXAMPLE)}'`,
    '',
    'Point your programs at it, with that token as their NovelAI token:',
    `  novelai-sdk     NOVELAI_IMAGE_BASE=${address} NOVELAI_TEXT_BASE=${address} NOVELAI_API_BASE=${address}`,
    `  novelai-api     NovelAIAPI.BASE_ADDRESS = "${address}" and _low_level.IMAGE_API_ADDRESS likewise`,
    `  novelai (HanaokaYuzu, kokosensei)  Host.CUSTOM.value.url = "${address}"`,
    `  novelai-bot     endpoint and apiEndpoint: ${address}`,
    'More of them: README.md and docs/clients.md',
  ].join('\n');
}
