// The books under fire: work of every kind and price through the proxy while NovelAI fails in every way, charging or not. Afterwards
// what the simulator charged must be what the ledger says, to the Anlas.
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { SeededRandom } from '../../simulator/random.ts';
import { startSimulator, type SimulatedAccount, type Simulator } from '../../simulator/simulator.ts';
import { createService, type ComposedService } from '../../src/compose.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call, sha256 } from '../support/http-client.ts';
import { MixedWork, WORK_KINDS } from '../support/mixed-work.ts';
import { auditMoney, countBy, readLedger, sum, type LedgerView, type MoneyAudit } from '../support/money-audit.ts';
import { until } from '../support/until.ts';

export interface ChargesOptions {
  requests: number;
  /** Half of them Opus; some have few Anlas. */
  accounts?: number;
  clients?: number;
  /** Requests that clients have open at once. */
  openAtOnce?: number;
  /** Share of requests that each kind of fault strikes. */
  faultShare?: number;
  /** Share of clients that leave at a random moment. */
  leaverShare?: number;
  seed?: number;
}

export interface ChargesReport {
  requests: number;
  /** Answers by status, and connections that broke. */
  answers: Record<string, number>;
  /** NovelAI's doing: faults played, with whether they were charged, and lock refusals. */
  faults: Record<string, number>;
  lockRefusals: number;
  greatestOverlap: number;
  /** Requests that were charged more than once. */
  chargedTwice: number;
  /** Answered requests whose own charge differs from the truth, where a reading had to choose among several explanations. */
  guessedWrong: number;
  audit: MoneyAudit;
  seconds: number;
  problems: string[];
}

/** Longer than any simulated generation by far, also where the machine is busy and stops for a second, so that a balance is final soon after. */
const GENERATION_LIMIT_MS = 3000;
const FIRST_BYTE_MS = 1500;
const SETTLE_LIMIT_MS = 60_000;

/** Runs the work and gives what came of it; `problems` is empty when the books are right. */
export async function runCharges({
  requests,
  accounts: accountCount = 16,
  clients = 6,
  openAtOnce = 48,
  faultShare = 0.008,
  leaverShare = 0.02,
  seed = 11,
}: ChargesOptions): Promise<ChargesReport> {
  const startedMs = performance.now();
  const dir = mkdtempSync(join(tmpdir(), 'proxy-charges-'));
  const accounts = mixedAccounts(accountCount, requests);
  const simulator = await startSimulator({
    fixedLatencyMs: 4,
    cannedAnswerBytes: 3000,
    accounts,
    truthLimit: requests * 4 + 1000,
    seed,
  });
  planFaults(simulator, faultShare);
  const tokens = Array.from({ length: clients }, () => newClientToken());
  const { service, address, dataDir } = await startProxy(dir, simulator, accounts, tokens);

  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const random = new SeededRandom(seed + 1);
  const work = new MixedWork(seed + 2);
  const shas: string[] = [];
  const shaByRequestId = new Map<string, string>();
  const answers: Record<string, number> = {};
  const count = (answer: string) => (answers[answer] = (answers[answer] ?? 0) + 1);
  async function client(): Promise<void> {
    while (shas.length < requests) {
      const index = shas.length;
      shas.push('');
      const { path, headers, body } = await work.make(index);
      shas[index] = sha256(body);
      const isLeaver = random.next() < leaverShare;
      await call(address + path, {
        body,
        headers: { authorization: `Bearer ${tokens[index % clients]}`, ...headers },
        agent,
        onRequest: (outgoing) => {
          if (isLeaver) setTimeout(() => outgoing.destroy(), random.next() * 120);
        },
      }).then(
        (answer) => {
          count(String(answer.status));
          shaByRequestId.set(String(answer.headers['x-request-id']), shas[index] ?? '');
        },
        () => count('broken'),
      );
    }
  }
  await Promise.all(Array.from({ length: Math.min(openAtOnce, requests) }, () => client()));
  await until(() => service.running === 0, SETTLE_LIMIT_MS);
  await simulator.truth.whenIdle();
  await resolveUnknowns(service);

  const view = await readLedger(dataDir);
  const emails = new Map(accounts.map(({ email }, index) => [nameOf(index), email]));
  const audit = auditMoney(view, simulator, emails);
  const { wrong, guessedWrong } = compareEach(view, simulator, shaByRequestId);
  const { lockRefusals, greatestOverlap } = simulator.truth.totals();
  const report: ChargesReport = {
    requests,
    answers,
    faults: countBy(
      simulator.truth.rows().filter(({ fault }) => fault !== undefined),
      ({ fault, status, chargeAnlas }) => `${fault === 'status' ? status : fault}${chargeAnlas > 0 ? ', charged' : ''}`,
    ),
    lockRefusals,
    greatestOverlap,
    chargedTwice: chargedTwice(simulator),
    guessedWrong,
    audit,
    seconds: (performance.now() - startedMs) / 1000,
    problems: [...audit.problems, ...wrong],
  };
  report.problems.push(...problemsOf(report, simulator));
  agent.destroy();
  await service.stop();
  await simulator.close();
  rmSync(dir, { recursive: true, force: true });
  return report;
}

