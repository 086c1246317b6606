// The service as it is installed, as a process of its own, before an origin: everything on, its output in a file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../../test/support/http-client.ts';
import { madeUpAccounts } from '../../test/support/stack.ts';
import { freePort } from '../peers/peers.ts';
import { COMMAND, install, ROOT } from './installation.ts';

export interface ServiceProcess {
  pid: number;
  address: string;
  token: string;
  /** Of a second program, which has no requests of its own. */
  watcherToken: string;
  /** Its working folder: data, logs, profiles. */
  dir: string;
  stop: () => Promise<void>;
}

export interface ServiceOptions {
  /** Base URL of NovelAI's stand-in. */
  upstream: string;
  accounts: number;
  environment?: Readonly<Record<string, string>>;
  /** For Node itself, before the script. */
  nodeArguments?: readonly string[];
  /** Runs this clone's source, whose modules a bench may reach into; what is installed otherwise. */
  isFromSource?: boolean;
}

const START_LIMIT_MS = 60_000;
/** Where the service leaves a CPU profile when it ends; none without it. */
const profileDir = process.env['BENCH_PROFILE'];
const PROFILING = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];

let packageDir: string | undefined;

/** Builds the package once for all the services of a bench. */
function installed(): string {
  if (packageDir !== undefined) return packageDir;
  const dir = mkdtempSync(join(tmpdir(), 'bench-package-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  install(dir);
  packageDir = dir;
  return dir;
}

/** Starts it; resolves when all its accounts can serve. */
export async function startService({
  upstream,
  accounts,
  environment = {},
  nodeArguments = [],
  isFromSource = false,
}: ServiceOptions): Promise<ServiceProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-service-'));
  const token = newClientToken();
  const watcherToken = newClientToken();
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const output = openSync(join(dir, 'output'), 'w');
  const child = spawn(
    process.execPath,
    [...PROFILING, ...nodeArguments, join(isFromSource ? ROOT : installed(), COMMAND), 'serve'],
    {
      cwd: dir,
      stdio: ['ignore', output, 'inherit'],
      env: {
        PORT: String(port),
        SERVER_TOKENS: `program:${token},watcher:${watcherToken}`,
        NOVELAI_ACCOUNTS: JSON.stringify(
          madeUpAccounts(accounts).map(({ email, password }) => ({ name: email, email, password })),
        ),
        NOVELAI_IMAGE_URL: upstream,
        NOVELAI_TEXT_URL: upstream,
        NOVELAI_API_URL: upstream,
        SHUTDOWN_TIMEOUT: '5s',
        ...environment,
      },
    },
  );
  // A bench that dies takes it along.
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  const stop = async () => {
    process.off('exit', onExit);
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  };
  const endMs = performance.now() + START_LIMIT_MS;
  while (!(await areAllReady(address, accounts))) {
    if (child.exitCode !== null || performance.now() > endMs) {
      const said = readFileSync(join(dir, 'output'), 'utf8').slice(-2000);
      await stop();
      throw new Error(`the service did not start: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { pid: child.pid ?? 0, address, token, watcherToken, dir, stop };
}

async function areAllReady(address: string, accounts: number): Promise<boolean> {
  const answer = await call(`${address}/readyz`, { method: 'GET' }).catch(() => undefined);
  const { accounts: states = [] } = JSON.parse(answer?.text ?? '{}') as { accounts?: { state: string }[] };
  return states.length === accounts && states.every(({ state }) => state === 'ready');
}
