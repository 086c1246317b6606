// Every stage of a paid request's way, crossed with everything that can end it there: in each cell the ledger must say what NovelAI
// charged.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FaultRule } from '../../simulator/faults.ts';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import type { TruthRow } from '../../simulator/truth-log.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../support/http-client.ts';
import { KillableProxy } from '../support/killable-proxy.ts';
import { auditMoney, readLedger, undecided, type LedgerView } from '../support/money-audit.ts';
import { accountsOf, emailsOf, environmentFor, startMoneyStack } from '../support/money-stack.ts';
import { samplePicture } from '../support/native-samples.ts';
import { generationBody } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { StagedCall } from '../support/staged-call.ts';

/**
 * Where the request is: waiting for its account; at NovelAI, without an answer; the answer's head has come; some of its body; all of
 * it, while the client has read nothing.
 */
export const STAGES = ['queued', 'sent', 'headers', 'body', 'end'] as const;
export const EVENTS = ['client gone', 'upstream reset', 'upstream error', 'SIGTERM', 'SIGKILL'] as const;
export type Stage = (typeof STAGES)[number];
export type Event = (typeof EVENTS)[number];

/** What came of one cell. */
export interface Cell {
  stage: Stage;
  event: Event;
  /** Of an upstream fault: whether NovelAI charged all the same. */
  isCharged?: boolean | undefined;
  /** What the client saw. */
  client: string;
  /** The request's end in the ledger, and how its charge was found where it was not known. */
  outcome: string;
  /** Anlas of the whole cell. */
  ledger: number;
  truth: number;
  problems: string[];
}

export interface CellName {
  stage: Stage;
  event: Event;
  isCharged?: boolean;
}

/** Runs while the request of interest waits. */
const BLOCKER = 'augment-image';
/** Long enough to strike in the middle of it, also on a slow machine. */
const LATENCY_MS = 1000;
const BACKGROUND_REMOVAL = Buffer.from(
  JSON.stringify({
    req_type: 'bg-removal',
    width: 64,
    height: 64,
    image: (await samplePicture()).toString('base64'),
  }),
);
const SETTLE_LIMIT_MS = 40_000;
const ACCOUNTS = accountsOf([{}]);
const SIMULATOR = { fixedLatencyMs: LATENCY_MS, cannedAnswerBytes: 20_000 };
/** By the service's own clock NovelAI is sure to be done after this. */
const TIMEOUTS = { FIRST_BYTE_TIMEOUT: '2500ms', IDLE_TIMEOUT: '2500ms', UPSTREAM_TIMEOUT: '3s', DRAIN_TIMEOUT: '2s' };

/** A stream shows its head at once; so what shall be struck before one is a picture. */
function targetOf(stage: Stage): 'generate-image' | 'generate-image-stream' {
  return stage === 'queued' || stage === 'sent' ? 'generate-image' : 'generate-image-stream';
}

/** All cells; an upstream fault makes two, where NovelAI may have charged or not. */
export function cellNames(): CellName[] {
  return STAGES.flatMap((stage) =>
    EVENTS.flatMap((event): CellName[] =>
      event.startsWith('upstream')
        ? [
            { stage, event, isCharged: true },
            { stage, event, isCharged: false },
          ]
        : [{ stage, event }],
    ),
  );
}

/** The faults that strike at a stage; while the request waits, they strike the one that it waits for. */
function faultOf({ stage, event, isCharged = false }: CellName): FaultRule | undefined {
  if (!event.startsWith('upstream')) return undefined;
  const endpoint = stage === 'queued' ? BLOCKER : targetOf(stage);
  const isReset = event === 'upstream reset';
  // One that is not charged strikes before NovelAI works, so it is told to wait.
  const delayMs = isCharged ? 0 : LATENCY_MS;
  switch (stage) {
    case 'queued':
    case 'sent':
      return isReset
        ? { kind: 'reset-before-headers', endpoint, isCharged, delayMs }
        : { kind: 'status', status: 500, endpoint, isCharged, delayMs };
    case 'headers':
      return isReset
        ? { kind: 'reset-after-headers', endpoint, isCharged, afterBytes: 0 }
        : { kind: 'stream-error', endpoint, isCharged, afterFrames: 0 };
    case 'body':
      return isReset
        ? { kind: 'reset-after-headers', endpoint, isCharged, afterBytes: 9000 }
        : { kind: 'stream-error', endpoint, isCharged, afterFrames: 3 };
    case 'end':
      return isReset
        ? { kind: 'reset-after-headers', endpoint, isCharged, afterBytes: Number.MAX_SAFE_INTEGER }
        : { kind: 'stream-error', endpoint, isCharged, afterFrames: 1000 };
  }
}

/** A running service, in this process or in one of its own. */
interface Subject {
  simulator: Simulator;
  address: string;
  token: string;
  ledger(): Promise<LedgerView>;
  /** Ends the process, by either signal, and starts it again after SIGKILL. Gives what is wrong with that. */
  signal(signal: 'SIGTERM' | 'SIGKILL'): Promise<string[]>;
  close(): Promise<void>;
}

