// A client's connection as a ReplySink, with errors in NovelAI's own form.
import type { ServerResponse } from 'node:http';
import type { ReplyHeaders, ReplySink } from '../../dispatch/reply-sink.ts';
import type { ProxyError } from '../../lib/proxy-error.ts';
import { ERROR_CONTENT_TYPE, errorBody } from '../../novelai/error-form.ts';

const STREAM_TYPE = /^(text\/event-stream|application\/msgpack)/;

export class NativeSink implements ReplySink {
  readonly #response: ServerResponse;
  readonly #onGone: (() => void)[] = [];
  #isGone = false;

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
    if (!STREAM_TYPE.test(String(headers['content-type']))) {
      this.#response.writeHead(status, headers);
      return;
    }
    this.#response.writeHead(status, { ...headers, ...unbuffered(headers) });
    // The first event of a stream may be seconds away; a client that waits for the head should not.
    this.#response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    return this.#response.write(chunk);
  }

  onDrain(callback: () => void): void {
    this.#response.once('drain', callback);
  }

  end(callback: () => void): void {
    this.onGone(callback);
    this.#response.end(callback);
  }

  cut(): void {
    this.#response.destroy();
  }

  refuse(error: ProxyError, headers: ReplyHeaders = {}): void {
    if (this.#response.headersSent) this.cut();
    else sendError(this.#response, error, headers);
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
