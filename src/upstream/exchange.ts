// One HTTP exchange with NovelAI: sends once, reports every step, never resends, and always says whether anything was sent.
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Clock } from '../lib/clock.ts';
import { afterPatiently } from '../lib/patient-timer.ts';
import { classifyFailure, ExchangeAborted, type ExchangeFailure } from './exchange-failure.ts';

/** A body that is not in memory as a whole: read as it is sent, anew each time it is iterated. */
export interface BodyPieces extends AsyncIterable<Buffer> {
  readonly sizeBytes: number;
}

export interface ExchangeRequest {
  dispatcher: Dispatcher;
  /** Base URL of the upstream endpoint, such as `https://image.novelai.net`. */
  baseUrl: string;
  /** Path with its query. */
  path: string;
  method: string;
  headers: Record<string, string>;
  body: Buffer | BodyPieces | null;
  limits: {
    /** Until the request goes to a connection; the dispatcher's own limit where this is absent. */
    connectMs?: number;
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
  /** Whether the request has gone to a connection. */
  readonly wasSent: boolean;
  /** Ends the exchange from this side; `onFailure` tells kind `aborted`. Does nothing once it has ended. */
  abort(): void;
  /** Lets a paused answer go on. */
  resume(): void;
}

/**
 * Starts an exchange. Time limits are separate: connecting, first byte (from sent), silence inside the answer, and the whole.
 * A pause asked for by this side does not count as NovelAI's silence. Ended from this side before it was sent, an exchange
 * reports that at once and never touches a connection.
 */
export function startExchange(request: ExchangeRequest, observer: ExchangeObserver, clock: Clock): Exchange {
  const { connectMs, firstByteMs, idleMs, totalMs } = request.limits;
  let controller: Dispatcher.DispatchController | undefined;
  let wasSent = false;
  let hasHead = false;
  let hasEnded = false;
  let isPausable = true;
  let abortReason: ExchangeAborted | undefined;
  let lastByteMs = 0;

  const stopTotalTimer = afterPatiently(clock, totalMs, () => abort('total_timeout'));
  /** Connecting, then the first byte, then silence: one at a time. */
  let stopStepTimer =
    connectMs === undefined ? () => undefined : afterPatiently(clock, connectMs, () => abort('connect_timeout'));

  function abort(kind: ExchangeAborted['kind']): void {
    if (hasEnded || abortReason) return;
    abortReason = new ExchangeAborted(kind);
    if (controller) controller.abort(abortReason);
    // Undici tells of nothing while it connects, which a proxy can drag out; onRequestStart then ends what it finds ended.
    else fail(abortReason);
  }

  function finish(): boolean {
    if (hasEnded) return false;
    hasEnded = true;
    stopTotalTimer();
    stopStepTimer();
    // It holds the head's bytes, and with them a whole read of 64 KiB, for as long as a slow client holds on to this exchange.
    controller = undefined;
    return true;
  }

  function fail(error: unknown): void {
    if (finish()) observer.onFailure(classifyFailure(abortReason ?? error, { wasSent, hasHead }));
  }

  /** One timer re-armed for what is left, rather than a new timer for every chunk. */
  function watchSilence(): void {
    const leftMs = controller?.paused ? idleMs : lastByteMs + idleMs - clock.monotonicMs();
    if (leftMs <= 0) abort('idle_timeout');
    else stopStepTimer = afterPatiently(clock, leftMs, watchSilence);
  }

  try {
    request.dispatcher.dispatch(
      {
        origin: request.baseUrl,
        path: request.path,
        method: request.method,
        headers: withLength(request),
        // Undici documents iterables here, while its types know only streams.
        body: request.body as Buffer | null,
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
          stopStepTimer();
          wasSent = true;
          stopStepTimer = afterPatiently(clock, firstByteMs, () => abort('first_byte_timeout'));
          observer.onSent();
        },
        onResponseStart(_controller, status, headers) {
          if (status < 200) return;
          hasHead = true;
          isPausable = endsWithoutConnection(headers);
          stopStepTimer();
          lastByteMs = clock.monotonicMs();
          watchSilence();
          observer.onHead(status, headers);
        },
        onResponseData(activeController, chunk) {
          // Undici 7 gives an empty one after each pause; it is no sign of life.
          if (chunk.length === 0) return;
          lastByteMs = clock.monotonicMs();
          if (!observer.onData(chunk) && isPausable) activeController.pause();
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
    get wasSent() {
      return wasSent;
    },
    abort: () => abort('aborted'),
    resume() {
      lastByteMs = clock.monotonicMs();
      controller?.resume();
    },
  };
}

/** Without a length, undici sends pieces in chunks, which NovelAI's edge need not take. */
function withLength({ headers, body }: ExchangeRequest): Record<string, string> {
  return body && 'sizeBytes' in body ? { ...headers, 'content-length': String(body.sizeBytes) } : headers;
}

/**
 * Whether the answer's end is told by something else than the end of its connection. Undici 7 throws out of the event loop
 * when such a connection ends while the answer is paused; these answers are taken whole instead.
 */
function endsWithoutConnection(headers: IncomingHttpHeaders): boolean {
  const hasLength = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  return hasLength && !/\bclose\b/i.test(headers.connection ?? '');
}
