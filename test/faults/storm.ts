// A storm: many requests through the proxy against a NovelAI that fails in every way, and clients that leave in the middle.
// Afterwards the simulator's truth log tells whether an invariant broke.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { createService } from '../../src/compose.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../support/http-client.ts';
import { generationBody, madeUpAccounts } from '../support/stack.ts';
import { until } from '../support/until.ts';

export interface StormOptions {
  requests: number;
  accounts?: number;
  clients?: number;
  /** Requests that clients have open at once. */
  openAtOnce?: number;
  /** Share of requests that each kind of fault strikes. */
  faultShare?: number;
  /** Share of clients that leave at a random moment. */
  leaverShare?: number;
  /** How long NovelAI takes for each. */
  latencyMs?: number;
  /** How long an account stays taken after its client left. */
  drainMs?: number;
  seed?: number;
}

export interface StormReport {
  requests: number;
  /** Times two generations were open at once on one account, seen by NovelAI. */
  overlapViolations: number;
  /** Requests that reached NovelAI again after a send that may have been billed. */
  resendsAfterSend: number;
  /** Lines written down as a request's end. */
  outcomes: Record<string, number>;
  outcomesTotal: number;
  /** Faults NovelAI played, by kind. */
  faults: Record<string, number>;
  leavers: number;
  answered: number;
  slots: number;
  idleSlots: number;
  seconds: number;
  problems: string[];
}

/** Answers that prove that nothing was charged: only after one of these may a request be sent again. */
const PROOF_OF_NO_CHARGE: ReadonlySet<number> = new Set([401, 402, 403, 409, 429]);

/** Runs a storm and gives what came of it; `problems` is empty when every invariant held. */
export async function runStorm({
  requests,
  accounts: accountCount = 40,
  clients = 10,
  openAtOnce = 300,
  faultShare = 0.05,
  leaverShare = 0.03,
  latencyMs = 4,
  drainMs = 400,
  seed = 7,
}: StormOptions): Promise<StormReport> {
  const startedMs = performance.now();
  const dir = mkdtempSync(join(tmpdir(), 'proxy-storm-'));
  const accounts = madeUpAccounts(accountCount);
  const simulator = await startSimulator({
    fixedLatencyMs: latencyMs,
    cannedAnswerBytes: 3000,
    accounts,
    truthLimit: requests * 3,
    seed,
  });
  if (faultShare > 0) planFaults(simulator, faultShare);
  const tokens = Array.from({ length: clients }, () => newClientToken());
  const outcomes: Record<string, number> = {};
  const log = pino(
    { level: 'info', base: null },
    {
      write(line: string) {
        if (!line.includes('"msg":"request"')) return;
        const { outcome } = JSON.parse(line) as { outcome: string };
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      },
    },
  );
  const service = await createService(
    readConfig({
      PORT: '0',
      SERVER_TOKENS: tokens.map((token, index) => `client-${index}:${token}`).join(','),
      NOVELAI_ACCOUNTS: JSON.stringify(
        accounts.map(({ email, password }, index) => ({ name: `acc-${index}`, email, password })),
      ),
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      DATA_DIR: join(dir, 'data'),
      // On a starved machine the simulator may take a connection up a second after it was made, and with it a request that the service
      // has given up and rested for; NovelAI has three minutes.
      FIRST_BYTE_TIMEOUT: '1500ms',
      IDLE_TIMEOUT: '1s',
      UPSTREAM_TIMEOUT: '3s',
      DRAIN_TIMEOUT: `${drainMs}ms`,
      QUEUE_TIMEOUT: '20m',
      QUEUE_LIMIT_PER_CLIENT: '100000',
      SHUTDOWN_TIMEOUT: '5s',
    }),
    { log },
  );
  const address = await service.start();
  await until(() => service.pool.accounts.every((account) => account.availability('image').state === 'ready'));

  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const random = seededRandom(seed);
  let next = 0;
  let leavers = 0;
  let answered = 0;
  async function client(): Promise<void> {
    for (let index = next++; index < requests; index = next++) {
      const isLeaver = random() < leaverShare;
      const body = generationBody({ prompt: `storm ${index}` });
      await call(`${address}/ai/generate-image`, {
        body,
        headers: { authorization: `Bearer ${tokens[index % clients]}`, 'content-type': 'application/json' },
        agent,
        onRequest: (outgoing) => {
          // Who leaves before having asked has made no request.
          if (isLeaver) outgoing.once('finish', () => setTimeout(() => outgoing.destroy(), random() * 120));
        },
      }).then(
        () => (answered += 1),
        () => (leavers += 1),
      );
    }
  }
  await Promise.all(Array.from({ length: Math.min(openAtOnce, requests) }, () => client()));
  await until(() => service.running === 0, 30_000);
  await until(() => total(outcomes) >= requests, 5000).catch(() => undefined);

  const { slots, idleSlots } = service.queue.stats('image');
  const report: StormReport = {
    requests,
    overlapViolations: simulator.truth.rows().filter(({ overlap }) => overlap > 1).length,
    resendsAfterSend: countResends(simulator, requests),
    outcomes,
    outcomesTotal: total(outcomes),
    faults: countFaults(simulator),
    leavers,
    answered,
    slots,
    idleSlots,
    seconds: (performance.now() - startedMs) / 1000,
    problems: [],
  };
  report.problems.push(...problemsOf(report, { simulator, accountCount, hasFaults: faultShare > 0 }));
  agent.destroy();
  await service.stop();
  await simulator.close();
  rmSync(dir, { recursive: true, force: true });
  return report;
}

