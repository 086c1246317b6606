// Who a request comes from: session tokens, persistent tokens, and calling both in (contract 2).
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { AccountBook, AccountState } from './accounts.ts';
import type { SimulatorClock } from '../clock.ts';
import { signSessionToken, verifySessionToken } from './session-token.ts';
import type { SessionClaims } from './session-token.ts';
import type { SeededRandom } from '../random.ts';

/** Whom a request comes from, and by which kind of token: some endpoints take only a session's. */
export interface Identity {
  readonly account: AccountState;
  readonly kind: 'session' | 'persistent';
}

const TOKEN_LENGTH = 64;

export class Authority {
  readonly #accounts: AccountBook;
  readonly #clock: SimulatorClock;
  readonly #random: SeededRandom;
  readonly #lifetimeSeconds: number;
  readonly #key: string;
  readonly #verified = new LRUCache<string, { account: AccountState; claims: SessionClaims }>({ max: 10_000 });
  #serial = 0;

  constructor(deps: {
    accounts: AccountBook;
    clock: SimulatorClock;
    random: SeededRandom;
    lifetimeSeconds: number;
    seed: number;
  }) {
    this.#accounts = deps.accounts;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#lifetimeSeconds = deps.lifetimeSeconds;
    this.#key = createHash('sha256').update(`simulator ${deps.seed}`).digest('hex');
  }

  /** Gives a new session token; it lives as long as the options say unless told otherwise. */
  issueSessionToken(account: AccountState, lifetimeSeconds = this.#lifetimeSeconds): string {
    const iat = this.#clock.wallSeconds();
    return signSessionToken({ exp: iat + lifetimeSeconds, iat, id: account.id, nc: this.#serial++ }, this.#key);
  }

  /** Gives the account a new persistent token; its old one is worth nothing from now on (contract 2.4). */
  issuePersistentToken(account: AccountState): string {
    account.persistentToken = `pst-${this.#random.alphanumerics(TOKEN_LENGTH)}`;
    return account.persistentToken;
  }

  /** Gives whom an `Authorization` header stands for, or undefined: absent, malformed, forged, expired, called in. */
  identify(authorization: string | undefined): Identity | undefined {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return undefined;
    if (token.startsWith('pst-')) {
      const account = this.#accounts.byPersistentToken(token);
      return account && { account, kind: 'persistent' };
    }
    const session = this.#session(token);
    if (!session || session.claims.nc < session.account.firstValidSerial) return undefined;
    return session.claims.exp > this.#clock.wallMs() / 1000 ? { account: session.account, kind: 'session' } : undefined;
  }

  /** Refuses every session token given out so far; the persistent token stays good. */
  expireSessions(account: AccountState): void {
    account.firstValidSerial = this.#serial;
  }

  /** Refuses every token given out so far, the persistent one too. */
  revokeAll(account: AccountState): void {
    this.expireSessions(account);
    account.persistentToken = undefined;
  }

  #session(token: string): { account: AccountState; claims: SessionClaims } | undefined {
    const known = this.#verified.get(token);
    if (known) return known;
    const claims = verifySessionToken(token, this.#key);
    const account = claims && this.#accounts.byId(claims.id);
    if (!claims || !account) return undefined;
    const session = { account, claims };
    this.#verified.set(token, session);
    return session;
  }
}
