// What each way costs in CPU time and how much it lets through: wrk on all ways in turn, case by case and round by round.
import type { Way } from '../peers/peers.ts';
import { cpuUsOf } from './process-figures.ts';
import { GENERATE_PATH, requestHeaders, type Field } from './ways.ts';
import { runOpenLoop } from './open-loop.ts';
import { runWrk } from './wrk.ts';

export interface CpuCase {
  answerBytes: number;
  connections: number;
}

export interface CpuFigure {
  cpuUs: number;
  perSecond: number;
  /** Set when the run does not count. */
  problem?: string;
}

/** Figures of one case: for each way, one in each round. */
export interface CpuCaseResult extends CpuCase {
  rounds: Map<string, CpuFigure>[];
}

export interface CpuOptions {
  cases: readonly CpuCase[];
  body: string;
  rounds: number;
  /** Of each run that counts. */
  seconds: number;
  /** Before the first round, for each way: code that has not run hot costs many times as much. */
  warmUpSeconds: number;
  onRound: (round: number) => void;
}

/** What may come with an answer: its head and its chunks' lengths. */
const HEAD_BYTES = 2000;
/** Node has all of the way's code compiled by then. */
const WARM_UP_REQUESTS = 20_000;
const CHECKED_REQUESTS = 10;

/** Runs every case on every way, all ways within seconds of each other. */
export async function runCpuCases(field: Field, options: CpuOptions): Promise<CpuCaseResult[]> {
  const { origin, ways } = field;
  const results = options.cases.map((each) => ({ ...each, rounds: [] as Map<string, CpuFigure>[] }));
  for (const [index, answerBytes] of [...new Set(options.cases.map((each) => each.answerBytes))].entries()) {
    await origin.set({ answerBytes });
    // The first size is for the code, the others only for how it takes answers of that size.
    for (const way of ways) await warmUp(way, field, options, index === 0 ? WARM_UP_REQUESTS : 1);
  }
  for (let round = 0; round < options.rounds; round += 1) {
    options.onRound(round);
    for (const result of results) {
      const figures = new Map<string, CpuFigure>();
      await origin.set({ answerBytes: result.answerBytes });
      for (const way of ways) figures.set(way.name, await measure(way, field, options, result));
      result.rounds.push(figures);
    }
  }
  return results;
}

function load(
  way: Way,
  { dir }: Field,
  { body }: CpuOptions,
  { connections, seconds }: { connections: number; seconds: number },
) {
  return runWrk({ url: way.base + GENERATE_PATH, headers: requestHeaders(way), body, connections, seconds, dir });
}

/** So many requests, or until the time for it is over. */
async function warmUp(way: Way, field: Field, options: CpuOptions, requests: number): Promise<void> {
  let left = requests;
  for (let second = 0; left > 0 && second < options.warmUpSeconds; second += 1)
    left -= (await load(way, field, options, { connections: 16, seconds: 1 })).requests;
}

async function measure(way: Way, field: Field, options: CpuOptions, { answerBytes, connections }: CpuCase) {
  const cpuBeforeUs = way.pid === undefined ? 0 : cpuUsOf(way.pid);
  const {
    requests,
    seconds,
    errors,
    answerBytes: gotBytes,
  } = await load(way, field, options, {
    connections,
    seconds: options.seconds,
  });
  const cpuUs = (way.pid === undefined ? 0 : cpuUsOf(way.pid) - cpuBeforeUs) / requests;
  const figure: CpuFigure = { cpuUs, perSecond: requests / seconds };
  // Answers cut off by the run's end count as bytes, but not as requests.
  const cutBytes = (connections * answerBytes) / Math.max(requests, 1);
  if (requests === 0) figure.problem = 'nothing came through';
  else if (errors > 0) figure.problem = `${errors} errors`;
  else if (gotBytes < answerBytes || gotBytes > answerBytes + HEAD_BYTES + cutBytes)
    figure.problem = `answers of ${gotBytes.toFixed(0)} bytes instead of ${answerBytes}`;
  else if (!(await isByteForByte(way, options, answerBytes))) figure.problem = 'other bytes than the origin sent';
  return figure;
}

/** wrk only counts; this compares. */
async function isByteForByte(way: Way, { body }: CpuOptions, answerBytes: number): Promise<boolean> {
  const { errors } = await runOpenLoop({
    base: way.base,
    path: GENERATE_PATH,
    headers: requestHeaders(way),
    body,
    answerBytes,
    perSecond: 50,
    seconds: CHECKED_REQUESTS / 50,
  });
  return errors === 0;
}
