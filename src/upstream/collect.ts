// Small exchanges whose whole answer is wanted at once: logins, balances, probes.
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../lib/clock.ts';
import { startExchange, type ExchangeRequest } from './exchange.ts';
import type { ExchangeFailure } from './exchange-failure.ts';

export type Collected =
  | { isAnswer: true; status: number; headers: IncomingHttpHeaders; body: Buffer }
  | { isAnswer: false; failure: ExchangeFailure };

/** Far above any answer of NovelAI's account calls; a larger one is cut off and counts as broken. */
const LARGEST_ANSWER_BYTES = 1024 * 1024;

/** Runs one exchange and gives its whole answer, or why there is none. Never throws. */
export function collect(request: ExchangeRequest, clock: Clock): Promise<Collected> {
  return new Promise((resolve) => {
    let status = 0;
    let headers: IncomingHttpHeaders = {};
    let sizeBytes = 0;
    const chunks: Buffer[] = [];
    const exchange = startExchange(
      request,
      {
        onSent: () => undefined,
        onHead(answerStatus, answerHeaders) {
          status = answerStatus;
          headers = answerHeaders;
        },
        onData(chunk) {
          sizeBytes += chunk.length;
          if (sizeBytes > LARGEST_ANSWER_BYTES) exchange.abort();
          else chunks.push(chunk);
          return true;
        },
        onEnd: () => resolve({ isAnswer: true, status, headers, body: Buffer.concat(chunks) }),
        onFailure: (failure) => resolve({ isAnswer: false, failure }),
      },
      clock,
    );
  });
}
