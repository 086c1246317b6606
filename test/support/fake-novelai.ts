// NovelAI as an undici dispatcher without sockets: answers what a test says, when it says so.
import { Dispatcher } from 'undici';
import { settle } from './fake-clock.ts';

export interface FakeAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer | readonly Buffer[];
}

/** A request that has arrived and waits for its answer. */
export interface FakeCall {
  readonly url: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer | null;
  readonly isAborted: boolean;
  readonly isPaused: boolean;
  head(status: number, headers?: Record<string, string>): Promise<void>;
  data(chunk: Buffer | string): Promise<void>;
  end(): Promise<void>;
  answer(answer: FakeAnswer): Promise<void>;
  /** Breaks the connection after the request was sent; with `error`, by what undici was given. */
  reset(error?: Error): Promise<void>;
}

/** Answers a request by itself, lets it wait for the test (undefined), or fails to connect. */
export type Respond = (call: FakeCall) => FakeAnswer | 'refused' | undefined;

export class FakeNovelai extends Dispatcher {
  /** Requests that wait for the test. */
  readonly waiting: FakeCall[] = [];
  readonly calls: FakeCall[] = [];
  respond: Respond;

  constructor(respond: Respond = () => undefined) {
    super();
    this.respond = respond;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const state = { isOver: false, isPaused: false, isAborted: false };
    const controller = {
      get aborted() {
        return state.isAborted;
      },
      get paused() {
        return state.isPaused;
      },
      reason: null,
      pause: () => void (state.isPaused = true),
      resume: () => void (state.isPaused = false),
      abort(reason: Error) {
        if (state.isOver) return;
        state.isOver = true;
        state.isAborted = true;
        leave();
        handler.onResponseError?.(controller, reason);
      },
    } as Dispatcher.DispatchController;
    const leave = () => {
      const index = this.waiting.indexOf(call);
      if (index !== -1) this.waiting.splice(index, 1);
    };
    const step = (action: () => void) => {
      if (!state.isOver) action();
      return settle();
    };
    const over = (action: () => void) =>
      step(() => {
        state.isOver = true;
        leave();
        action();
      });
    const call: FakeCall = {
      url: `${String(options.origin)}${options.path}`,
      path: options.path,
      headers: options.headers as Record<string, string>,
      body: options.body as Buffer | null,
      get isAborted() {
        return state.isAborted;
      },
      get isPaused() {
        return state.isPaused;
      },
      head: (status, headers = { 'transfer-encoding': 'chunked' }) =>
        step(() => handler.onResponseStart?.(controller, status, headers, '')),
      data: (chunk) => step(() => handler.onResponseData?.(controller, Buffer.from(chunk))),
      end: () => over(() => handler.onResponseEnd?.(controller, {})),
      reset: (error = coded('ECONNRESET')) => over(() => handler.onResponseError?.(controller, error)),
      async answer({ status, headers = {}, body = '' }) {
        const chunks = Array.isArray(body) ? body : [body as string | Buffer];
        await call.head(status, { 'transfer-encoding': 'chunked', ...headers });
        for (const chunk of chunks) if (chunk.length > 0) await call.data(chunk as Buffer);
        await call.end();
      },
    };
    queueMicrotask(() => {
      const answer = this.respond(call);
      if (answer === 'refused') {
        void over(() => handler.onResponseError?.(controller, coded('ECONNREFUSED')));
        return;
      }
      this.calls.push(call);
      this.waiting.push(call);
      handler.onRequestStart?.(controller, {});
      if (answer) void call.answer(answer);
    });
    return true;
  }
}

function coded(code: string): Error {
  return Object.assign(new Error(`made up: ${code}`), { code });
}

/** The answer of `/user/subscription`. */
export function subscriptionAnswer({
  tier = 3,
  active = true,
  fixedAnlas = 0,
  purchasedAnlas = 0,
  isNegative = false,
}: {
  tier?: number;
  active?: boolean;
  fixedAnlas?: number;
  purchasedAnlas?: number;
  isNegative?: boolean;
} = {}): FakeAnswer {
  const usage = tier >= 3 && { usage: { percent: isNegative ? 0 : 80, isNegative, timeUntilNextPercent: 100 } };
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      tier,
      active,
      expiresAt: 1_793_000_000,
      trainingStepsLeft: { fixedTrainingStepsLeft: fixedAnlas, purchasedTrainingSteps: purchasedAnlas },
      ...usage,
    }),
  };
}
