// The cold start bench: from starting the process to the first /readyz that says yes, login included, and what the idle service then
// holds in memory; from a clone by `npm start`, by its command, and as the built package. `node bench/cold-start.ts`. Exits with 1
// on a missed aim. Linux only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { newClientToken } from '../src/lib/random-text.ts';
import { call } from '../test/support/http-client.ts';
import { startSimulatorProcess, type SimulatorProcess } from '../test/support/simulator-process.ts';
import { madeUpAccounts } from '../test/support/stack.ts';
import { freePort } from './peers/peers.ts';
import { clone, COMMAND, install } from './support/installation.ts';
import { machineDescription, publishOthers, watchOthers } from './support/machine.ts';
import { processTree, rssBytesOf } from './support/process-figures.ts';
import { median, report, type Target } from './targets.ts';

const RUNS = 5;
const IDLE_SECONDS = 10;
const MOST_START_MS = 1000;
const MOST_IDLE_BYTES = 120 * 1024 ** 2;
const START_LIMIT_MS = 30_000;
const POLL_MS = 5;

interface Installation {
  name: string;
  dir: string;
  command: readonly [string, ...string[]];
}

/** Starts the service once. Gives how long it took, and its memory when it has been idle for a while (0 when not asked for). */
async function start(
  { dir, command: [file, ...rest] }: Installation,
  simulator: SimulatorProcess,
  { staysIdle }: { staysIdle: boolean },
): Promise<{ startMs: number; idleBytes: number }> {
  const port = await freePort();
  const [account] = madeUpAccounts(1);
  for (const name of ['data', 'logs']) rmSync(join(dir, name), { recursive: true, force: true });
  const startedMs = performance.now();
  const child = spawn(file, rest, {
    cwd: dir,
    stdio: 'ignore',
    // A group of its own, so that all of it can be ended.
    detached: true,
    env: {
      PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
      HOME: dir,
      PORT: String(port),
      SERVER_TOKENS: newClientToken(),
      NOVELAI_USERNAME: account?.email,
      NOVELAI_PASSWORD: account?.password,
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
    },
  });
  const ended = once(child, 'exit');
  try {
    for (;;) {
      const answer = await call(`http://127.0.0.1:${port}/readyz`, { method: 'GET' }).catch(() => undefined);
      if (answer?.status === 200) break;
      if (child.exitCode !== null || performance.now() - startedMs > START_LIMIT_MS)
        throw new Error(`${file} ${rest.join(' ')} did not become ready`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const startMs = performance.now() - startedMs;
    if (!staysIdle) return { startMs, idleBytes: 0 };
    await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
    // The service is the largest of npm, launcher and service.
    const idleBytes = Math.max(...processTree(child.pid ?? 0).map((pid) => rssBytesOf(pid)));
    return { startMs, idleBytes };
  } finally {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
    await ended;
  }
}

const dir = mkdtempSync(join(tmpdir(), 'bench-cold-'));
const simulator = await startSimulatorProcess({ latencyFactor: 0, accounts: madeUpAccounts(1) });
try {
  console.log(machineDescription());
  const othersDid = watchOthers();
  clone(join(dir, 'clone'));
  install(join(dir, 'package'));
  const command = [process.execPath, COMMAND, 'serve'] as const;
  const installations: Installation[] = [
    { name: 'npm start, from source', dir: join(dir, 'clone'), command: ['npm', 'start', '--silent'] },
    { name: 'command, from source', dir: join(dir, 'clone'), command },
    { name: 'command, built package', dir: join(dir, 'package'), command },
  ];
  const rows: Target[] = [];
  for (const installation of installations) {
    const startsMs: number[] = [];
    let idleBytes = 0;
    for (let run = 0; run < RUNS; run += 1) {
      const figures = await start(installation, simulator, { staysIdle: run === RUNS - 1 });
      startsMs.push(figures.startMs);
      idleBytes = figures.idleBytes;
    }
    const startMs = median(startsMs);
    const span = `${Math.min(...startsMs).toFixed(0)} to ${Math.max(...startsMs).toFixed(0)}`;
    rows.push(
      {
        what: `cold start until ready, login included: ${installation.name}`,
        target: `<= ${MOST_START_MS} ms`,
        reached: `${startMs.toFixed(0)} ms (${span})`,
        isMet: startMs <= MOST_START_MS,
      },
      {
        what: `memory after ${IDLE_SECONDS} s idle: ${installation.name}`,
        target: `<= ${MOST_IDLE_BYTES / 1024 ** 2} MB`,
        reached: `${(idleBytes / 1024 ** 2).toFixed(1)} MB`,
        isMet: idleBytes > 0 && idleBytes <= MOST_IDLE_BYTES,
      },
    );
  }
  publishOthers(othersDid);
  report(rows);
} finally {
  await simulator.stop();
  rmSync(dir, { recursive: true, force: true });
}
