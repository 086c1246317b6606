// What is known of a program that may use the service: who it is, what it may do, and how much of it.
import type { Band } from '../scheduler/scheduler-types.ts';

/** What happens to a request that would cost Anlas: it is let through, refused, or made smaller until it is free. */
export const FREE_ONLY_MODES = ['off', 'reject', 'clamp'] as const;
export type FreeOnlyMode = (typeof FREE_ONLY_MODES)[number];

export const BANDS = ['interactive', 'batch'] as const satisfies readonly Band[];

/** The forms of request that the service speaks (design section 9). */
export const DIALECTS = ['native', 'jobs', 'openai', 'a1111', 'mcp'] as const;
export type Dialect = (typeof DIALECTS)[number];

/** What an operator sets for a client; null for no limit, or for the service's own. */
export interface ClientSettings {
  /** Unix milliseconds; the token is refused from then on. */
  expiresAtMs: number | null;
  /** Ids of the endpoint table that it may use. */
  endpoints: readonly string[] | null;
  dialects: readonly Dialect[] | null;
  /** Share of account time beside other clients. */
  weight: number;
  /** How urgent its requests are; `batch` lets others go first, within bounds. */
  band: Band;
  /** Most requests that may wait at once; null for QUEUE_LIMIT_PER_CLIENT. */
  maxQueued: number | null;
  /** Most requests at NovelAI at once; further ones wait. */
  maxInFlight: number | null;
  /** Longest that a request may wait, milliseconds; null for QUEUE_TIMEOUT. A request may ask for less. */
  maxWaitMs: number | null;
  /** Most requests in a minute, as a full bucket that refills evenly; further ones are refused. */
  requestsPerMinute: number | null;
  anlasPerDay: number | null;
  anlasPerMonth: number | null;
  anlasTotal: number | null;
  imagesPerDay: number | null;
  freeOnly: FreeOnlyMode;
}

/** What a client is that was given no settings, as all of SERVER_TOKENS are. */
export const DEFAULT_SETTINGS: Readonly<ClientSettings> = Object.freeze({
  expiresAtMs: null,
  endpoints: null,
  dialects: null,
  weight: 1,
  band: 'interactive',
  maxQueued: null,
  maxInFlight: null,
  maxWaitMs: null,
  requestsPerMinute: null,
  anlasPerDay: null,
  anlasPerMonth: null,
  anlasTotal: null,
  imagesPerDay: null,
  freeOnly: 'off',
});

/** A program with a token of its own. */
export interface Client extends ClientSettings {
  /** What queue, ledger and bank know it by: stays when it is renamed or gets a new token. */
  id: string;
  /** As logs and reports show it. */
  name: string;
  /** `environment`: of SERVER_TOKENS, and changed there. */
  origin: 'environment' | 'database';
}

/** A client as the database keeps it. */
export interface StoredClient extends Client {
  origin: 'database';
  /** SHA-256 of its token, hexadecimal. */
  tokenDigest: string;
  /** Digests of the access keys that it may log in with; none for one whose token is older than they are. */
  loginDigests: readonly string[];
  createdAtMs: number;
  /** When it got its present token, if not at first. */
  rotatedAtMs: number | null;
  revokedAtMs: number | null;
}
