// A service that is killed again and again under load, and started again on the same data. After each kill and at the end, what the
// simulated NovelAI charged must agree with what the ledger says.
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../simulator/random.ts';
import { startSimulator, type SimulatedAccount, type Simulator } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call, sha256 } from '../support/http-client.ts';
import { KillableProxy } from '../support/killable-proxy.ts';
import { MixedWork } from '../support/mixed-work.ts';
import {
  auditMoney,
  moneyOf,
  readLedger,
  undecided,
  type LedgerView,
  type MoneyAudit,
} from '../support/money-audit.ts';

export interface KillOptions {
  /** How long it is killed and started again; settling comes on top. */
  seconds: number;
  /** Least and longest life, milliseconds from ready to killed. */
  lifeMs?: readonly [least: number, longest: number];
  accounts?: number;
  clients?: number;
  seed?: number;
  /** How long generations last, as a multiple of NovelAI's own times. */
  latencyFactor?: number;
  /** A fault to plant in the service. */
  plant?: string | undefined;
}

/** One kill: what was under way at that moment, and what the books said. */
export interface KillRow {
  kill: number;
  livedMs: number;
  /** From the kill until every account was logged in again. */
  downMs: number;
  /** Generations NovelAI was running. */
  atNovelAI: number;
  /** Attempts by state, as the killed process left them. */
  reserved: number;
  sent: number;
  held: number;
  /** Anlas: what NovelAI had taken, what was settled, and what was set aside for the rest. */
  truth: number;
  ledger: number;
  pending: number;
  requests: number;
}

export interface KillReport {
  kills: KillRow[];
  requests: number;
  answers: Record<string, number>;
  /** Requests with an Idempotency-Key that were sent once more after their connection broke. */
  repeated: number;
  lockRefusals: number;
  greatestOverlap: number;
  chargedTwice: number;
  exitCode: number | null;
  audit: MoneyAudit;
  seconds: number;
  problems: string[];
}

/** Of all kinds, those that NovelAI finishes within the limit below. */
const KINDS = [
  'free V4.5',
  'free V5',
  'many steps',
  'SMEA',
  'img2img',
  'infill',
  'vibes',
  'character references',
  'stream, msgpack',
  'stream, SSE',
  'upscale',
  'lineart',
  'encode-vibe',
  'text',
] as const;
/** Generations last 0.5 to 6 s, so that most kills cut several off and a restart is quicker than many of them. */
const LATENCY_FACTOR = 0.6;
/** Longer than the longest of them at NovelAI's own pace. */
const UPSTREAM_TIMEOUT_MS = 13_500;
/** The service looks again every 15 s, and is sure after the limit above. Over a planted fault the books may never come to rest. */
const SETTLE_LIMIT_MS = 60_000;
const PLANTED_SETTLE_LIMIT_MS = 3000;
const KEYED_SHARE = 0.3;
const MOST_REPEATS = 30;

