// How long an event of a stream takes from the origin's write to the client, at a thousand events a second in all.
import { Agent, request } from 'node:http';
import type { Way } from '../peers/peers.ts';
import { quantile } from '../targets.ts';
import { generationBody } from '../../test/support/stack.ts';
import { requestHeaders, type Field } from './ways.ts';
import { newSeed } from './wrk.ts';

const STREAMS = 20;
const EVENTS_PER_STREAM = 150;
const EVENT_GAP_MS = 20;

/** Gives, for each round, each way's median delay in milliseconds; undefined where an event was lost. */
export async function runEventDelays(field: Field, rounds: number): Promise<Map<string, number | undefined>[]> {
  await field.origin.set({ events: EVENTS_PER_STREAM, eventGapMs: EVENT_GAP_MS });
  const results: Map<string, number | undefined>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const delays = new Map<string, number | undefined>();
    for (const way of field.ways) delays.set(way.name, await medianDelayMs(way));
    results.push(delays);
  }
  return results;
}

async function medianDelayMs(way: Way): Promise<number | undefined> {
  const agent = new Agent({ keepAlive: true });
  try {
    const streams = await Promise.all(Array.from({ length: STREAMS }, () => readStream(way, agent)));
    const delaysMs = streams.flat();
    return delaysMs.length === STREAMS * EVENTS_PER_STREAM ? quantile(delaysMs, 0.5) : undefined;
  } catch {
    return undefined;
  } finally {
    agent.destroy();
  }
}

/** Reads one stream to its end; gives each event's delay. */
function readStream(way: Way, agent: Agent): Promise<number[]> {
  const body = generationBody({ parameters: { stream: 'sse', seed: newSeed() } });
  const delaysMs: number[] = [];
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${way.base}/ai/generate-image-stream`,
      { method: 'POST', agent, headers: { ...requestHeaders(way), 'content-length': body.length } },
      (answer) => {
        let text = '';
        answer.setEncoding('latin1');
        answer.on('data', (piece: string) => {
          const now = process.hrtime.bigint();
          text += piece;
          const events = text.split('\n\n');
          text = events.pop() ?? '';
          // The clock is the machine's, the same in all processes.
          for (const event of events) delaysMs.push(Number(now - BigInt(/data: (\d+)/.exec(event)?.[1] ?? 0)) / 1e6);
        });
        answer.once('error', reject);
        answer.once('end', () => resolve(delaysMs));
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
