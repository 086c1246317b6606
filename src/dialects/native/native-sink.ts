// A client's connection as a ReplySink, with errors in NovelAI's own form.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ReplyHeaders, ReplySink } from '../../dispatch/reply-sink.ts';
import type { ProxyError } from '../../lib/proxy-error.ts';
import { afterTwoTurns } from '../../lib/two-turns.ts';
import { ERROR_CONTENT_TYPE, errorBody } from '../../novelai/error-form.ts';

const STREAM_TYPE = /^(text\/event-stream|application\/msgpack)/;

/**
 * The events of a stream go out as they come, and so does what is large. The end of any other answer, with the little that comes
 * last, is written two turns of the event loop later: a write wakes the client up, which takes longer than to hand the account
 * on, and NovelAI's next request should not wait for it.
 */
export class NativeSink implements ReplySink {
  readonly #response: ServerResponse;
  readonly #onGone: (() => void)[] = [];
  #isGone = false;
  #isStream = false;
  /** Set while it keeps back what is written. */
  #corked: Socket | undefined;
  #isEnding = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    // `close` without `finish` before it means that the client went away.
    response.once('close', () => {
      if (response.writableFinished) return;
      this.#isGone = true;
      for (const callback of this.#onGone.splice(0)) callback();
    });
  }

  get isOpen(): boolean {
    return !this.#isGone && !this.#response.destroyed;
  }

  onGone(callback: () => void): void {
    if (this.#isGone) callback();
    else this.#onGone.push(callback);
  }

  head(status: number, headers: ReplyHeaders): void {
    this.#isStream = STREAM_TYPE.test(String(headers['content-type']));
    if (!this.#isStream) {
      this.#response.writeHead(status, headers);
      return;
    }
    this.#response.writeHead(status, { ...headers, ...unbuffered(headers) });
    // The first event of a stream may be seconds away; a client that waits for the head should not.
    this.#response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    this.#cork();
    const hasRoom = this.#response.write(chunk);
    // Kept back beyond what a connection buffers anyway, it would have to be held for every slow client.
    if (!hasRoom) this.#uncork();
    return hasRoom;
  }

  onDrain(callback: () => void): void {
    this.#response.once('drain', callback);
  }

  end(callback: () => void): void {
    this.onGone(callback);
    if (this.#isStream) {
      this.#response.end(callback);
      return;
    }
    this.#cork();
    this.#isEnding = true;
    // Counted anew: the turns since the last bytes may be over before the connection to NovelAI is free.
    afterTwoTurns(() => this.#response.end(callback));
  }

  cut(): void {
    this.#uncork();
    this.#response.destroy();
  }

  refuse(error: ProxyError, headers: ReplyHeaders = {}): void {
    if (this.#response.headersSent) this.cut();
    else sendError(this.#response, error, headers);
  }

  #cork(): void {
    const { socket } = this.#response;
    if (this.#isStream || this.#corked) return;
    // An answer whose turn on the connection has not come yet has no socket; one whose client is slow waits for that anyway.
    if (!socket || socket.writableLength > 0) return;
    this.#corked = socket;
    socket.cork();
    afterTwoTurns(() => {
      // The end writes it all.
      if (!this.#isEnding) this.#uncork();
    });
  }

  #uncork(): void {
    this.#corked?.uncork();
    this.#corked = undefined;
  }
}

/** Asks whatever stands between here and the client to pass a stream on as it comes (contract 8, point 4; nginx's own header). */
function unbuffered({ 'cache-control': cacheControl }: ReplyHeaders): ReplyHeaders {
  return { 'cache-control': `${String(cacheControl ?? 'no-cache')}, no-transform`, 'x-accel-buffering': 'no' };
}

/** Answers with JSON in NovelAI's form: compact, a newline at its end, and a type without a charset (contract 3, 5). */
export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: ReplyHeaders = {},
): ServerResponse {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, {
    ...headers,
    'content-type': ERROR_CONTENT_TYPE,
    'content-length': String(body.length),
  });
  return response.end(body);
}

/** Answers with an error in NovelAI's form: JSON without a charset, since some clients compare the type to the letter (contract 8). */
export function sendError(response: ServerResponse, error: ProxyError, headers: ReplyHeaders = {}): void {
  const body = errorBody(error.status, error.message, error.details);
  response.writeHead(error.status, {
    ...headers,
    'content-type': ERROR_CONTENT_TYPE,
    'content-length': String(body.length),
    'x-proxy-error': error.code,
    ...(error.retryAfterMs !== undefined && {
      'retry-after': String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))),
    }),
    ...(error.allow && { allow: error.allow.join(', ') }),
  });
  response.end(body);
}
