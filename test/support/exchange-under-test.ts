// One exchange over real sockets, and everything it reports, for tests.
import type { IncomingHttpHeaders } from 'node:http';
import type { TestContext } from 'node:test';
import { Agent, type Dispatcher } from 'undici';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import type { ExchangeFailure } from '../../src/upstream/exchange-failure.ts';
import { startExchange, type Exchange, type ExchangeRequest } from '../../src/upstream/exchange.ts';

const AMPLE = { firstByteMs: 5000, idleMs: 5000, totalMs: 5000 };

/** A whole answer, `hello`. */
export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

/** A clock that counts the timers it has not run or stopped. */
export function countingClock(): Clock & { timersLeft: number } {
  return {
    timersLeft: 0,
    wallMs: () => systemClock.wallMs(),
    monotonicMs: () => systemClock.monotonicMs(),
    after(delayMs, callback) {
      let isLeft = true;
      const leave = () => {
        if (isLeft) this.timersLeft -= 1;
        isLeft = false;
      };
      this.timersLeft += 1;
      const stop = systemClock.after(delayMs, () => {
        leave();
        callback();
      });
      return () => {
        leave();
        stop();
      };
    },
  };
}

/** What an exchange has come to. */
export interface Seen {
  /** What was reported, in order: `sent`, `head 200`, `data 5`, `end`, `failure reset`. */
  steps: string[];
  body: string;
  headers: IncomingHttpHeaders;
  failure: ExchangeFailure | undefined;
  exchange: Exchange;
  ended: Promise<void>;
}

export interface ExchangeOptions extends Partial<Omit<ExchangeRequest, 'limits'>> {
  limits?: Partial<ExchangeRequest['limits']>;
  clock?: Clock;
  /** What `onData` gives back. */
  takesMore?: () => boolean;
  onStep?: (step: string) => void;
}

/** Connections that end with the test. */
export function agent(context: TestContext): Dispatcher {
  const dispatcher = new Agent({ pipelining: 1 });
  context.after(() => dispatcher.destroy());
  return dispatcher;
}

/** Starts an exchange whose limits are ample where none are given. */
export function start(dispatcher: Dispatcher, baseUrl: string, options: ExchangeOptions = {}): Seen {
  const { clock = systemClock, takesMore = () => true, onStep = () => undefined, limits, ...request } = options;
  let end: () => void = () => undefined;
  const seen: Omit<Seen, 'exchange'> = {
    steps: [],
    body: '',
    headers: {},
    failure: undefined,
    ended: new Promise((resolve) => {
      end = resolve;
    }),
  };
  const step = (name: string) => {
    seen.steps.push(name);
    onStep(name);
  };
  const exchange = startExchange(
    {
      dispatcher,
      baseUrl,
      path: '/ai/generate-image?x=1',
      method: 'POST',
      headers: { 'x-a': 'b' },
      body: Buffer.from('body'),
      ...request,
      limits: { ...AMPLE, ...limits },
    },
    {
      onSent: () => step('sent'),
      onHead(status, headers) {
        seen.headers = headers;
        step(`head ${status}`);
      },
      onData(chunk) {
        seen.body += chunk.toString('latin1');
        step('data');
        return takesMore();
      },
      onEnd() {
        step('end');
        end();
      },
      onFailure(failure) {
        seen.failure = failure;
        step(`failure ${failure.kind}`);
        end();
      },
    },
    clock,
  );
  return Object.assign(seen, { exchange });
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
