// The door for requests: lets them in while the service runs, turns them away while it stops, and knows who is still inside.
import type { ServerResponse } from 'node:http';
import { ProxyError } from '../lib/proxy-error.ts';

const RETRY_AFTER_MS = 5000;

/**
 * The port stays open while the service stops, so that programs get a 503 that says when to come again instead of a refused
 * connection. Whoever was let in before has until the shutdown limit to read its answer.
 */
export class Door {
  readonly #inside = new Set<ServerResponse>();
  #isShut = false;

  get isShut(): boolean {
    return this.#isShut;
  }

  /** Requests that were let in and have not got their whole answer yet. */
  get inside(): number {
    return this.#inside.size;
  }

  /** To be told of every request as it comes, before anything is answered. */
  receive(response: ServerResponse): void {
    if (this.#isShut) {
      // Whoever keeps connections alive must make a new one for the next request, which then reaches the next process.
      response.setHeader('connection', 'close');
      return;
    }
    this.#inside.add(response);
    response.once('close', () => this.#inside.delete(response));
  }

  /** Why a request that comes now is not served; undefined while all are. */
  refusal(): ProxyError | undefined {
    return this.#isShut ? new ProxyError('proxy_stopping', { retryAfterMs: RETRY_AFTER_MS }) : undefined;
  }

  /** From now on nobody is let in, and the connections of those inside end with their answers. */
  shut(): void {
    this.#isShut = true;
    for (const response of this.#inside) if (!response.headersSent) response.setHeader('connection', 'close');
  }
}
