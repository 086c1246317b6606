// Sends requests at a fixed rate whatever becomes of them, and times each from when it should have gone: a proxy that stalls
// cannot hide it by keeping the next request waiting. A process of its own, so that nothing else holds its clock up.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { answerOf } from './origin.ts';
import { newSeed, SEED } from './wrk.ts';

export interface OpenLoopRun {
  base: string;
  path: string;
  headers: Readonly<Record<string, string>>;
  /** With `SEED` in it, as wrk takes it. */
  body: string;
  /** Bytes that each answer must have, those of `answerOf`; undefined takes any. */
  answerBytes?: number;
  perSecond: number;
  seconds: number;
  method?: 'GET' | 'POST';
}

export interface OpenLoopResult {
  /** Milliseconds from the intended send to the answer's last byte. */
  latenciesMs: number[];
  sent: number;
  /** Not 200, broken off, or with a byte that was not the origin's. */
  errors: number;
}

/** Most connections at once; requests beyond wait, and their wait counts. */
const CONNECTIONS = 64;
/** Timers are late by up to a millisecond or two; the rest of the wait is spun. */
const SPIN_MS = 2;

/** Runs it in a process of its own. */
export async function runOpenLoop(run: OpenLoopRun): Promise<OpenLoopResult> {
  const child = fork(fileURLToPath(import.meta.url), { stdio: 'inherit' });
  let result: OpenLoopResult | undefined;
  child.once('message', (message) => (result = message as OpenLoopResult));
  child.send(run);
  await once(child, 'exit');
  if (!result) throw new Error(`the load on ${run.base} ended before its time`);
  return result;
}

/** Resolves when `performance.now()` has reached this. */
async function atMs(dueMs: number): Promise<void> {
  const leftMs = dueMs - performance.now();
  if (leftMs > SPIN_MS) await new Promise((resolve) => setTimeout(resolve, leftMs - SPIN_MS));
  // Turns of the event loop, so that answers are still read meanwhile.
  while (performance.now() < dueMs) await new Promise((resolve) => setImmediate(resolve));
}

async function drive(run: OpenLoopRun): Promise<OpenLoopResult> {
  const { origin, pathname } = new URL(run.base);
  const pool = new Pool(origin, { connections: CONNECTIONS, pipelining: 1 });
  const path = (pathname === '/' ? '' : pathname) + run.path;
  const [before = '', after = ''] = run.body.split(SEED);
  let seed = newSeed();
  const expected = run.answerBytes === undefined ? undefined : answerOf(run.answerBytes);
  const result: OpenLoopResult = { latenciesMs: [], sent: 0, errors: 0 };
  const open = new Set<Promise<void>>();

  function send(dueMs: number, isCounted: boolean): Promise<void> {
    seed += 1;
    const body = run.method === 'GET' ? null : `${before}${seed}${after}`;
    return new Promise((resolve) => {
      let at = 0;
      let isGood = false;
      const end = () => {
        if (!isGood || (expected && at !== expected.length)) result.errors += 1;
        else if (isCounted) result.latenciesMs.push(performance.now() - dueMs);
        resolve();
      };
      pool.dispatch(
        { path, method: run.method ?? 'POST', headers: { ...run.headers }, body },
        {
          onRequestStart: () => undefined,
          onResponseStart(_controller, status) {
            isGood = status === 200;
          },
          onResponseData(_controller, chunk) {
            if (expected && expected.compare(chunk, 0, chunk.length, at, at + chunk.length) !== 0) isGood = false;
            at += chunk.length;
          },
          onResponseEnd: end,
          onResponseError() {
            isGood = false;
            end();
          },
        },
      );
    });
  }

  // Connections and compiled code are there before it counts.
  for (let index = 0; index < 5; index += 1) await send(performance.now(), false);
  const startMs = performance.now() + 10;
  const total = Math.round(run.perSecond * run.seconds);
  for (let index = 0; index < total; index += 1) {
    const dueMs = startMs + (index * 1000) / run.perSecond;
    await atMs(dueMs);
    result.sent += 1;
    const sent = send(dueMs, true).finally(() => open.delete(sent));
    open.add(sent);
  }
  await Promise.all(open);
  await pool.close();
  return result;
}

if (import.meta.main) {
  const [run] = (await once(process, 'message')) as [OpenLoopRun];
  process.send?.(await drive(run));
  process.disconnect();
}
