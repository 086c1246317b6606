// The programs that may use the service, found by their token.
import { timingSafeEqual } from 'node:crypto';
import type { ClientConfig } from '../config/config.ts';
import { registerSecret } from '../telemetry/hide-secrets.ts';
import { DEFAULT_SETTINGS, type Client, type StoredClient } from './client.ts';
import { tokenDigest } from './token-digest.ts';

export type { Client } from './client.ts';

/** Why a token is not accepted; `why` is one sentence for the log. The client itself is told only that it is not (401). */
export type TokenRefusal = { refusal: 'unknown' | 'expired' | 'revoked'; why: string; client?: Client | undefined };

export type Identification = { client: Client; refusal?: undefined } | TokenRefusal;

export interface ClientRegistryOptions {
  /** Unix milliseconds. */
  wallMs?: () => number;
}

interface Entry {
  client: Client;
  digest: Buffer;
  revokedAtMs: number | null;
}

/**
 * Looks clients up by the SHA-256 of their token, so that the time a look-up takes tells nothing about the tokens, and no plain
 * token stays in memory for longer than it must. All clients are held in memory; `replaceStored` brings the database's, and
 * `replaceConfigured` those of the environment.
 */
export class ClientRegistry {
  #fromEnvironment: ReadonlyMap<string, Entry> = new Map();
  readonly #wallMs: () => number;
  #fromDatabase: ReadonlyMap<string, Entry> = new Map();

  constructor(clients: readonly ClientConfig[], { wallMs = Date.now }: ClientRegistryOptions = {}) {
    this.#wallMs = wallMs;
    this.replaceConfigured(clients);
  }

  /** Takes over what SERVER_TOKENS now says. Requests that have begun go on, also those of clients that are gone. */
  replaceConfigured(clients: readonly ClientConfig[]): void {
    this.#fromEnvironment = new Map(
      clients.map(({ name, token }) => {
        registerSecret(token);
        return entryOf(tokenDigest(token), environmentClient(name), null);
      }),
    );
  }

  /** Every client that has not been revoked, those of the environment first. */
  get clients(): readonly Client[] {
    return [...this.#fromEnvironment.values(), ...this.#fromDatabase.values()]
      .filter(({ revokedAtMs }) => revokedAtMs === null)
      .map(({ client }) => client);
  }

  /** Gives the client with this token, or undefined when the token is not accepted. */
  find(token: string): Client | undefined {
    const found = this.identify(token);
    return found.refusal === undefined ? found.client : undefined;
  }

  /** Gives the client with this token, or why it is not accepted. */
  identify(token: string): Identification {
    return this.identifyDigest(tokenDigest(token));
  }

  /** As {@link identify}, by the digest that is kept of a token. */
  identifyDigest(key: string): Identification {
    const entry = this.#fromEnvironment.get(key) ?? this.#fromDatabase.get(key);
    if (!entry || !timingSafeEqual(entry.digest, Buffer.from(key, 'latin1')))
      return { refusal: 'unknown', why: 'No client has this token.' };
    const { client, revokedAtMs } = entry;
    if (revokedAtMs !== null)
      return {
        refusal: 'revoked',
        client,
        why: `The token of "${client.name}" was revoked on ${dateOf(revokedAtMs)}.`,
      };
    if (client.expiresAtMs !== null && this.#wallMs() >= client.expiresAtMs)
      return {
        refusal: 'expired',
        client,
        why: `The token of "${client.name}" expired on ${dateOf(client.expiresAtMs)}.`,
      };
    return { client };
  }

  /** Takes over what the database now says of its clients. Requests that have begun keep the settings they began with. */
  replaceStored(clients: readonly StoredClient[]): void {
    this.#fromDatabase = new Map(
      clients.map(
        ({
          tokenDigest: digest,
          loginDigests: _digests,
          createdAtMs: _created,
          rotatedAtMs: _rotated,
          revokedAtMs,
          ...client
        }) => entryOf(digest, Object.freeze(withoutSpending(client)), revokedAtMs),
      ),
    );
  }
}

/** Gives the client that an entry of SERVER_TOKENS stands for: without limits. */
function environmentClient(name: string): Client {
  return Object.freeze({ id: `env:${name}`, name, origin: 'environment' as const, ...DEFAULT_SETTINGS });
}

/**
 * A client that may only have what is free has no Anlas to spend either. The free-only policy judges by what is free on Opus; on
 * another account, or with the V5 allowance used up, the same request costs, and then the ledger refuses it.
 */
function withoutSpending(client: Client): Client {
  return client.freeOnly === 'off' ? client : { ...client, anlasPerDay: 0 };
}

function entryOf(digest: string, client: Client, revokedAtMs: number | null): [string, Entry] {
  return [digest, { client, digest: Buffer.from(digest, 'latin1'), revokedAtMs }];
}

function dateOf(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 16).replace('T', ' ');
}
