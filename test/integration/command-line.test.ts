// The command as people start it: launcher, exit codes, clear lines, signals.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startSimulator, DEFAULT_ACCOUNT } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { readZip } from '../../src/novelai/zip.ts';
import { call } from '../support/http-client.ts';
import { generationBody } from '../support/stack.ts';
import { until } from '../support/until.ts';

const COMMAND = fileURLToPath(new URL('../../bin/novelai-proxy.mjs', import.meta.url));

interface Run {
  child: ChildProcess;
  output: () => string;
  ended: Promise<number | null>;
}

function run(t: TestContext, args: string[], environment: Record<string, string> = {}): Run & { dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'proxy-command-'));
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [COMMAND, ...args], { cwd: dir, env: { PATH, ...environment } });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  t.after(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
    rmSync(dir, { recursive: true, force: true });
  });
  return { child, output: () => text, ended, dir };
}

test('serve without configuration: every fault at once, exit code 2, a token to paste', async (t) => {
  const { ended, output } = run(t, ['serve'], { PORT: 'many', QUEUE_TIMEOUT: 'soon' });
  assert.equal(await ended, 2);
  for (const line of [
    /PORT: expected a whole number/,
    /QUEUE_TIMEOUT: expected a time/,
    /NOVELAI_USERNAME: /,
    /SERVER_TOKENS=me:pst-\w{64}/,
  ])
    assert.match(output(), line);
});

test('serve, port taken: one clear line', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const { ended, output } = run(t, ['serve'], {
    PORT: String(port),
    SERVER_TOKENS: 'a-made-up-token',
    NOVEL_TOKEN: 'a-made-up-account',
  });
  assert.equal(await ended, 1);
  assert.match(output(), new RegExp(`Port ${port} is taken by another program`));
  assert.equal(
    output()
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.startsWith('{')).length,
    1,
  );
});

test('serve, log folder not writable: one clear line', async (t) => {
  const blocked = mkdtempSync(join(tmpdir(), 'proxy-blocked-'));
  t.after(() => rmSync(blocked, { recursive: true, force: true }));
  // A file where the folder should be stops root as well.
  writeFileSync(join(blocked, 'logs'), '');
  chmodSync(join(blocked, 'logs'), 0o400);
  const { ended, output } = run(t, ['serve'], {
    LOG_DIR: join(blocked, 'logs'),
    SERVER_TOKENS: 'a-made-up-token',
    NOVEL_TOKEN: 'a-made-up-account',
  });
  assert.equal(await ended, 1);
  assert.match(output(), /^The log folder .* cannot be written; .*LOG_DIR.*\n$/);
});

test('serve with .env, then SIGTERM to the launcher: what runs finishes, what waits gets 503, exit 0', async (t) => {
  const simulator = await startSimulator({ fixedLatencyMs: 700, imageScale: 0.05 });
  t.after(() => simulator.close());
  const token = newClientToken();
  const { child, dir, ended, output } = run(t, ['serve'], {
    PORT: '0',
    SERVER_TOKENS: `me:${token}`,
    NOVELAI_USERNAME: DEFAULT_ACCOUNT.email,
    NOVELAI_PASSWORD: DEFAULT_ACCOUNT.password,
    NOVELAI_IMAGE_URL: simulator.imageUrl,
  });
  assert.ok(dir);
  await until(() => /"address":"[^"]+"/.test(output()) && output().includes('account logged in'));
  const address = /"address":"([^"]+)"/.exec(output())?.[1] ?? '';
  const send = (prompt: string) =>
    call(`${address}/ai/generate-image`, {
      body: generationBody({ prompt }),
      headers: { authorization: `Bearer ${token}` },
    });
  const first = send('first');
  await until(() =>
    simulator.truth.rows().some(({ endpoint, startMs }) => endpoint === 'generate-image' && startMs !== undefined),
  );
  const second = send('second');
  await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill('SIGTERM');
  assert.equal((await second).status, 503);
  assert.ok(Number((await second).headers['retry-after']) > 0);
  assert.equal((await first).status, 200);
  assert.equal(await ended, 0);
  assert.ok(!output().includes(token) && !output().includes(DEFAULT_ACCOUNT.password));
});

test('demo --once: an image travels the whole path and is saved', async (t) => {
  const { dir, ended, output } = run(t, ['demo', '--once', '--port', '0']);
  assert.equal(await ended, 0, output());
  assert.match(output(), /listens at http:\/\/127\.0\.0\.1:\d+/);
  const { default: sharp } = await import('sharp');
  const { width, height } = await sharp(join(dir, 'demo-output', 'image_0.png')).metadata();
  assert.deepEqual([width, height], [832, 1216]);
});

test('demo keeps serving: curl with the printed token gets a valid zip', async (t) => {
  const { child, ended, output } = run(t, ['demo', '--port', '0']);
  await until(() => output().includes('Serving until Ctrl-C'), 20_000);
  const address = /listens at (\S+?),/.exec(output())?.[1] ?? '';
  const token = /token: (pst-\w{64})/.exec(output())?.[1] ?? '';
  const answer = await call(`${address}/ai/generate-image`, {
    body: generationBody(),
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(answer.status, 200);
  assert.equal((await readZip(answer.body))[0]?.name, 'image_0.png');
  assert.match(output(), /curl -sS/);
  child.kill('SIGINT');
  assert.equal(await ended, 0);
});

test('simulate: says where it is, answers, and stops on SIGTERM', async (t) => {
  const { child, ended, output } = run(t, ['simulate', '--port', '0', '--latency-factor', '0']);
  await until(() => output().includes('Ctrl-C stops it.'));
  const origin = /simulated at (\S+)/.exec(output())?.[1] ?? '';
  assert.equal((await call(`${origin}/user/subscription`, { method: 'GET' })).status, 401);
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});
