// Reads a request's body once, and never more of it than is allowed.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ArrivingBody } from '../../dispatch/bodies/arriving-body.ts';
import type { BodyRoom } from '../../dispatch/bodies/body-room.ts';
import type { HeldBody } from '../../dispatch/bodies/held-body.ts';
import { ProxyError } from '../../lib/proxy-error.ts';

/** A refused client may go on sending for so long; its bytes are thrown away. */
const LINGER_MS = 10_000;

/** What takes a body's pieces. */
interface BodyTaker<T> {
  /** Gives a promise when the next piece should wait for it. */
  add(piece: Buffer): Promise<void> | undefined;
  end(): T | Promise<T>;
  discard(): void | Promise<void>;
}

/**
 * Gives the body, or null when there is none; works for GET as well, since some clients send one there. Asks a client that waits
 * for it (`Expect: 100-continue`) to go on only once the declared size is known to be allowed.
 * @throws {ProxyError} when the body is too large (before it is read whole) or ends too early.
 */
export function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
): Promise<Buffer | null> {
  return takeBody(request, response, limitBytes, () => {
    const pieces: Buffer[] = [];
    return {
      add: (piece) => void pieces.push(piece),
      end: () => (pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces)),
      discard: () => void pieces.splice(0),
    };
  });
}

/** As {@link readBody}, for bodies that may be large and may wait. */
export function receiveBody(
  request: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
  room: BodyRoom,
): Promise<HeldBody | null> {
  return takeBody(request, response, limitBytes, (expectedBytes) => new ArrivingBody(room, expectedBytes));
}

function takeBody<T>(
  request: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
  newTaker: (expectedBytes: number) => BodyTaker<T>,
): Promise<T | null> {
  const declaredBytes = Number(request.headers['content-length'] ?? NaN);
  if (declaredBytes > limitBytes) return Promise.reject(tooLarge(limitBytes));
  if (!(declaredBytes > 0) && request.headers['transfer-encoding'] === undefined) return Promise.resolve(null);
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();

  return new Promise((resolve, reject) => {
    const taker = newTaker(declaredBytes > 0 ? declaredBytes : Infinity);
    let sizeBytes = 0;
    // A request may wait for long after this, and should not carry along what took its body.
    const stop = () => {
      request.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose).on('error', ignore);
    };
    const fail = (error: ProxyError) => {
      stop();
      void taker.discard();
      reject(error);
    };
    const onData = (piece: Buffer) => {
      sizeBytes += piece.length;
      if (sizeBytes > limitBytes) {
        fail(tooLarge(limitBytes));
        return;
      }
      const isTaken = taker.add(piece);
      if (!isTaken) return;
      request.pause();
      void isTaken.then(() => request.resume());
    };
    const onEnd = () => {
      stop();
      if (sizeBytes === 0) resolve(null);
      else Promise.resolve(taker.end()).then(resolve, reject);
    };
    const onError = (cause: Error) => fail(new ProxyError('client_body_incomplete', { cause }));
    const onClose = () => {
      if (!request.complete) fail(new ProxyError('client_body_incomplete'));
    };
    request.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

function ignore(): void {
  // The connection's end is told elsewhere.
}

/**
 * Before a request is refused whose body was not read: throws what still comes of it away, for a while. Most clients read the answer
 * only when they have sent everything, and closing the line on them would take the refusal with it. A client that was waiting to
 * be asked for the body (`Expect`) will not send it now, so there nothing but a new line can follow.
 */
export function lingerOverBody(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || request.destroyed) return;
  if (request.headers.expect !== undefined && !response.headersSent) response.setHeader('connection', 'close');
  request.resume();
  const timer = setTimeout(() => {
    if (!request.complete) request.destroy();
  }, LINGER_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}

/**
 * As {@link lingerOverBody}, and resolves when no more of the body will come: closing the line after the answer would otherwise
 * take the answer with it.
 */
export async function whenBodyIsOver(request: IncomingMessage, response: ServerResponse): Promise<void> {
  lingerOverBody(request, response);
  if (request.complete || request.destroyed || request.headers.expect !== undefined) return;
  await new Promise<void>((resolve) => request.once('end', resolve).once('close', resolve));
}

function tooLarge(limitBytes: number): ProxyError {
  return new ProxyError('client_body_too_large', {
    message: `The request body is too large: expected at most ${limitBytes} bytes.`,
  });
}
