// The proxy as a process of its own, for tests and benches that look at its memory or its time.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newClientToken } from '../../src/lib/random-text.ts';
import type { SimulatedAccount, Simulator } from '../../simulator/simulator.ts';
import { call } from './http-client.ts';
import { until } from './until.ts';

export interface ProxyProcess {
  pid: number;
  address: string;
  token: string;
  /** Resident memory; Linux only. */
  rssBytes(): Promise<number>;
  /** State of each account, as `/readyz` tells. */
  accountStates(): Promise<string[]>;
  stop(): Promise<void>;
}

/** What users start: it sees to it that the process holds little memory. */
const LAUNCHER = fileURLToPath(new URL('../../bin/novelai-proxy.mjs', import.meta.url));

/** Starts the proxy in front of a simulator, with an account for each of `accounts`; resolves when all of them can serve. */
export async function startProxyProcess(
  simulator: Pick<Simulator, 'imageUrl' | 'textUrl' | 'apiUrl'>,
  accounts: readonly SimulatedAccount[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProxyProcess> {
  const dir = await mkdtemp(join(tmpdir(), 'proxy-process-'));
  const token = newClientToken();
  const child = spawn(process.execPath, [LAUNCHER, 'serve'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PORT: '0',
      SERVER_TOKENS: token,
      NOVELAI_ACCOUNTS: JSON.stringify(accounts.map(({ email, password }) => ({ name: email, email, password }))),
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
      SHUTDOWN_TIMEOUT: '2s',
      ...environment,
    },
  });
  const address = await listening(child);
  const accountStates = async () => {
    const { text } = await call(`${address}/readyz`, { method: 'GET' });
    return (JSON.parse(text) as { accounts: { state: string }[] }).accounts.map(({ state }) => state);
  };
  while ((await accountStates()).some((state) => state !== 'ready'))
    await new Promise((resolve) => setTimeout(resolve, 20));
  return {
    address,
    token,
    pid: child.pid ?? 0,
    accountStates,
    async rssBytes() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Reads the address out of the log on its standard output, which is drained from then on. */
async function listening({ stdout }: ChildProcess): Promise<string> {
  let text = '';
  stdout?.setEncoding('utf8');
  stdout?.on('data', (chunk: string) => (text += text.length < 10_000 ? chunk : ''));
  await until(() => /"address":"([^"]+)"/.test(text));
  return /"address":"([^"]+)"/.exec(text)?.[1] ?? '';
}
