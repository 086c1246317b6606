// The real run: queued work over sockets through the proxy to a simulated NovelAI, each a process of its own. Shows how much of
// the time the accounts are busy, and how long a free account waits for its next generation. Exits with 1 on a missed target.
// `node bench/real-run.ts [ANSWER_BYTES]`. Small ones by default: what is measured is the queue, and these accounts are ten times as quick
// as NovelAI's.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TruthRow } from '../simulator/truth-log.ts';
import { newClientToken } from '../src/lib/random-text.ts';
import { call, sha256 } from '../test/support/http-client.ts';
import { startProxyProcess } from '../test/support/proxy-process.ts';
import { generationBody, madeUpAccounts } from '../test/support/stack.ts';
import { startSimulatorProcess, type SimulatorProcess } from '../test/support/simulator-process.ts';
import { quantile, report, type Target } from './targets.ts';

interface Run {
  accounts: number;
  requests: number;
  clients: number;
  latencyMs: number;
}

/** What came of a run. */
interface RunResult {
  seconds: number;
  statuses: Record<string, number>;
  wrongBytes: number;
  lockRefusals: number;
  greatestOverlap: number;
  generations: number;
  /** Share of time between first start and last end, of each account. */
  utilisations: number[];
  /** From an answer handed to the network to the next request on the same account, at NovelAI. */
  gapsMs: number[];
  /** From NovelAI's lock free to taken again: what utilisation is made of. */
  freeMs: number[];
  /** From an answer complete to the next request sent on the same account, in the proxy. */
  proxyGapsMs: number[];
}

const GENERATION = 'generate-image';
const STRAIGHT_ROUNDS = 60;
const ARRIVAL_MS = 5;
const answerBytes = Number(process.argv[2] ?? 10_000);

