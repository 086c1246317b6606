// What really happened: every request the simulator got, what it cost, and how many generations clients had open at once.
import type { Role } from './options.ts';

/** Which lock of the account a generation takes; image and text are separate (contract 6). */
export type Slot = 'image' | 'text';

/** One request. Times are `performance.now()` of the simulator's process. */
export interface TruthRow {
  readonly id: number;
  readonly role: Role;
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** The endpoint's name, or '' where the path is none. */
  endpoint: string;
  /** The account's e-mail, or '' where nobody was recognised. */
  account: string;
  slot: Slot | undefined;
  /** When its headers had come. */
  readonly receivedMs: number;
  /** When its generation took the lock. */
  startMs?: number;
  /** When its generation let go of the lock. */
  releasedMs?: number;
  /** When its answer was wholly handed to the network, or the client had gone and the generation was over. */
  endMs?: number;
  requestBytes: number;
  /** Hex, or '' when hashing is off or the body never came. */
  requestSha256: string;
  /** Bytes of the answer's body handed to the network. */
  answerBytes: number;
  answerSha256: string;
  /** 0 when no answer was begun. */
  status: number;
  /** Anlas taken. */
  chargeAnlas: number;
  /** V5 pictures taken from the allowance. */
  allowanceImages: number;
  /** Generations this account's clients had open in this slot when this one came, itself included; 0 for others. */
  overlap: number;
  isLockRefusal: boolean;
  /** The connection was gone before the answer was. */
  wasClientGone: boolean;
  /** The fault that was played, by its kind. */
  fault?: string;
  /** The simulator's own failure, if it had one: a bug here, never NovelAI's doing. */
  crash?: string;
  headers?: Readonly<Record<string, string | string[] | undefined>>;
  body?: Buffer;
}

/** What one account went through. */
export interface AccountTruth {
  readonly account: string;
  requests: number;
  /** Generations that took the lock. */
  generations: number;
  /** Those that ended as they should, charged if they cost anything. */
  succeeded: number;
  chargedAnlas: number;
  allowanceImages: number;
  logins: number;
  lockRefusals: number;
  /** The most generations its clients had open at once in one slot: more than 1 breaks invariant I1. */
  greatestOverlap: number;
  /** Time the image and text locks were held, added up. */
  busyMs: number;
  firstStartMs: number | undefined;
  lastEndMs: number | undefined;
  readonly open: Record<Slot, number>;
}

export interface TruthTotals {
  requests: number;
  answered: number;
  clientsGone: number;
  faults: number;
  unauthorized: number;
  logins: number;
  refusedLogins: number;
  generations: number;
  succeeded: number;
  chargedAnlas: number;
  lockRefusals: number;
  greatestOverlap: number;
  /** Rows no longer kept, because of `truthLimit`. */
  droppedRows: number;
}

type Tally = Pick<TruthTotals, 'requests' | 'answered' | 'clientsGone' | 'faults' | 'unauthorized' | 'refusedLogins'>;

const EMPTY_TALLY: Readonly<Tally> = Object.freeze({
  requests: 0,
  answered: 0,
  clientsGone: 0,
  faults: 0,
  unauthorized: 0,
  refusedLogins: 0,
});

export class TruthLog {
  readonly #limit: number;
  #rows: TruthRow[] = [];
  #droppedRows = 0;
  #nextId = 1;
  #open = 0;
  #tally: Tally = { ...EMPTY_TALLY };
  readonly #accounts = new Map<string, AccountTruth>();
  #idleWaiters: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Every kept row, oldest first; those without `endMs` are still open. `afterId` leaves older ones out. */
  rows(afterId = 0): readonly TruthRow[] {
    return afterId === 0 ? [...this.#rows] : this.#rows.filter(({ id }) => id > afterId);
  }

  /** Gives what one account went through so far. */
  account(email: string): AccountTruth {
    let truth = this.#accounts.get(email);
    if (!truth) {
      truth = newAccountTruth(email);
      this.#accounts.set(email, truth);
    }
    return truth;
  }

  accounts(): AccountTruth[] {
    return [...this.#accounts.values()];
  }

  /** Gives the share of time, 0 to 1, that the account's locks were held between its first start and its last end. */
  utilisation(email: string): number {
    const { firstStartMs, lastEndMs, busyMs } = this.account(email);
    if (firstStartMs === undefined || lastEndMs === undefined || lastEndMs <= firstStartMs) return 0;
    return busyMs / (lastEndMs - firstStartMs);
  }

  totals(): TruthTotals {
    const totals: TruthTotals = {
      ...this.#tally,
      logins: 0,
      generations: 0,
      succeeded: 0,
      chargedAnlas: 0,
      lockRefusals: 0,
      greatestOverlap: 0,
      droppedRows: this.#droppedRows,
    };
    for (const truth of this.#accounts.values()) {
      totals.logins += truth.logins;
      totals.generations += truth.generations;
      totals.succeeded += truth.succeeded;
      totals.chargedAnlas += truth.chargedAnlas;
      totals.lockRefusals += truth.lockRefusals;
      totals.greatestOverlap = Math.max(totals.greatestOverlap, truth.greatestOverlap);
    }
    return totals;
  }

  /** Requests that are not over: answers unfinished, or generations that run on without their client. */
  get openRequests(): number {
    return this.#open;
  }

  /** Resolves when no request is open. */
  whenIdle(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleWaiters.push(resolve);
    });
  }

