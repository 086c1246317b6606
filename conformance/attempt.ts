// Runs one client's script as a child process with a time limit and turns what it wrote into checked results.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Access } from './access.ts';
import { checkPicture } from './check-picture.ts';
import { type Feature, FEATURES, type FeatureResult } from './features.ts';
import { homeOf, interpreterOf } from './install.ts';
import type { ClientSpec } from './manifest.ts';

/** SillyTavern's first start alone takes about 25 s of two cores. */
const CLIENT_LIMIT_MS = 170_000;

const scriptLine = z.object({
  feature: z.enum(FEATURES),
  outcome: z.enum(['ok', 'refused', 'fail']),
  detail: z.string(),
  images: z.array(z.object({ file: z.string(), width: z.number().nullable(), height: z.number().nullable() })),
});
type ScriptLine = z.infer<typeof scriptLine>;

/** Features that mean nothing without a picture: a client that says `ok` and shows none has failed. */
const PICTURE_FEATURES: ReadonlySet<Feature> = new Set([
  'generate',
  'stream',
  'img2img',
  'infill',
  'vibe',
  'director',
  'upscale',
]);

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) killGroup(child);
});

/**
 * Tries the features with the client, one after the other in one process of it.
 * @param workFolder A folder of this attempt's own; the client's output is kept there in `log.txt`.
 * @returns One result per feature, in the order given. Never throws for what the client does.
 */
export async function attempt(options: {
  client: ClientSpec;
  features: readonly Feature[];
  access: Access;
  inputFolder: string;
  workFolder: string;
}): Promise<FeatureResult[]> {
  const { client, features, workFolder } = options;
  mkdirSync(workFolder, { recursive: true });
  const { lines, ending } = await runScript(options);
  const results: FeatureResult[] = [];
  for (const feature of features) {
    const line = lines.find((candidate) => candidate.feature === feature);
    results.push(
      line === undefined
        ? { feature, outcome: 'fail', detail: `no result from ${client.name}: ${ending}` }
        : await checked(line),
    );
  }
  return results;
}

async function runScript({
  client,
  features,
  access,
  inputFolder,
  workFolder,
}: Parameters<typeof attempt>[0]): Promise<{
  lines: ScriptLine[];
  ending: string;
}> {
  const child = spawn(interpreterOf(client), [fileURLToPath(client.script), ...features], {
    cwd: workFolder,
    detached: true, // a process group of its own, so that the client's own children can be ended with it
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(client, access, inputFolder, workFolder),
  });
  running.add(child);
  const log = createWriteStream(join(workFolder, 'log.txt'));
  let lastWords = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    log.write(chunk);
    lastWords = `${lastWords}${chunk}`.slice(-300);
  });
  const lines: ScriptLine[] = [];
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = parseLine(text);
    if (line === undefined) log.write(`${text}\n`);
    else lines.push(line);
  });
  let hasTimedOut = false;
  const timer = setTimeout(() => {
    hasTimedOut = true;
    killGroup(child);
  }, CLIENT_LIMIT_MS);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  killGroup(child); // what it may have left behind
  running.delete(child);
  log.end();
  const how = hasTimedOut ? `stopped after ${CLIENT_LIMIT_MS / 1000} s` : `it ended with ${signal ?? code}`;
  return { lines, ending: `${how}, last saying ${JSON.stringify(lastWords.trim())}` };
}

function environment(client: ClientSpec, access: Access, inputFolder: string, workFolder: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    // A home of its own: no client reads or leaves anything in the real one.
    HOME: workFolder,
    LANG: 'C.UTF-8',
    PYTHONWARNINGS: 'ignore',
    // Beside the client, not beside our scripts.
    PYTHONPYCACHEPREFIX: join(homeOf(client), 'pycache'),
    GATEWAY_URL: access.url,
    GATEWAY_TOKEN: access.token,
    GATEWAY_USERNAME: access.username,
    GATEWAY_PASSWORD: access.password,
    CLIENT_HOME: homeOf(client),
    INPUT_DIR: inputFolder,
    OUTPUT_DIR: workFolder,
    ...client.environment?.(access),
  };
}

function parseLine(text: string): ScriptLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return scriptLine.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function checked({ feature, outcome, detail, images }: ScriptLine): Promise<FeatureResult> {
  if (outcome !== 'ok') return { feature, outcome, detail };
  if (images.length === 0 && PICTURE_FEATURES.has(feature)) {
    return { feature, outcome: 'fail', detail: `said ok and gave no picture (${detail})` };
  }
  try {
    const forms: string[] = [];
    for (const image of images) forms.push(await checkPicture(image));
    return { feature, outcome, detail: [detail, forms.join(' + ')].filter(Boolean).join(': ') };
  } catch (error) {
    return { feature, outcome: 'fail', detail: `${(error as Error).message} (${detail})` };
  }
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already, which is what was wanted.
  }
}
