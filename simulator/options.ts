// What a simulator can be told at its start, and what it assumes otherwise.

/** The three hosts NovelAI has; they can be one origin or three. */
export type Role = 'image' | 'text' | 'api';

/** NovelAI's subscription tiers: 0 Paper (none), 1 Tablet, 2 Scroll, 3 Opus. */
export type Tier = 0 | 1 | 2 | 3;

export interface SimulatedAccount {
  email: string;
  password: string;
  /** `pst-` and 64 letters and digits; without one the account has none until it makes one. */
  persistentToken?: string;
  /** 3 by default. */
  tier?: Tier;
  /** True by default for tiers above 0. */
  isActive?: boolean;
  /** The subscription's Anlas, spent first; 10,000 by default. */
  fixedAnlas?: number;
  /** Bought Anlas; 0 by default. */
  purchasedAnlas?: number;
  /** V5 allowance from 0 to 100 (contract 3.9); 100 by default. 0 means it is used up. */
  allowancePercent?: number;
}

export interface SimulatorOptions {
  /** 127.0.0.1 by default. */
  host?: string;
  /** Of the origin that answers for all three hosts; 0, the default, takes a free one. */
  port?: number;
  /** Further ports, one for each host, each of which answers only what that host has. 0 takes a free one. */
  rolePorts?: { image: number; text: number; api: number };
  /** Opens the control API here; 0 takes a free port. Off by default. */
  controlPort?: number;
  /** One Opus account, `DEFAULT_ACCOUNT`, by default. */
  accounts?: readonly SimulatedAccount[];
  /** Multiplies every duration: 1, the default, is as slow as NovelAI, 0 answers at once. */
  latencyFactor?: number;
  /** Every generation takes exactly this long instead. */
  fixedLatencyMs?: number;
  /** 30 days by default, as NovelAI's. */
  jwtLifetimeSeconds?: number;
  /** Adds the perks that NovelAI no longer returns (contract 3.9). */
  hasOldPerks?: boolean;
  /** Draws pictures this much smaller than asked on each side, for quick tests; 1 by default. */
  imageScale?: number;
  /** Answers every picture request with one picture of about this size, the ZIP exactly so; nothing is drawn. */
  cannedAnswerBytes?: number;
  /** Seeds everything that is drawn by lot, also the key that signs JWTs; 1 by default. */
  seed?: number;
  /** Whether the truth log hashes bodies; true by default. */
  hashesBodies?: boolean;
  /** Whether the truth log keeps each request's headers; false by default. */
  recordsHeaders?: boolean;
  /** Whether the truth log keeps each request's body; false by default. */
  recordsBodies?: boolean;
  /** Rows the truth log keeps, the newest; 200,000 by default. Totals count everything. */
  truthLimit?: number;
  /** Largest request body; 64 MiB by default. */
  bodyLimitBytes?: number;
  /** Idle connections are closed after this; 75 s by default. */
  keepAliveTimeoutMs?: number;
}

export type ResolvedOptions = Required<
  Omit<SimulatorOptions, 'rolePorts' | 'controlPort' | 'fixedLatencyMs' | 'cannedAnswerBytes'>
> &
  Pick<SimulatorOptions, 'rolePorts' | 'controlPort' | 'fixedLatencyMs' | 'cannedAnswerBytes'>;

/** The account a simulator has when it is told of none. Made up, like everything here. */
export const DEFAULT_ACCOUNT: Readonly<Required<SimulatedAccount>> = Object.freeze({
  email: 'opus@example.com',
  password: 'simulated-password',
  persistentToken: `pst-${'Simulated0Token1'.repeat(4)}`,
  tier: 3,
  isActive: true,
  fixedAnlas: 10_000,
  purchasedAnlas: 0,
  allowancePercent: 100,
});

const THIRTY_DAYS_SECONDS = 30 * 24 * 3600;

/** Fills in every default. Throws RangeError for a factor, scale or size that makes no sense. */
export function resolveOptions(options: SimulatorOptions): ResolvedOptions {
  const resolved: ResolvedOptions = {
    host: '127.0.0.1',
    port: 0,
    accounts: [DEFAULT_ACCOUNT],
    latencyFactor: 1,
    jwtLifetimeSeconds: THIRTY_DAYS_SECONDS,
    hasOldPerks: false,
    imageScale: 1,
    seed: 1,
    hashesBodies: true,
    recordsHeaders: false,
    recordsBodies: false,
    truthLimit: 200_000,
    bodyLimitBytes: 64 * 1024 ** 2,
    keepAliveTimeoutMs: 75_000,
    ...options,
  };
  requireWithin('latencyFactor', resolved.latencyFactor, 0, 1000);
  requireWithin('imageScale', resolved.imageScale, 0.001, 1);
  requireWithin('fixedLatencyMs', resolved.fixedLatencyMs ?? 0, 0, 3_600_000);
  requireWithin('cannedAnswerBytes', resolved.cannedAnswerBytes ?? 1024, 512, 1024 ** 3);
  return resolved;
}

function requireWithin(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) {
    throw new RangeError(`The simulator could not start: expected ${name} from ${least} to ${most}, given ${value}.`);
  }
}