/**
 * Opus and Tablet in turn. The Opus accounts run out of Anlas in the middle, so that work then costs more than before; so do some
 * of the others. Some have bought Anlas, and some Opus accounts have little or no V5 allowance.
 */
function mixedAccounts(count: number, requests: number): SimulatedAccount[] {
  const plenty = requests * 40;
  const few = Math.round(requests * 0.3);
  return Array.from({ length: count }, (_, index): SimulatedAccount => {
    const isOpus = index % 2 === 0;
    const hasFew = isOpus || index % 4 === 1;
    const hasBought = !isOpus && index % 3 === 0;
    return {
      email: `owner-${index + 1}@example.org`,
      password: `made-up-pass-${index + 1}`,
      tier: isOpus ? 3 : 1,
      fixedAnlas: hasFew ? few : plenty,
      purchasedAnlas: hasBought ? few : 0,
      allowancePercent: V5_ALLOWANCES[index] ?? 100,
    };
  });
}

/** In percent, at some 17 pictures each. */
const V5_ALLOWANCES: Readonly<Record<number, number>> = {
  0: 0.2,
  2: 0,
  4: 0.5,
  6: 0.1,
  8: 1,
  10: 0.4,
  12: 0.3,
  14: 0.8,
};

function nameOf(index: number): string {
  return `acc-${index + 1}`;
}

async function startProxy(
  dir: string,
  simulator: Simulator,
  accounts: readonly SimulatedAccount[],
  tokens: readonly string[],
): Promise<{ service: ComposedService; address: string; dataDir: string }> {
  const dataDir = join(dir, 'data');
  const service = await createService(
    readConfig({
      PORT: '0',
      SERVER_TOKENS: tokens.map((token, index) => `client-${index}:${token}`).join(','),
      NOVELAI_ACCOUNTS: JSON.stringify(
        accounts.map(({ email, password }, index) => ({ name: nameOf(index), email, password })),
      ),
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
      DATA_DIR: dataDir,
      FIRST_BYTE_TIMEOUT: `${FIRST_BYTE_MS}ms`,
      IDLE_TIMEOUT: `${FIRST_BYTE_MS}ms`,
      UPSTREAM_TIMEOUT: `${GENERATION_LIMIT_MS}ms`,
      DRAIN_TIMEOUT: '300ms',
      QUEUE_TIMEOUT: '20m',
      QUEUE_LIMIT_PER_CLIENT: '100000',
      SHUTDOWN_TIMEOUT: '5s',
    }),
    { log: pino({ level: process.env['CHARGES_LOG'] ?? 'silent', base: null }, process.stderr) },
  );
  const address = await service.start();
  await until(() => service.pool.accounts.every((account) => account.availability('image').state === 'ready'));
  return { service, address, dataDir };
}

