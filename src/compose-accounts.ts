// The accounts at work: those of the environment and those of the database, put to work and taken off it while the service runs.
import { Account, type AccountDeps } from './accounts/account.ts';
import { SLOT_KINDS } from './accounts/work-class.ts';
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

/** An account, with the settings it was put to work with. */
interface AtWork {
  account: Account;
  config: AccountConfig;
}

export class AccountRoster {
  readonly #deps: AccountRosterDeps;
  /** Accounts of the environment by name, and of the database by id. */
  readonly #configured = new Map<string, AtWork>();
  readonly #stored = new Map<string, AtWork>();
  /** Which the environment gives. */
  #names: ReadonlySet<string> = new Set();
  readonly #configs = new Map<Account, AccountConfig>();
  /** What the database said last. */
  #wasStored: readonly StoredAccount[] = [];
  /** Taken off work, and not yet forgotten: something runs on them, or NovelAI may still be working on their last request. */
  readonly #leaving = new Set<Account>();
  /** Of accounts that left: those that are the same at NovelAI and came after them. */
  readonly #successors = new Map<Account, Account[]>();
  #isStarted = false;

  constructor(deps: AccountRosterDeps) {
    this.#deps = deps;
  }

  /** Accounts of the database that are at work. */
  get storedCount(): number {
    return this.#stored.size;
  }

  /** Logs all accounts in. */
  start(): void {
    this.#isStarted = true;
    for (const account of this.#deps.pool.accounts) account.start();
  }

  /**
   * Brings the accounts at work in step with those of the environment. One whose settings changed is replaced, the others are left
   * alone with their sessions.
   */
  configure(accounts: readonly AccountConfig[]): void {
    const wanted = new Map(accounts.map((config) => [config.name, config]));
    this.#dropUnwanted(this.#configured, wanted);
    // A name may pass from one of the environment to one of the database, and back.
    this.#names = new Set(wanted.keys());
    this.sync(this.#wasStored);
    this.#addMissing(this.#configured, wanted);
  }

  /** Brings the accounts at work in step with those of the database. */
  sync(stored: readonly StoredAccount[]): void {
    const { log } = this.#deps;
    this.#wasStored = stored;
    const wanted = new Map<string, AccountConfig>();
    for (const { id, name, isEnabled, config, fault } of stored) {
      if (this.#names.has(name))
        log.error(
          { account: name },
          'an account of the database has the name of one of the environment; it is not used',
        );
      else if (config && isEnabled) wanted.set(id, config);
      else if (fault !== undefined)
        log.error({ account: name, why: fault }, 'an account of the database cannot be used');
    }
    this.#dropUnwanted(this.#stored, wanted);
    this.#addMissing(this.#stored, wanted);
  }

  /** To be told of every change of an account: one that left hands its rest on to those that came after it (I1). */
  onChange(account: Account): void {
    for (const successor of this.#successors.get(account) ?? []) handOnRest(account, successor);
  }

  /** Puts an account to work; waiting requests may go to it as soon as it has logged in. */
  add(config: AccountConfig): Account {
    const { pool, queue, accountDeps } = this.#deps;
    const account = new Account(config, accountDeps(config));
    const formers = [...this.#leaving].filter((left) => isSameAtNovelai(this.#configs.get(left), config));
    this.#configs.set(account, config);
    for (const former of formers) this.#successors.set(former, [...(this.#successors.get(former) ?? []), account]);
    pool.add(account);
    queue.addAccount(account, { formers });
    for (const former of formers) handOnRest(former, account);
    if (this.#isStarted) account.start();
    return account;
  }

  /** Takes an account off work: what runs on it finishes, what waits goes to the others. */
  remove(account: Account): void {
    const { pool, queue } = this.#deps;
    this.#leaving.add(account);
    pool.remove(account);
    queue.removeAccount(account);
    void this.#seeOff(account);
    // The others' prices decide anew who is the cheapest.
    for (const other of pool.accounts) queue.onAccountChange(other);
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

  #dropUnwanted(atWork: Map<string, AtWork>, wanted: ReadonlyMap<string, AccountConfig>): void {
    const { log } = this.#deps;
    for (const [key, { account, config }] of atWork) {
      if (JSON.stringify(wanted.get(key)) === JSON.stringify(config)) continue;
      atWork.delete(key);
      this.remove(account);
      log.info({ account: account.name }, 'account taken off work');
    }
  }

  #addMissing(atWork: Map<string, AtWork>, wanted: ReadonlyMap<string, AccountConfig>): void {
    const { log } = this.#deps;
    for (const [key, config] of wanted) {
      if (atWork.has(key)) continue;
      atWork.set(key, { account: this.add(config), config });
      log.info({ account: config.name }, 'account put to work');
    }
  }

  /** An account that left is closed when nothing runs on it any more, and forgotten when its rest is over as well. */
  async #seeOff(account: Account): Promise<void> {
    const { queue, clock } = this.#deps;
    await queue.whenIdle(account);
    account.close();
    const restEndsMs = Math.max(...SLOT_KINDS.map((kind) => account.availability(kind).untilMs ?? 0));
    clock.after(Math.max(restEndsMs - clock.monotonicMs(), 0), () => {
      this.#leaving.delete(account);
      this.#configs.delete(account);
      this.#successors.delete(account);
    });
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

/** Whether two are one account at NovelAI, whatever they are called here. */
function isSameAtNovelai(a: AccountConfig | undefined, b: AccountConfig): boolean {
  if (!a) return false;
  const email = ({ login }: AccountConfig) => login?.email.toLowerCase();
  const isSameLogin = a.login !== undefined && email(a) === email(b);
  const isSameToken = a.token !== undefined && a.token === b.token;
  return a.name === b.name || isSameLogin || isSameToken;
}

/** Lets an account rest as long as the one it came after would have. */
function handOnRest(former: Account, successor: Account): void {
  for (const kind of SLOT_KINDS) {
    const { untilMs } = former.availability(kind);
    if (untilMs !== undefined) successor.restUntil(kind, untilMs);
  }
}
