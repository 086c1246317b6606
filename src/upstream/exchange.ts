// One HTTP exchange with NovelAI: sends once, reports every step, never resends, and always says whether anything was sent.
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Clock } from '../lib/clock.ts';
import { classifyFailure, ExchangeAborted, type ExchangeFailure } from './exchange-failure.ts';

export interface ExchangeRequest {
  dispatcher: Dispatcher;
  /** Base URL of the upstream endpoint, such as `https://image.novelai.net`. */
  baseUrl: string;
  /** Path with its query. */
  path: string;
  method: string;
  headers: Record<string, string>;
  body: Buffer | null;
  limits: {
    firstByteMs: number;
    idleMs: number;
    totalMs: number;
  };
}

/** What an exchange reports, in this order: `onSent?`, `onHead?`, `onData*`, then exactly one of `onEnd` and `onFailure`. */
export interface ExchangeObserver {
  /** The request is about to be written to a connection: from here on NovelAI may have it. */
  onSent(): void;
  onHead(status: number, headers: IncomingHttpHeaders): void;
  /** Gives false to have the answer pause until `resume` is called. */
  onData(chunk: Buffer): boolean;
  onEnd(): void;
  onFailure(failure: ExchangeFailure): void;
}

/** A running exchange. */
export interface Exchange {
  /** Ends the exchange from this side; `onFailure` tells kind `aborted`. Does nothing once it has ended. */
  abort(): void;
  /** Lets a paused answer go on. */
  resume(): void;
}

/**
 * Starts an exchange. Time limits are separate: first byte (from sent), silence inside the answer, and the whole; the limit
 * for connecting belongs to the dispatcher. A pause asked for by this side does not count as NovelAI's silence.
 */
export function startExchange(request: ExchangeRequest, observer: ExchangeObserver, clock: Clock): Exchange {
  const { firstByteMs, idleMs, totalMs } = request.limits;
  let controller: Dispatcher.DispatchController | undefined;
  let wasSent = false;
  let hasHead = false;
  let hasEnded = false;
  let abortReason: ExchangeAborted | undefined;
  let stopSilenceTimer: () => void = () => undefined;
  let lastByteMs = 0;

  const stopTotalTimer = clock.after(totalMs, () => abort('total_timeout'));

  function abort(kind: ExchangeAborted['kind']): void {
    if (hasEnded || abortReason) return;
    abortReason = new ExchangeAborted(kind);
    // Before the request reached a connection there is nothing to abort yet; onRequestStart does it then.
    controller?.abort(abortReason);
  }

  function finish(): boolean {
    if (hasEnded) return false;
    hasEnded = true;
    stopTotalTimer();
    stopSilenceTimer();
    return true;
  }

  function fail(error: unknown): void {
    if (finish()) observer.onFailure(classifyFailure(abortReason ?? error, { wasSent, hasHead }));
  }

  /** One timer re-armed for what is left, rather than a new timer for every chunk. */
  function watchSilence(): void {
    const leftMs = controller?.paused ? idleMs : lastByteMs + idleMs - clock.monotonicMs();
    if (leftMs <= 0) abort('idle_timeout');
    else stopSilenceTimer = clock.after(leftMs, watchSilence);
  }

  try {
    request.dispatcher.dispatch(
      {
        origin: request.baseUrl,
        path: request.path,
        method: request.method,
        headers: request.headers,
        body: request.body,
        // Our own timers tell the limits apart and run on our clock.
        headersTimeout: 0,
        bodyTimeout: 0,
        idempotent: false,
      },
      {
        onRequestStart(startedController) {
          controller = startedController;
          if (abortReason) {
            controller.abort(abortReason);
            return;
          }
          wasSent = true;
          stopSilenceTimer = clock.after(firstByteMs, () => abort('first_byte_timeout'));
          observer.onSent();
        },
        onResponseStart(_controller, status, headers) {
          if (status < 200) return;
          hasHead = true;
          stopSilenceTimer();
          lastByteMs = clock.monotonicMs();
          watchSilence();
          observer.onHead(status, headers);
        },
        onResponseData(activeController, chunk) {
          lastByteMs = clock.monotonicMs();
          if (!observer.onData(chunk)) activeController.pause();
        },
        onResponseEnd() {
          if (finish()) observer.onEnd();
        },
        onResponseError(_controller, error) {
          fail(error);
        },
      },
    );
  } catch (error) {
    // Invalid addresses and the like are thrown rather than reported; nothing was sent.
    queueMicrotask(() => fail(error));
  }

  return {
    abort: () => abort('aborted'),
    resume() {
      lastByteMs = clock.monotonicMs();
      controller?.resume();
    },
  };
}
