// Everything a handler may touch, in one place.
import type { AccountBook } from './accounts/accounts.ts';
import type { Authority } from './accounts/authority.ts';
import type { SimulatorClock } from './clock.ts';
import type { Exchange } from './exchange.ts';
import type { FaultPlan } from './faults.ts';
import type { GenerationLocks } from './generation.ts';
import type { Artist } from './images/artist.ts';
import type { LatencyModel } from './latency.ts';
import type { ResolvedOptions } from './options.ts';
import type { SeededRandom } from './random.ts';
import type { TruthLog } from './truth-log.ts';

export interface World {
  readonly options: ResolvedOptions;
  readonly clock: SimulatorClock;
  readonly random: SeededRandom;
  readonly accounts: AccountBook;
  readonly authority: Authority;
  readonly latency: LatencyModel;
  readonly truth: TruthLog;
  readonly faults: FaultPlan;
  readonly locks: GenerationLocks;
  readonly artist: Artist;
}

/** Answers one request. May throw Refusal; anything else it throws becomes a 500. */
export type Handler = (exchange: Exchange, world: World) => Promise<void> | void;
