// The accounts at work: those of the environment and those of the database, put to work and taken off it while the service runs.
import { Account, type AccountDeps } from './accounts/account.ts';
import type { StoredAccount } from './accounts/account-repository.ts';
import type { AccountPool } from './accounts/account-pool.ts';
import type { AccountConfig } from './config/config.ts';
import type { HoldingTimes } from './dispatch/holding-times.ts';
import type { WorkQueue } from './dispatch/work-queue.ts';
import type { AttemptRow } from './ledger/attempt.ts';
import type { Recovery } from './ledger/recovery.ts';
import type { Clock } from './lib/clock.ts';
import { ENDPOINTS } from './novelai/endpoints.ts';
import type { Workload } from './scheduler/estimates.ts';
import type { Log } from './telemetry/log.ts';

export interface AccountRosterDeps {
  pool: AccountPool;
  queue: WorkQueue;
  holdingTimes: HoldingTimes;
  clock: Clock;
  log: Log;
  /** What every account is made with. */
  accountDeps: (config: AccountConfig) => AccountDeps;
}

export class AccountRoster {
  readonly #deps: AccountRosterDeps;
  /** Accounts of the database by id, with the settings they were put to work with. */
  readonly #stored = new Map<string, { account: Account; settings: string }>();
  #isStarted = false;

  constructor(deps: AccountRosterDeps) {
    this.#deps = deps;
  }

  /** Puts an account to work; waiting requests may go to it as soon as it has logged in. */
  add(config: AccountConfig): Account {
    const { pool, queue, accountDeps } = this.#deps;
    const account = new Account(config, accountDeps(config));
    pool.add(account);
    queue.addAccount(account);
    if (this.#isStarted) account.start();
    return account;
  }

  /** Takes an account off work: what runs on it finishes, what waits goes to the others. */
  remove(account: Account): void {
    const { pool, queue } = this.#deps;
    pool.remove(account);
    queue.removeAccount(account);
    account.close();
    // The others' prices decide anew who is the cheapest.
    for (const other of pool.accounts) queue.onAccountChange(other);
  }

  /** Logs all accounts in. */
  start(): void {
    this.#isStarted = true;
    for (const account of this.#deps.pool.accounts) account.start();
  }

  /** Brings the accounts at work in step with those of the database. */
  sync(stored: readonly StoredAccount[]): void {
    const { log } = this.#deps;
    const wanted = new Map<string, AccountConfig>();
    for (const { id, name, isEnabled, config, fault } of stored) {
      if (config && isEnabled) wanted.set(id, config);
      else if (fault !== undefined)
        log.error({ account: name, why: fault }, 'an account of the database cannot be used');
    }
    for (const [id, { account, settings }] of this.#stored) {
      const config = wanted.get(id);
      if (config && JSON.stringify(config) === settings) continue;
      this.#stored.delete(id);
      this.remove(account);
      log.info({ account: account.name }, 'account taken off work');
    }
    for (const [id, config] of wanted) {
      if (this.#stored.has(id)) continue;
      this.#stored.set(id, { account: this.add(config), settings: JSON.stringify(config) });
      log.info({ account: config.name }, 'account put to work');
    }
  }

  /** Rests the accounts on which an earlier run's last request may still be running (design section 13). */
  restAfterCrash({ lastSent }: Pick<Recovery, 'lastSent'>): void {
    const { pool, holdingTimes, clock } = this.#deps;
    for (const attempt of lastSent) {
      const { account: name, sent_at_ms: sentAtMs, endpoint } = attempt;
      const account = pool.accounts.find((candidate) => candidate.name === name);
      const slot = ENDPOINTS.find(({ id }) => id === endpoint)?.slot;
      if (!account || sentAtMs === null || slot === undefined || slot === 'none') continue;
      const longestMs = holdingTimes.longestOfMs(slot === 'text' ? textWork(attempt) : imageWork(attempt));
      const leftMs = Math.min(sentAtMs + longestMs - clock.wallMs(), longestMs);
      if (leftMs > 0) account.restUntil(slot, clock.monotonicMs() + leftMs);
    }
  }
}

/** The most tokens that NovelAI's own text endpoints make for anybody (contract 3.10). */
const MOST_TOKENS = 250;
/** Director tools work on about a megapixel, whatever they are sent, for as long as 28 steps take (contract 3.5, 7.2). */
const TOOL_PIXELS = 1_048_576;
const TOOL_STEPS = 28;

/** What the ledger still knows of a text, as the estimates take it: where it does not know, the longest. */
function textWork({ model, steps }: AttemptRow): Workload {
  return { kind: 'text', model: model ?? '', pixels: 0, steps: steps ?? MOST_TOKENS, samples: 1 };
}

function imageWork({ endpoint, model, action, width, height, steps, samples }: AttemptRow): Workload {
  const isTool = endpoint === 'augment-image';
  const kind = endpoint.startsWith('generate-image') ? 'generate' : endpoint.replace('-image', '');
  const pixels = (width ?? 0) * (height ?? 0);
  return {
    kind: action === 'bg-removal' ? action : kind,
    model: model ?? '',
    pixels: isTool ? Math.max(pixels, TOOL_PIXELS) : pixels,
    steps: isTool ? TOOL_STEPS : (steps ?? 0),
    samples: samples ?? 1,
  };
}