  /** Forgets everything but the requests that are still open, which go on being counted. */
  reset(): void {
    this.#rows = this.#rows.filter(({ endMs }) => endMs === undefined);
    this.#droppedRows = 0;
    this.#tally = { ...EMPTY_TALLY };
    for (const [email, { open }] of this.#accounts) this.#accounts.set(email, { ...newAccountTruth(email), open });
  }

  begin(start: Pick<TruthRow, 'role' | 'method' | 'path' | 'receivedMs'>): TruthRow {
    const row: TruthRow = {
      id: this.#nextId++,
      ...start,
      endpoint: '',
      account: '',
      slot: undefined,
      requestBytes: 0,
      requestSha256: '',
      answerBytes: 0,
      answerSha256: '',
      status: 0,
      chargeAnlas: 0,
      allowanceImages: 0,
      overlap: 0,
      isLockRefusal: false,
      wasClientGone: false,
    };
    this.#rows.push(row);
    // Dropped in large steps: shifting one row off a long array each time would cost more than the request.
    if (this.#rows.length > this.#limit * 1.25 + 16) {
      const surplus = this.#rows.length - this.#limit;
      this.#rows.splice(0, surplus);
      this.#droppedRows += surplus;
    }
    this.#open++;
    this.#tally.requests++;
    return row;
  }

  recognise(row: TruthRow, email: string): void {
    row.account = email;
    this.account(email).requests++;
  }

  /** Counts a generation as open from now until `end`, whether or not it gets the lock. */
  openGeneration(row: TruthRow, slot: Slot): void {
    const truth = this.account(row.account);
    row.slot = slot;
    row.overlap = ++truth.open[slot];
    truth.greatestOverlap = Math.max(truth.greatestOverlap, row.overlap);
  }

  startGeneration(row: TruthRow, nowMs: number): void {
    const truth = this.account(row.account);
    row.startMs = nowMs;
    truth.generations++;
    truth.firstStartMs ??= nowMs;
  }

  releaseGeneration(row: TruthRow, nowMs: number, result: { isSuccess: boolean }): void {
    const truth = this.account(row.account);
    row.releasedMs = nowMs;
    truth.busyMs += nowMs - (row.startMs ?? nowMs);
    truth.lastEndMs = nowMs;
    if (result.isSuccess) truth.succeeded++;
  }

  charge(row: TruthRow, costAnlas: number, allowanceImages: number): void {
    const truth = this.account(row.account);
    row.chargeAnlas += costAnlas;
    row.allowanceImages += allowanceImages;
    truth.chargedAnlas += costAnlas;
    truth.allowanceImages += allowanceImages;
  }

  refuseLock(row: TruthRow): void {
    row.isLockRefusal = true;
    this.account(row.account).lockRefusals++;
  }

  countLogin(email: string | undefined): void {
    if (email === undefined) this.#tally.refusedLogins++;
    else this.account(email).logins++;
  }

  countUnauthorized(): void {
    this.#tally.unauthorized++;
  }

  countFault(row: TruthRow, kind: string): void {
    row.fault = kind;
    this.#tally.faults++;
  }

  /** Closes a row: its answer has gone out or its client has gone, and its generation, if any, is over. */
  end(row: TruthRow, nowMs: number): void {
    if (row.endMs !== undefined) return;
    row.endMs = nowMs;
    if (row.slot !== undefined) this.account(row.account).open[row.slot]--;
    if (row.wasClientGone) this.#tally.clientsGone++;
    else this.#tally.answered++;
    if (--this.#open === 0) {
      for (const resolve of this.#idleWaiters.splice(0)) resolve();
    }
  }
}

function newAccountTruth(account: string): AccountTruth {
  return {
    account,
    requests: 0,
    generations: 0,
    succeeded: 0,
    chargedAnlas: 0,
    allowanceImages: 0,
    logins: 0,
    lockRefusals: 0,
    greatestOverlap: 0,
    busyMs: 0,
    firstStartMs: undefined,
    lastEndMs: undefined,
    open: { image: 0, text: 0 },
  };
}
