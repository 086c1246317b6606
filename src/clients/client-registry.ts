// The programs that may use the service, found by their token.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ClientConfig } from '../config/config.ts';
import { registerSecret } from '../telemetry/hide-secrets.ts';

/** A program with a token of its own. */
export interface Client {
  name: string;
}

/**
 * Looks clients up by the SHA-256 of their token, so that the time a look-up takes tells nothing about the tokens, and no plain
 * token stays in memory for longer than it must.
 */
export class ClientRegistry {
  readonly #byDigest = new Map<string, { client: Client; digest: Buffer }>();

  constructor(clients: readonly ClientConfig[]) {
    for (const { name, token } of clients) {
      registerSecret(token);
      const digest = digestOf(token);
      this.#byDigest.set(digest.toString('latin1'), { client: { name }, digest });
    }
  }

  /** Gives the client with this token, or undefined. */
  find(token: string): Client | undefined {
    const digest = digestOf(token);
    const entry = this.#byDigest.get(digest.toString('latin1'));
    return entry && timingSafeEqual(entry.digest, digest) ? entry.client : undefined;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