async function run({ accounts: accountCount, requests, clients, latencyMs }: Run): Promise<RunResult> {
  const accounts = madeUpAccounts(accountCount);
  const dir = await mkdtemp(join(tmpdir(), 'real-run-'));
  const probeFile = join(dir, 'gaps.json');
  const simulator = await startSimulatorProcess({
    fixedLatencyMs: latencyMs,
    cannedAnswerBytes: answerBytes,
    accounts,
  });
  const tokens = Array.from({ length: clients }, () => newClientToken());
  const proxy = await startProxyProcess(simulator, accounts, {
    SERVER_TOKENS: tokens.join(','),
    // Without experience the proxy expects NovelAI's own seconds, by which the last of so many would wait too long.
    QUEUE_TIMEOUT: '2h',
    NODE_OPTIONS: `--import ${new URL('gap-probe.ts', import.meta.url).href}`,
    GAP_PROBE_FILE: probeFile,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  try {
    const startedMs = performance.now();
    const bodies = Array.from({ length: requests }, (_, index) => generationBody({ prompt: `real run ${index}` }));
    const answers = await Promise.all(
      bodies.map(async (body, index) => {
        await sleep(startMs(index, { accountCount, latencyMs }));
        return call(`${proxy.address}/ai/generate-image`, {
          body,
          headers: { authorization: `Bearer ${tokens[index % clients]}`, 'content-type': 'application/json' },
          agent,
        });
      }),
    );
    const seconds = (performance.now() - startedMs) / 1000;
    const rows = (await simulator.rows()).filter(({ endpoint }) => endpoint === GENERATION);
    const totals = await simulator.totals();
    const seen = await whatNovelAiSaw(simulator);
    await proxy.stop();
    const sent = new Map(rows.map(({ requestSha256, answerSha256 }) => [requestSha256, answerSha256]));
    return {
      seconds,
      statuses: countBy(answers, ({ status }) => String(status)),
      wrongBytes: answers.filter((answer, index) => answer.sha256 !== sent.get(sha256(bodies[index] ?? ''))).length,
      lockRefusals: totals.lockRefusals,
      greatestOverlap: totals.greatestOverlap,
      generations: totals.generations,
      ...seen,
      proxyGapsMs: JSON.parse(await readFile(probeFile, 'utf8')) as number[],
    };
  } finally {
    agent.destroy();
    await proxy.stop();
    await simulator.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/**
 * When each request is sent. The first ones come one after the other within one generation, so that the accounts do not go in
 * step: as all generations here take exactly as long, they would for ever end at the same moment. The rest come at 200 a second.
 */
function startMs(index: number, { accountCount, latencyMs }: { accountCount: number; latencyMs: number }): number {
  return index < accountCount ? (index * latencyMs) / accountCount : latencyMs + (index - accountCount) * ARRIVAL_MS;
}

/** The same accounts without the proxy, each with a client of its own that asks again as soon as it has its answer. */
async function runStraight({
  accounts: accountCount,
  latencyMs,
}: Run): Promise<Pick<RunResult, 'utilisations' | 'gapsMs' | 'freeMs'>> {
  const accounts = madeUpAccounts(accountCount);
  const simulator = await startSimulatorProcess({
    fixedLatencyMs: latencyMs,
    cannedAnswerBytes: answerBytes,
    accounts,
  });
  try {
    await Promise.all(
      accounts.map(async ({ email }, index) => {
        const token = await simulator.issueToken(email);
        const agent = new Agent({ keepAlive: true });
        await sleep(startMs(index, { accountCount, latencyMs }));
        for (let round = 0; round < STRAIGHT_ROUNDS; round += 1)
          await call(`${simulator.imageUrl}/ai/generate-image`, {
            body: generationBody({ prompt: `straight ${round}` }),
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
            agent,
          });
        agent.destroy();
      }),
    );
    return await whatNovelAiSaw(simulator);
  } finally {
    await simulator.stop();
  }
}

async function whatNovelAiSaw(
  simulator: SimulatorProcess,
): Promise<Pick<RunResult, 'utilisations' | 'gapsMs' | 'freeMs'>> {
  const rows = (await simulator.rows()).filter(({ endpoint }) => endpoint === GENERATION);
  const truths = await simulator.accounts();
  return {
    utilisations: truths.filter(({ generations }) => generations > 0).map(({ utilisation }) => utilisation),
    gapsMs: between(rows, (before, after) => after.receivedMs - (before.endMs ?? NaN)),
    freeMs: between(rows, (before, after) => (after.startMs ?? NaN) - (before.releasedMs ?? NaN)),
  };
}

/** What lies between each account's generations, in order. */
function between(rows: readonly TruthRow[], measure: (before: TruthRow, after: TruthRow) => number): number[] {
  const last = new Map<string, TruthRow>();
  const values: number[] = [];
  for (const row of rows) {
    const before = last.get(row.account);
    if (before) values.push(measure(before, row));
    last.set(row.account, row);
  }
  return values;
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}

function targetsOf(name: string, plan: Run, least: number, result: RunResult): Target[] {
  const { utilisations, proxyGapsMs, statuses, wrongBytes, seconds } = result;
  const gapTarget = (what: string, values: readonly number[]): Target => ({
    what: `${name}: ${what}`,
    target: 'p99 <= 5 ms',
    reached: spread(values),
    isMet: values.length === plan.requests - plan.accounts && quantile(values, 0.99) <= 5,
  });
  return [
    {
      what: `${name}: accounts with a request at NovelAI, by the proxy's clock`,
      target: `>= ${100 * least} %`,
      reached: `${(100 * (1 - mean(proxyGapsMs) / (plan.latencyMs + mean(proxyGapsMs)))).toFixed(2)} % (${seconds.toFixed(1)} s)`,
      isMet: mean(proxyGapsMs) <= plan.latencyMs * (1 / least - 1),
    },
    {
      what: `${name}: accounts busy by NovelAI's clock, first start to last end`,
      target: `>= ${100 * least} % each`,
      reached: `lowest ${(100 * Math.min(...utilisations)).toFixed(2)} %, mean ${(100 * mean(utilisations)).toFixed(2)} %`,
      isMet: utilisations.length === plan.accounts && Math.min(...utilisations) >= least,
    },
    gapTarget('answer complete to next request sent, in the proxy', proxyGapsMs),
    {
      what: `${name}: upstream 429, greatest overlap`,
      target: '0, 1',
      reached: `${result.lockRefusals}, ${result.greatestOverlap}`,
      isMet: result.lockRefusals === 0 && result.greatestOverlap === 1,
    },
    {
      what: `${name}: answered, each once and with NovelAI's bytes`,
      target: `${plan.requests} times 200`,
      reached: `${JSON.stringify(statuses)}, ${result.generations} generations, ${wrongBytes} wrong`,
      isMet: statuses['200'] === plan.requests && result.generations === plan.requests && wrongBytes === 0,
    },
  ];
}

/** One line for the reader. */
function seenAtNovelAi(
  way: string,
  { utilisations, gapsMs, freeMs }: Pick<RunResult, 'utilisations' | 'gapsMs' | 'freeMs'>,
) {
  return (
    `  8 accounts ${way}: busy ${(100 * Math.min(...utilisations)).toFixed(2)} % at least, ${(100 * mean(utilisations)).toFixed(2)} % on average; ` +
    `answer handed over to next request ${spread(gapsMs)}; lock free to taken again ${spread(freeMs)}.\n`
  );
}

function spread(values: readonly number[]): string {
  const [p50, p99, longest] = [0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(2));
  return `p50 ${p50}, p99 ${p99}, longest ${longest} ms (${values.length})`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const LARGE: Run = { accounts: 8, requests: 2000, clients: 20, latencyMs: 300 };
const SMALL: Run = { accounts: 3, requests: 300, clients: 10, latencyMs: 300 };
console.log(`Answers of ${answerBytes} bytes.\n`);
const straight = await runStraight(LARGE);
const large = await run(LARGE);
const small = await run(SMALL);
report([
  ...targetsOf('2,000 on 8 of 300 ms', LARGE, 0.99, large),
  ...targetsOf('300 on 3 of 300 ms', SMALL, 0.97, small),
]);
console.log(
  `\nBy NovelAI's clock, which counts the network and NovelAI's own steps as idle time:\n` +
    seenAtNovelAi('through the proxy', large) +
    seenAtNovelAi('without it, each account with a client of its own that asks again at once', straight),
);