function planFaults(simulator: Simulator, probability: number): void {
  const endpoint = 'generate-image';
  simulator.faults.add({ endpoint, probability, kind: 'reset-before-headers' });
  simulator.faults.add({ endpoint, probability, kind: 'status', status: 500 });
  simulator.faults.add({ endpoint, probability, kind: 'status', status: 429 });
  simulator.faults.add({ endpoint, probability, kind: 'status', status: 401 });
  simulator.faults.add({ endpoint, probability, kind: 'hang' });
  simulator.faults.add({ endpoint, probability, kind: 'truncate' });
}

/** How many requests NovelAI got once more after a send that was not provably free of charge. */
function countResends(simulator: Simulator, requests: number): number {
  const sends = new Map<string, boolean[]>();
  for (const { endpoint, requestSha256, status, fault } of simulator.truth.rows()) {
    if (endpoint !== 'generate-image') continue;
    const isFree = PROOF_OF_NO_CHARGE.has(status) && (fault === undefined || fault === 'status');
    sends.set(requestSha256, [...(sends.get(requestSha256) ?? []), isFree]);
  }
  let resends = 0;
  for (let index = 0; index < requests; index += 1) {
    const hash = createHash('sha256')
      .update(generationBody({ prompt: `storm ${index}` }))
      .digest('hex');
    // All but the last send must have been free of charge.
    if ((sends.get(hash) ?? []).slice(0, -1).some((isFree) => !isFree)) resends += 1;
  }
  return resends;
}

function countFaults(simulator: Simulator): Record<string, number> {
  const faults: Record<string, number> = {};
  for (const { fault, status } of simulator.truth.rows()) {
    if (fault === undefined) continue;
    const name = fault === 'status' ? `status ${status}` : fault;
    faults[name] = (faults[name] ?? 0) + 1;
  }
  return faults;
}

function problemsOf(
  report: StormReport,
  { simulator, accountCount, hasFaults }: { simulator: Simulator; accountCount: number; hasFaults: boolean },
): string[] {
  const problems: string[] = [];
  const require = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  require(report.overlapViolations ===
    0, `I1: ${report.overlapViolations} generations began while another was open on the account${describeOverlap(simulator)}`);
  require(report.resendsAfterSend ===
    0, `I2: ${report.resendsAfterSend} requests were sent again although they may have been billed`);
  require(report.outcomesTotal ===
    report.requests, `I9: ${report.outcomesTotal} outcomes for ${report.requests} requests`);
  require(report.answered + report.leavers === report.requests, 'a client got neither an answer nor an end');
  require(report.slots === accountCount && report.idleSlots + coolingSlots(report) === accountCount, 'slots leaked');
  // A storm that did nothing shows nothing.
  require(simulator.truth.totals().succeeded > report.requests / 2, 'most requests should have succeeded');
  if (hasFaults)
    require(Object.keys(report.faults).length >=
      6, `every fault should have been played: ${JSON.stringify(report.faults)}`);
  return problems;
}

/** The first overlap: what was open, and for how long still when the next one came. */
function describeOverlap(simulator: Simulator): string {
  const rows = simulator.truth.rows();
  const second = rows.find(({ overlap }) => overlap > 1);
  if (!second) return '';
  const first = rows.findLast(
    (row) => row !== second && row.account === second.account && row.slot !== undefined && row.id < second.id,
  );
  const { fault = 'no fault', status, wasClientGone, receivedMs = 0, releasedMs, endMs } = first ?? {};
  const after = (ms: number | undefined) => (ms === undefined ? 'never' : `${(ms - receivedMs).toFixed(1)} ms`);
  return (
    `, the first of them ${after(second.receivedMs)} after one with ${fault} (${status}) that was released after ` +
    `${after(releasedMs)} and over after ${after(endMs)}${wasClientGone === true ? ', its connection gone' : ''}`
  );
}

/** `idleSlots` counts those that are available; resting accounts hold nothing either. */
function coolingSlots({ slots, idleSlots }: StormReport): number {
  return slots - idleSlots;
}

function total(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function seededRandom(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