/** Plays one cell. */
export async function runCell(name: CellName, compileCacheDir: string): Promise<Cell> {
  const { stage, event } = name;
  const isSignal = event === 'SIGTERM' || event === 'SIGKILL';
  const subject = await (isSignal ? startProcess(compileCacheDir) : startHere());
  try {
    const { simulator } = subject;
    const fault = faultOf(name);
    if (fault) simulator.faults.add(fault);
    const endpoint = targetOf(stage);
    const blocker = stage === 'queued' ? send(subject, BLOCKER) : undefined;
    const blocked = blocker?.read();
    if (blocker) await until(() => rowOf(simulator, BLOCKER) !== undefined);
    const target = send(subject, endpoint);
    const problems = await reach(name, subject, target);
    let ended: string[] = [];
    if (event === 'client gone') target.drop();
    const client = target.read();
    if (isSignal) ended = await subject.signal(event);
    const seen = event === 'client gone' ? 'left' : await client;
    await blocked;
    const view = await settled(subject);
    const audit = auditMoney(view, simulator, emailsOf(ACCOUNTS));
    const attempt = view.attempts.find((candidate) => candidate.endpoint === endpoint);
    if (fault && !simulator.truth.rows().some((row) => row.fault !== undefined)) problems.push('no fault was played');
    return {
      ...name,
      client: seen,
      outcome: attempt ? [attempt.outcome, attempt.resolution].filter(Boolean).join(', ') : 'not there',
      ledger: audit.ledger,
      truth: audit.truth,
      problems: [...problems, ...ended, ...audit.problems],
    };
  } finally {
    await subject.close();
  }
}

/** Waits until the request is where it shall be struck. An upstream fault strikes by itself. */
async function reach({ stage, event }: CellName, subject: Subject, target: StagedCall): Promise<string[]> {
  const { simulator } = subject;
  const isUpstream = event.startsWith('upstream');
  if (stage === 'queued') {
    const endMs = performance.now() + LATENCY_MS;
    for (;;) {
      const { text } = await call(`${subject.address}/v1/queue`, {
        method: 'GET',
        headers: { authorization: `Bearer ${subject.token}` },
      });
      if ((JSON.parse(text) as { waiting: unknown[] }).waiting.length > 0) return [];
      if (performance.now() > endMs) return ['the request never waited'];
    }
  }
  if (isUpstream) return [];
  const row = () => rowOf(simulator, targetOf(stage));
  switch (stage) {
    case 'sent':
      await until(() => row()?.startMs !== undefined);
      return target.hasHead ? ['the head came too early'] : [];
    case 'headers':
      await until(() => target.hasHead);
      return (row()?.answerBytes ?? 0) > 0 ? ['the body came too early'] : [];
    case 'body':
      await until(() => target.hasHead && (row()?.answerBytes ?? 0) > 0);
      return row()?.releasedMs === undefined ? [] : ['the end came too early'];
    case 'end':
      await until(() => row()?.endMs !== undefined);
      return [];
  }
}

function rowOf(simulator: Simulator, endpoint: string): TruthRow | undefined {
  return simulator.truth.rows().findLast((row) => row.endpoint === endpoint);
}

/** Too large to be free: 30 Anlas for the request itself, 65 for the background removal before it. */
function send({ address, token }: Subject, endpoint: string): StagedCall {
  const parameters = { width: 1024, height: 1536, steps: 28, ...(endpoint.endsWith('stream') && { stream: 'sse' }) };
  return new StagedCall(`${address}/ai/${endpoint}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: endpoint === BLOCKER ? BACKGROUND_REMOVAL : generationBody({ parameters }),
  });
}

/** Waits until nothing is open and the service has found out what everything cost. */
async function settled(subject: Subject): Promise<LedgerView> {
  const endMs = performance.now() + SETTLE_LIMIT_MS;
  await subject.simulator.truth.whenIdle();
  for (;;) {
    const view = await subject.ledger();
    const isOpen = view.attempts.some(({ state }) => state === 'reserved' || state === 'sent');
    if ((!isOpen && undecided(view).length === 0) || performance.now() > endMs) return view;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function startHere(): Promise<Subject> {
  const stack = await startMoneyStack({ accounts: [{}], simulator: SIMULATOR, environment: TIMEOUTS });
  return { ...stack, signal: () => Promise.reject(new Error('no process of its own')) };
}

async function startProcess(compileCacheDir: string): Promise<Subject> {
  const dir = mkdtempSync(join(tmpdir(), 'proxy-matrix-'));
  const simulator = await startSimulator({ accounts: ACCOUNTS, ...SIMULATOR });
  const token = newClientToken();
  const environment = {
    ...environmentFor(simulator, ACCOUNTS, token),
    ...TIMEOUTS,
    NODE_COMPILE_CACHE: compileCacheDir,
  };
  const proxy = new KillableProxy({ dir, environment });
  await proxy.start();
  await proxy.ready();
  return {
    simulator,
    address: proxy.address,
    token,
    ledger: () => readLedger(proxy.dataDir),
    async signal(signal) {
      const code = await proxy.end(signal);
      if (signal === 'SIGKILL') await proxy.start();
      else if (code !== 0) return [`the process ended with ${code}`];
      return [];
    },
    async close() {
      await proxy.close();
      await simulator.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The cells as lines of a table. */
export function matrixTable(cells: readonly Cell[]): string[] {
  const rows = cells.map(({ stage, event, isCharged, client, outcome, ledger, truth, problems }) => [
    stage,
    isCharged === undefined ? event : `${event}, ${isCharged ? 'charged' : 'free'}`,
    client,
    outcome,
    String(ledger),
    String(truth),
    problems.length === 0 ? 'agrees' : 'DIFFERS',
  ]);
  const table = [['stage', 'event', 'client saw', 'ledger: end', 'Anlas', 'truth', ''], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length))) ?? [];
  return table.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}
