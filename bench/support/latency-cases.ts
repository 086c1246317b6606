// What each way adds to the time of an answer: requests at a fixed rate, on all ways in turn, round by round.
import type { Way } from '../peers/peers.ts';
import { quantile } from '../targets.ts';
import { runOpenLoop } from './open-loop.ts';
import { GENERATE_PATH, requestHeaders, type Field } from './ways.ts';

export interface LatencyFigure {
  p50Ms: number;
  p99Ms: number;
  problem?: string;
}

export interface LatencyCase {
  answerBytes: number;
  perSecond: number;
  seconds: number;
  body: string;
  rounds: number;
  /** Sent meanwhile to the same way, so often each second. */
  beside?: { body: string; perSecond: number };
}

/** Gives, for each round, each way's times. */
export async function runLatencyCase(field: Field, options: LatencyCase): Promise<Map<string, LatencyFigure>[]> {
  await field.origin.set({ answerBytes: options.answerBytes });
  const rounds: Map<string, LatencyFigure>[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const figures = new Map<string, LatencyFigure>();
    for (const way of field.ways) figures.set(way.name, await measure(way, options));
    rounds.push(figures);
  }
  return rounds;
}

async function measure(
  way: Way,
  { answerBytes, perSecond, seconds, body, beside }: LatencyCase,
): Promise<LatencyFigure> {
  const common = { base: way.base, path: GENERATE_PATH, headers: requestHeaders(way), answerBytes, seconds };
  const [{ latenciesMs, errors, sent }, others] = await Promise.all([
    runOpenLoop({ ...common, body, perSecond }),
    beside && runOpenLoop({ ...common, ...beside }),
  ]);
  const failed = errors + (others?.errors ?? 0);
  return {
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    ...(failed > 0 && { problem: `${failed} errors` }),
    ...(sent === 0 && { problem: 'nothing was sent' }),
  };
}