/** Every way to fail that NovelAI has, where one can tell them apart both with and without a charge. */
function planFaults(simulator: Simulator, probability: number): void {
  const path = '/ai/';
  const add = simulator.faults.add.bind(simulator.faults);
  for (const isCharged of [true, false]) {
    add({ path, probability, isCharged, kind: 'reset-before-headers' });
    add({ path, probability, isCharged, kind: 'reset-after-headers' });
    add({ path, probability, isCharged, kind: 'truncate' });
    add({ path, probability, isCharged, kind: 'hang' });
    add({ path, probability, isCharged, kind: 'status', status: 500 });
    add({ path, probability: probability / 2, isCharged, kind: 'status', status: 502, body: 'html' });
  }
  add({ path, probability, kind: 'short-body' });
  add({ path, probability, kind: 'status', status: 429 });
  add({ path, probability, kind: 'status', status: 401 });
  add({ path, probability: probability / 4, kind: 'status', status: 403, body: 'html' });
  // A refusal shuts an account to all work of its price, so only among what is dear, and seldom.
  add({ path: '/ai/generate-image-stream', probability, kind: 'status', status: 402 });
  add({ path: '/user/subscription', probability: probability * 2, kind: 'status', status: 500 });
}

/** Lets the balances tell what unknown attempts cost: what the service does by itself within some 15 seconds, at once. */
async function resolveUnknowns(service: ComposedService): Promise<void> {
  const { ledger } = service.storage;
  const endMs = performance.now() + SETTLE_LIMIT_MS;
  while (performance.now() < endMs) {
    const open = (await ledger.unresolved()).filter(({ resolution }) => resolution === null);
    if (open.length === 0 && ledger.owedCount === 0) return;
    const named = new Set(open.map(({ account }) => account));
    await Promise.all(
      service.pool.accounts.filter(({ name }) => named.has(name)).map(({ balance }) => balance.refresh()),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Compares the charge of each answered request with what NovelAI took for that very body. */
function compareEach(
  { attempts }: LedgerView,
  simulator: Simulator,
  shaByRequestId: ReadonlyMap<string, string>,
): { wrong: string[]; guessedWrong: number } {
  const truth = chargesBySha(simulator);
  const wrong: string[] = [];
  let guessedWrong = 0;
  for (const { id, endpoint, charged_anlas, resolution, outcome } of attempts) {
    const sha = shaByRequestId.get(id);
    if (sha === undefined || charged_anlas === null) continue;
    const took = sum(truth.get(sha) ?? []);
    if (took === charged_anlas) continue;
    if (resolution === 'attributed') guessedWrong += 1;
    else
      wrong.push(
        `charges: NovelAI took ${took} for a ${endpoint}, the ledger has ${charged_anlas} (${outcome}, ${resolution})`,
      );
  }
  return { wrong: wrong.slice(0, 10), guessedWrong };
}

function chargesBySha(simulator: Simulator): Map<string, number[]> {
  const charges = new Map<string, number[]>();
  for (const { requestSha256, chargeAnlas } of simulator.truth.rows())
    if (chargeAnlas > 0) charges.set(requestSha256, [...(charges.get(requestSha256) ?? []), chargeAnlas]);
  return charges;
}

function chargedTwice(simulator: Simulator): number {
  return [...chargesBySha(simulator).values()].filter(({ length }) => length > 1).length;
}

function problemsOf(report: ChargesReport, simulator: Simulator): string[] {
  const problems: string[] = [];
  const require = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  const { requests, answers, audit, greatestOverlap } = report;
  require(sum(Object.values(answers)) === requests, 'a request got neither an answer nor an end');
  require(report.chargedTwice === 0, `I2: ${report.chargedTwice} requests were charged twice`);
  require(greatestOverlap <= 1, `I1: ${greatestOverlap} generations were open at once on an account`);
  // A run that did nothing shows nothing.
  require((answers['200'] ?? 0) > requests / 2, `most requests should have succeeded: ${JSON.stringify(answers)}`);
  require(audit.truth > requests, `too little was charged to show anything: ${audit.truth}`);
  require(Object.keys(report.faults).length >=
    10, `every fault should have been played: ${JSON.stringify(report.faults)}`);
  const resolved = audit.unknowns;
  for (const charge of ['charged', 'free'])
    require((resolved[`proved ${charge}`] ?? 0) + (resolved[`attributed ${charge}`] ?? 0) >
      0, `some unknown attempt should have been found ${charge}: ${JSON.stringify(resolved)}`);
  require((resolved['listed'] ?? 0) === 0, `${resolved['listed']} unknown attempts were not resolved`);
  require(simulator.accounts.some(
    ({ balanceAnlas }) => balanceAnlas < 60,
  ), 'some account should have run out of Anlas');
  require(requests < WORK_KINDS.length * 10 || audit.attempts > requests / 2, 'too few requests came to the ledger');
  return problems;
}
