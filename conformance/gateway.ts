// Starts what the clients are tried against: the simulator, and in front of it the service, as its users start it.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FAULT_KINDS, type FaultKind } from '../simulator/faults.ts';
import type { SimulatedAccount } from '../simulator/options.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import type { Access } from './access.ts';
import type { ClientSpec } from './manifest.ts';

/** Short, but long enough that the clients' generations meet and have to be queued. */
const LATENCY_FACTOR = 0.03;
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 15_000;

export interface Gateway {
  accessOf(client: ClientSpec): Access;
  /** What the simulator saw go wrong behind the clients' backs, one sentence each. */
  faults(): string[];
  /** One sentence on what the simulator saw, so that a run which did nothing shows. */
  summary(): string;
  stop(): Promise<void>;
}

/** Spoils every answer of NovelAI's to a generation in this way. Throws with the ways there are when it is none of them. */
function plant(simulator: Simulator, fault: string | undefined): void {
  if (fault === undefined) return;
  if (!FAULT_KINDS.some((kind) => kind === fault))
    throw new Error(`There is no fault named ${fault}; they are ${FAULT_KINDS.join(', ')}`);
  for (const path of ['/ai/', '/oa/']) simulator.faults.add({ kind: fault as FaultKind, path });
}

/** The simulator alone, with an account for each client: tells whose fault a failure is. */
export async function startDirect(clients: readonly ClientSpec[], fault?: string): Promise<Gateway> {
  const simulator = await startSimulator({
    accounts: clients.map((client) => account(client.name)),
    latencyFactor: LATENCY_FACTOR,
  });
  plant(simulator, fault);
  return {
    accessOf: ({ name }) => {
      const { email, password, persistentToken } = account(name);
      return { url: simulator.origin, token: persistentToken, username: email, password };
    },
    faults: () => [],
    summary: () => seen(simulator),
    stop: () => simulator.close(),
  };
}

/** The service with one account in front of the simulator, and a client token for each client. */
export async function startService(clients: readonly ClientSpec[], folder: string, fault?: string): Promise<Gateway> {
  const owner = account('owner');
  const simulator = await startSimulator({ accounts: [owner], latencyFactor: LATENCY_FACTOR });
  plant(simulator, fault);
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const service = spawn(
    process.execPath,
    [fileURLToPath(new URL('../bin/novelai-proxy.mjs', import.meta.url)), 'serve'],
    {
      cwd: folder, // its data and logs are made here
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOST: '127.0.0.1',
        PORT: String(port),
        SERVER_TOKENS: clients.map(({ name }) => `${name}:${tokenOf(name)}`).join(','),
        NOVELAI_USERNAME: owner.email,
        NOVELAI_PASSWORD: owner.password,
        NOVELAI_IMAGE_URL: simulator.imageUrl,
        NOVELAI_TEXT_URL: simulator.textUrl,
        NOVELAI_API_URL: simulator.apiUrl,
      },
    },
  );
  const log = createWriteStream(join(folder, 'service.txt'));
  service.stdout.pipe(log, { end: false });
  service.stderr.pipe(log, { end: false });
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    await stopProcess(service);
    log.end();
    await simulator.close();
  };
  process.on('exit', () => service.kill('SIGKILL'));
  try {
    await answering(url, service);
  } catch (error) {
    await stop();
    const said = readFileSync(join(folder, 'service.txt'), 'utf8').slice(-2000);
    throw new Error(`The service did not start. It said:\n${said}`, { cause: error });
  }
  return {
    accessOf: ({ name }) => ({ url, token: tokenOf(name), username: name, password: tokenOf(name) }),
    faults: () => overlaps(simulator),
    summary: () => seen(simulator),
    stop,
  };
}

function overlaps(simulator: Simulator): string[] {
  const { greatestOverlap, lockRefusals, unauthorized } = simulator.truth.totals();
  const faults: string[] = [];
  if (greatestOverlap > 1) faults.push(`${greatestOverlap} generations were open at once on one account`);
  if (lockRefusals > 0) faults.push(`NovelAI's lock refused ${lockRefusals} generations`);
  if (unauthorized > 0) faults.push(`${unauthorized} requests reached NovelAI without the account's token`);
  return faults;
}

function seen(simulator: Simulator): string {
  const { requests, generations, succeeded, lockRefusals, greatestOverlap } = simulator.truth.totals();
  return (
    `The simulator saw ${requests} requests, ${generations} generations (${succeeded} succeeded), ` +
    `${lockRefusals} lock refusals, at most ${greatestOverlap} open at once on an account.`
  );
}

/** Made up, and the same in each run. */
function account(name: string): SimulatedAccount & { persistentToken: string } {
  return {
    email: `${name}@example.com`,
    password: `not-a-secret-${name}`,
    persistentToken: tokenOf(`account ${name}`),
    tier: 3,
    fixedAnlas: 5000,
    purchasedAnlas: 500,
  };
}

function tokenOf(name: string): string {
  return `pst-${createHash('sha256').update(name).digest('hex')}`;
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`no answer at ${url} within ${START_LIMIT_MS / 1000} s`);
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await once(child, 'exit');
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
