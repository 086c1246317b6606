// Malformed requests: each gets its clear answer, nothing of it is kept, and no account is touched by it.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { BODY_LIMIT_BYTES, badRequests, type BadRequest, type Target } from '../support/bad-requests.ts';
import { call } from '../support/http-client.ts';
import { generationBody, madeUpAccounts, until } from '../support/stack.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const WARM_UP_ROUNDS = 8;
const ROUNDS = 12;
/** What a heap may still grow after its warm-up; a leak of the bodies would be many times that. */
const ALLOWED_GROWTH_BYTES = 32 * 1024 ** 2;

let simulator: Simulator;
let proxy: ChildProcess;
let target: Target;
let dir: string;
let list: BadRequest[];

before(async () => {
  const accounts = madeUpAccounts(2);
  simulator = await startSimulator({ fixedLatencyMs: 2, imageScale: 0.05, accounts });
  dir = await mkdtemp(join(tmpdir(), 'proxy-bad-input-'));
  const token = newClientToken();
  // A process of its own, so that its memory can be looked at.
  proxy = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PORT: '0',
      SERVER_TOKENS: token,
      NOVELAI_ACCOUNTS: JSON.stringify(accounts.map(({ email, password }) => ({ name: email, email, password }))),
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
      BODY_LIMIT: String(BODY_LIMIT_BYTES),
      SHUTDOWN_TIMEOUT: '2s',
    },
  });
  target = { address: await listening(proxy), token };
  while ((await states()).some((state) => state !== 'ready')) await new Promise((resolve) => setTimeout(resolve, 20));
  list = await badRequests();
});
after(async () => {
  if (proxy.exitCode === null) {
    proxy.kill('SIGTERM');
    await once(proxy, 'exit');
  }
  await simulator.close();
  await rm(dir, { recursive: true, force: true });
});

/** Reads the address out of the log on its standard output, which is drained from then on. */
async function listening({ stdout }: ChildProcess): Promise<string> {
  let text = '';
  stdout?.setEncoding('utf8');
  stdout?.on('data', (chunk: string) => (text += text.length < 10_000 ? chunk : ''));
  await until(() => /"address":"([^"]+)"/.test(text));
  return /"address":"([^"]+)"/.exec(text)?.[1] ?? '';
}

async function rssBytes({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** What NovelAI got since then, but for the service's own account calls. */
function reached(afterId: number) {
  return simulator.truth.rows(afterId).filter(({ endpoint }) => !endpoint.startsWith('user-'));
}

async function states(): Promise<string[]> {
  const { text } = await call(`${target.address}/readyz`, { method: 'GET' });
  return (JSON.parse(text) as { accounts: { state: string }[] }).accounts.map(({ state }) => state);
}

test('bad input, at least 30 kinds of it, each with its clear answer, none sent but where NovelAI is to judge', async (t) => {
  assert.ok(list.length >= 30, `${list.length} kinds`);
  for (const { name, send, status, says, reaches } of list)
    await t.test(`${name}: ${status}`, async () => {
      const afterId = simulator.truth.rows().at(-1)?.id ?? 0;
      const answer = await send(target);
      assert.equal(answer.status, status, answer.text.slice(0, 300));
      assert.match(answer.text, says);
      if (status >= 400 && answer.headers['content-type'] !== undefined) {
        assert.equal(answer.headers['content-type'], 'application/json');
        assert.equal((JSON.parse(answer.text) as { statusCode: number }).statusCode, status);
      }
      assert.equal(reached(afterId).length, reaches === undefined ? 0 : 1, 'what NovelAI got');
      assert.deepEqual(await states(), ['ready', 'ready']);
    });
});

test(
  'bad input, over and over: memory stays flat',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const round = async () => {
      for (const { send } of list) await send(target);
    };
    for (let count = 0; count < WARM_UP_ROUNDS; count += 1) await round();
    const before = await rssBytes(proxy);
    for (let count = 0; count < ROUNDS; count += 1) await round();
    const growthBytes = (await rssBytes(proxy)) - before;
    const sentBytes = ROUNDS * list.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    t.diagnostic(
      `${ROUNDS * list.length} requests, ${toMb(sentBytes)} MB: from ${toMb(before)} MB, ${toMb(growthBytes)} MB more`,
    );
    assert.ok(sentBytes > 2 * ALLOWED_GROWTH_BYTES, 'so much was sent that keeping it would show');
    assert.ok(growthBytes < ALLOWED_GROWTH_BYTES, `${toMb(growthBytes)} MB more`);
  },
);

test('bad input, afterwards the accounts are as they were and serve', async () => {
  assert.deepEqual(await states(), ['ready', 'ready']);
  const answer = await call(`${target.address}/ai/generate-image`, {
    body: generationBody(),
    headers: { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 200);
  const { logins, lockRefusals, greatestOverlap } = simulator.truth.totals();
  assert.deepEqual({ logins, lockRefusals, greatestOverlap }, { logins: 2, lockRefusals: 0, greatestOverlap: 1 });
});

function toMb(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