/** Runs it and gives what came of it; `problems` is empty when the books are right. */
export async function runKill({
  seconds,
  lifeMs = [5000, 20_000],
  accounts: accountCount = 12,
  clients = 20,
  seed = 5,
  latencyFactor = LATENCY_FACTOR,
  plant,
}: KillOptions): Promise<KillReport> {
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  const dir = mkdtempSync(join(tmpdir(), 'proxy-killed-'));
  const accounts = Array.from({ length: accountCount }, (_, index): SimulatedAccount => ({
    email: `owner-${index + 1}@example.org`,
    password: `made-up-pass-${index + 1}`,
    tier: index % 3 === 2 ? 1 : 3,
    fixedAnlas: 1_000_000,
  }));
  const emails = new Map(accounts.map(({ email }, index) => [`acc-${index + 1}`, email]));
  const simulator = await startSimulator({ latencyFactor, cannedAnswerBytes: 20_000, accounts, seed });
  planFaults(simulator);
  const tokens = Array.from({ length: 4 }, () => newClientToken());
  const environment = {
    ...environmentFor(simulator, emails, accounts, tokens),
    UPSTREAM_TIMEOUT: `${UPSTREAM_TIMEOUT_MS * latencyFactor}ms`,
  };
  const proxy = new KillableProxy({ dir, plant, environment });
  const load = new Load({ proxy, tokens, seed });
  const problems: string[] = [];
  const kills: KillRow[] = [];
  try {
    await proxy.start();
    await proxy.ready();
    const clientsDone = Promise.all(Array.from({ length: clients }, () => load.run()));
    const random = new SeededRandom(seed + 1);
    const [least, longest] = lifeMs;
    let bornMs = performance.now();
    for (;;) {
      const livesMs = least + random.below(longest - least);
      if (performance.now() + livesMs > endMs && kills.length > 0) break;
      await new Promise((resolve) => setTimeout(resolve, livesMs));
      const killedMs = performance.now();
      await proxy.end('SIGKILL');
      const atNovelAI = runningGenerations(simulator);
      const view = await readCopy(proxy.dataDir, dir);
      problems.push(...problemsAtKill(view, simulator, { emails, kill: kills.length + 1 }));
      await proxy.start();
      await proxy.ready();
      kills.push({
        kill: kills.length + 1,
        livedMs: Math.round(killedMs - bornMs),
        downMs: Math.round(performance.now() - killedMs),
        atNovelAI,
        ...figuresOf(view, simulator, emails),
        requests: load.requests,
      });
      bornMs = performance.now();
    }
    load.stop();
    await clientsDone;
    await settled(proxy, simulator, plant === undefined ? SETTLE_LIMIT_MS : PLANTED_SETTLE_LIMIT_MS);
    const exitCode = await proxy.end('SIGTERM');
    const view = await readLedger(proxy.dataDir);
    const audit = auditMoney(view, simulator, emails);
    const { lockRefusals, greatestOverlap } = simulator.truth.totals();
    const report: KillReport = {
      kills,
      requests: load.requests,
      answers: load.answers,
      repeated: load.repeated,
      lockRefusals,
      greatestOverlap,
      chargedTwice: chargedTwice(simulator),
      exitCode,
      audit,
      seconds: (performance.now() - startedMs) / 1000,
      problems: [...problems, ...audit.problems],
    };
    report.problems.push(...problemsOf(report));
    return report;
  } finally {
    load.stop();
    await proxy.close();
    await simulator.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

function environmentFor(
  simulator: Simulator,
  emails: ReadonlyMap<string, string>,
  accounts: readonly SimulatedAccount[],
  tokens: readonly string[],
): Record<string, string> {
  return {
    SERVER_TOKENS: tokens.map((token, index) => `client-${index}:${token}`).join(','),
    NOVELAI_ACCOUNTS: JSON.stringify(
      [...emails].map(([name, email], index) => ({ name, email, password: accounts[index]?.password })),
    ),
    NOVELAI_IMAGE_URL: simulator.imageUrl,
    NOVELAI_TEXT_URL: simulator.textUrl,
    NOVELAI_API_URL: simulator.apiUrl,
    SHUTDOWN_TIMEOUT: '10s',
  };
}

/** What breaks by itself, besides the kills, charged and not. */
function planFaults({ faults }: Simulator): void {
  const path = '/ai/';
  for (const isCharged of [true, false]) {
    faults.add({ path, probability: 0.02, isCharged, kind: 'reset-before-headers' });
    faults.add({ path, probability: 0.01, isCharged, kind: 'truncate' });
    faults.add({ path, probability: 0.02, isCharged, kind: 'status', status: 500 });
  }
  faults.add({ path, probability: 0.01, kind: 'status', status: 401 });
}

/** Clients that send one request after the other, whatever becomes of the service. */
class Load {
  readonly #proxy: KillableProxy;
  readonly #tokens: readonly string[];
  readonly #work: MixedWork;
  readonly #random: SeededRandom;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  readonly answers: Record<string, number> = {};
  requests = 0;
  repeated = 0;
  #isStopped = false;

  constructor({ proxy, tokens, seed }: { proxy: KillableProxy; tokens: readonly string[]; seed: number }) {
    this.#proxy = proxy;
    this.#tokens = tokens;
    this.#work = new MixedWork(seed, KINDS);
    this.#random = new SeededRandom(seed + 2);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** One client's life. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      const index = this.requests++;
      const { path, headers, body } = await this.#work.make(index);
      const key = this.#random.next() < KEYED_SHARE ? { 'idempotency-key': sha256(body) } : undefined;
      const token = this.#tokens[index % this.#tokens.length];
      for (let tries = 0; tries < MOST_REPEATS; tries += 1) {
        while (!this.#proxy.isUp && !this.#isStopped) await new Promise((resolve) => setTimeout(resolve, 50));
        const answer = await call(this.#proxy.address + path, {
          body,
          headers: { authorization: `Bearer ${token}`, ...headers, ...key },
          agent: this.#agent,
        }).then(
          ({ status, headers: told }) =>
            status === 200 ? '200' : `${status} ${String(told['x-proxy-error'] ?? '')}`.trim(),
          () => 'broken',
        );
        this.answers[answer] = (this.answers[answer] ?? 0) + 1;
        if (answer !== 'broken') break;
        // Only with a key may a client that knows nothing of its request send it again.
        if (!key || this.#isStopped) break;
        this.repeated += 1;
      }
    }
  }
}

function runningGenerations(simulator: Simulator): number {
  return simulator.truth.rows().filter(({ startMs, releasedMs }) => startMs !== undefined && releasedMs === undefined)
    .length;
}

/** Reads what the killed process left, from a copy: the next start must find it untouched. */
async function readCopy(dataDir: string, dir: string): Promise<LedgerView> {
  const copyDir = mkdtempSync(join(dir, 'copy-'));
  for (const name of readdirSync(dataDir))
    if (/^proxy\.db(-wal)?$/.test(name)) cpSync(join(dataDir, name), join(copyDir, name));
  try {
    return await readLedger(copyDir);
  } finally {
    rmSync(copyDir, { recursive: true, force: true });
  }
}

function figuresOf(view: LedgerView, simulator: Simulator, emails: ReadonlyMap<string, string>) {
  const inState = (name: string) => view.attempts.filter(({ state }) => state === name).length;
  const money = moneyOf(view, simulator, emails);
  const total = (figure: 'truth' | 'ledger' | 'held' | 'open') => money.reduce((sum, line) => sum + line[figure], 0);
  return {
    reserved: inState('reserved'),
    sent: inState('sent'),
    held: inState('held'),
    truth: total('truth'),
    ledger: total('ledger'),
    pending: total('held') + total('open'),
  };
}

/** Whatever a kill may leave open, it must have been written down before it was sent. */
function problemsAtKill(
  view: LedgerView,
  simulator: Simulator,
  { emails, kill }: { emails: ReadonlyMap<string, string>; kill: number },
): string[] {
  const problems: string[] = [];
  for (const { account, truth, ledger, held, open, drifts } of moneyOf(view, simulator, emails)) {
    if (truth < ledger || truth > ledger + held + open)
      problems.push(
        `charges: NovelAI took ${truth} from ${account} until kill ${kill}, the ledger has ${ledger} and sets ${held + open} aside`,
      );
    if (drifts > 0) problems.push(`drift: ${account} until kill ${kill}`);
  }
  if (view.differences > 0) problems.push(`verify: ${view.differences} differences at kill ${kill}`);
  return problems;
}

/** Waits until nothing runs and the service has found out, by itself, what every unknown attempt cost. */
async function settled({ dataDir }: KillableProxy, simulator: Simulator, limitMs: number): Promise<void> {
  await simulator.truth.whenIdle();
  const endMs = performance.now() + limitMs;
  while (performance.now() < endMs) {
    const view = await readLedger(dataDir);
    const isOpen = view.attempts.some(({ state }) => state === 'reserved' || state === 'sent');
    if (!isOpen && undecided(view).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function chargedTwice(simulator: Simulator): number {
  const charges = new Map<string, number>();
  for (const { requestSha256, chargeAnlas } of simulator.truth.rows())
    if (chargeAnlas > 0) charges.set(requestSha256, (charges.get(requestSha256) ?? 0) + 1);
  return [...charges.values()].filter((count) => count > 1).length;
}

function problemsOf({ kills, answers, audit, ...report }: KillReport): string[] {
  const problems: string[] = [];
  const require = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  require(report.greatestOverlap <= 1, `I1: ${report.greatestOverlap} generations were open at once on an account`);
  // The simulator's durations are within what the service must expect, so its rests are long enough.
  require(report.lockRefusals === 0, `I1: NovelAI refused ${report.lockRefusals} generations because of its lock`);
  require(report.chargedTwice === 0, `I2: ${report.chargedTwice} requests were charged twice`);
  require(report.exitCode === 0, `the last process ended with ${report.exitCode}`);
  const left = audit.unknowns['listed'] ?? 0;
  require(left === 0, `${left} unknown attempts were not resolved`);
  // A run that did nothing shows nothing.
  require(kills.some(({ sent }) => sent > 0), 'no kill came in the middle of something');
  require((answers['200'] ?? 0) > kills.length * 5 &&
    audit.truth > 0, `too little was done: ${JSON.stringify(answers)}`);
  return problems;
}
