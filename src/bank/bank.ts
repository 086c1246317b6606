// The results store: a paid image is not lost with its client's connection, and one key is not charged twice (design I10).
import type { Clock } from '../lib/clock.ts';
import { randomAlphanumerics } from '../lib/random-text.ts';
import type { Store } from '../store/store.ts';
import type { IndexedAnswer } from './answer-index.ts';
import { BankEntries, type EntryRow, type NewEntry } from './bank-entries.ts';
import { DEFAULT_BANK_LIMITS, type BankLimits } from './bank-limits.ts';
import type { BankedAnswer } from './banked-answer.ts';
import { KeptAnswers } from './kept-answers.ts';
import { OwedWrites } from './owed-writes.ts';
import { Ticket, type TicketEnd } from './ticket.ts';

export interface BankOptions {
  store: Store;
  clock: Clock;
  /** Folder of the files, such as `data/bank`. */
  dir: string;
  limits?: Partial<BankLimits>;
  /** This process's mark on what it has claimed. */
  owner?: string;
  /** Told when something could not be written down; it is tried again. */
  onFailure?: (error: unknown) => void;
}

export interface BankRequest {
  requestId: string;
  clientId: string;
  /** `Idempotency-Key` as sent. */
  idempotencyKey?: string | undefined;
  /** Gives the request's `requestHash`; called only where it is needed, and once. */
  hashOf: () => Promise<string>;
  /** Keeps the answer even when it was delivered, for callers who fetch it later by {@link Bank.answerOf}. */
  isAlwaysKept?: boolean | undefined;
}

/** What the bank holds now. */
export interface BankStats {
  answers: number;
  /** On the disk, half-written files included. */
  usedBytes: number;
  /** Of answers that are passing. */
  memoryBytes: number;
  runningKeys: number;
  /** Requests without a key that go on although their client has left. */
  orphans: number;
  /** What the database would not take when it was due. */
  owedWrites: number;
}

/**
 * What to do with a request.
 * - `run`: carry it out, and tell the ticket.
 * - `replay`: it was made before; give this answer.
 * - `join`: it is being made; wait for it.
 * - `conflict`: the key was used for another request (422).
 * - `lost`: it was made before and may have been charged, but there is no answer to give again (409); `why` ends a sentence.
 */
export type Beginning =
  | { kind: 'run'; ticket: Ticket }
  | { kind: 'replay'; answer: BankedAnswer }
  | { kind: 'join'; ended: Promise<JoinEnd> }
  | { kind: 'conflict' }
  | { kind: 'lost'; why: string };

/** `again`: call `begin` once more; the other request came to nothing at no cost, or its answer is for whoever asks first. */
export type JoinEnd = Extract<Beginning, { kind: 'replay' | 'lost' }> | { kind: 'again' };

/** A keyed request that runs in this process. */
interface RunningKey {
  requestHash: string;
  ended: Promise<KeyEnd>;
  end: (end: KeyEnd) => void;
}

type KeyEnd = { kind: 'kept'; indexed: IndexedAnswer } | { kind: 'lost'; why: string } | { kind: 'again' };

/** So long a key stands for one request. */
const KEY_LIFE_MS = 24 * 3_600_000;
const SWEEP_MS = 60_000;
const POLL_ELSEWHERE_MS = 500;
const WAIT_ELSEWHERE_MS = 600_000;

export class Bank {
  readonly #clock: Clock;
  readonly #limits: BankLimits;
  readonly #owner: string;
  readonly #entries: BankEntries;
  readonly #owed: OwedWrites;
  readonly #onFailure: (error: unknown) => void;
  readonly #kept: KeptAnswers;
  readonly #running = new Map<string, RunningKey>();
  /** Requests without a key whose client has left, by client and hash: for those who ask again. */
  readonly #orphans = new Map<string, Ticket>();
  readonly #ending = new Set<Promise<void>>();
  #stopSweep: () => void = () => undefined;
  #isClosed = false;

  private constructor(options: Required<BankOptions> & { limits: BankLimits }, parts: BankParts) {
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#owner = options.owner;
    this.#onFailure = options.onFailure;
    this.#entries = parts.entries;
    this.#owed = parts.owed;
    this.#kept = parts.kept;
  }

  /**
   * Finds what was kept before.
   * @throws {StoreUnavailableError} when the database cannot be read, and file errors when the folder cannot be used.
   */
  static async open(options: BankOptions): Promise<Bank> {
    const { store, clock, dir, owner = randomAlphanumerics(12), onFailure = () => undefined } = options;
    const limits = { ...DEFAULT_BANK_LIMITS, ...options.limits };
    const entries = new BankEntries(store);
    const owed = new OwedWrites(onFailure);
    const kept = await KeptAnswers.open({ entries, owed, clock, dir, limits });
    const bank = new Bank({ store, clock, dir, owner, onFailure, limits }, { entries, owed, kept });
    bank.#armSweep();
    return bank;
  }

  get stats(): BankStats {
    const { count: answers, usedBytes, memoryBytes } = this.#kept;
    return {
      answers,
      usedBytes,
      memoryBytes,
      runningKeys: this.#running.size,
      orphans: this.#orphans.size,
      owedWrites: this.#owed.count,
    };
  }

  /**
   * Ends what a process that died had begun; to be called before anything is sent. `mayHaveBeenCharged` says of a request id
   * whether the ledger knows it as sent and paid: such a key is not used for a second try. With several instances,
   * `liveOwners` names the others that are alive.
   */
  async recover({
    mayHaveBeenCharged,
    liveOwners = [],
  }: {
    mayHaveBeenCharged: (requestId: string) => boolean;
    liveOwners?: readonly string[];
  }): Promise<void> {
    for (const { id } of await this.#entries.unended([this.#owner, ...liveOwners]))
      await (mayHaveBeenCharged(id)
        ? this.#entries.lose(id, 'the service ended in the middle of it')
        : this.#entries.forget(id));
  }

  /**
   * To be asked about every request before it is carried out.
   * @throws {StoreUnavailableError} for requests with a key, when the database cannot tell; they must be refused with 503.
   */
  begin(request: BankRequest): Promise<Beginning> {
    const hashOf = once(request.hashOf);
    const { idempotencyKey } = request;
    return idempotencyKey === undefined
      ? this.#beginWithoutKey({ ...request, hashOf })
      : this.#beginWithKey({ ...request, hashOf }, idempotencyKey);
  }

  /** Gives an answer that is kept, by the id of its request. */
  answerOf(requestId: string): BankedAnswer | undefined {
    const indexed = this.#kept.get(requestId);
    return indexed && this.#kept.replay(indexed, 'idempotency-key');
  }

  /** Removes what has outlived its time, and writes down what could not be written before. Runs by itself once a minute. */
  async sweep(): Promise<void> {
    this.#stopSweep();
    try {
      await this.#owed.retry();
      await this.#kept.sweep();
      await this.#entries.deleteExpired(this.#clock.wallMs());
    } catch (error) {
      this.#onFailure(error);
    }
    this.#armSweep();
  }

  /** Waits for what is being kept. Tickets that are out may still be finished. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopSweep();
    while (this.#ending.size > 0) await Promise.all(this.#ending);
    await this.#owed.close();
  }

  async #beginWithoutKey(request: BankRequest): Promise<Beginning> {
    const { clientId } = request;
    // Seldom true, so that hardly any request pays for its hash.
    if (this.#orphans.size > 0 || this.#kept.hasLost(clientId)) {
      const requestHash = await request.hashOf();
      const answer = this.#kept.takeLost(clientId, requestHash);
      if (answer) return { kind: 'replay', answer };
      const orphan = this.#orphans.get(pairKey(clientId, requestHash));
      // Whoever is still there when it ends asks again, and the first one gets its answer: so it is not given to somebody who
      // has left meanwhile.
      if (orphan) return { kind: 'join', ended: orphan.ended.then(() => ({ kind: 'again' })) };
    }
    return { kind: 'run', ticket: this.#newTicket(request) };
  }

  async #beginWithKey(request: BankRequest, idempotencyKey: string): Promise<Beginning> {
    const requestHash = await request.hashOf();
    const key = pairKey(request.clientId, idempotencyKey);
    const running = this.#running.get(key);
    if (running) return this.#joining(running, requestHash);
    // Nothing may be waited for between the look and this: of many at once exactly one comes here.
    this.#running.set(key, newRunningKey(requestHash));
    try {
      const claim = await this.#entries.claim({ ...this.#newEntry(request, requestHash), idempotencyKey });
      if (claim.isClaimed) {
        if (claim.displaced) await this.#kept.forget(claim.displaced.id);
        return { kind: 'run', ticket: this.#newTicket(request) };
      }
      this.#endKey(key, { kind: 'again' });
      return this.#beginningOf(claim.row, requestHash);
    } catch (error) {
      this.#endKey(key, { kind: 'again' });
      throw error;
    }
  }

  #joining(running: RunningKey, requestHash: string): Beginning {
    if (running.requestHash !== requestHash) return { kind: 'conflict' };
    const ended = running.ended.then((end): JoinEnd => {
      if (end.kind !== 'kept') return end;
      return { kind: 'replay', answer: this.#kept.replay(end.indexed, 'idempotency-key') };
    });
    return { kind: 'join', ended };
  }

  /** What a key that was used before means for another request with it. */
  #beginningOf(row: EntryRow, requestHash: string): Beginning {
    if (row.request_hash !== requestHash) return { kind: 'conflict' };
    if (row.state === 'lost') return lost(row);
    if (row.state === 'running')
      return row.owner === this.#owner
        ? { kind: 'lost', why: 'its end could not be written down yet' }
        : { kind: 'join', ended: this.#waitElsewhere(row.id) };
    const indexed = this.#kept.get(row.id);
    if (!indexed) return { kind: 'lost', why: 'its answer is not kept here' };
    return { kind: 'replay', answer: this.#kept.replay(indexed, 'idempotency-key') };
  }

  /** Another instance runs it: its end shows in the database. */
  async #waitElsewhere(requestId: string): Promise<JoinEnd> {
    const untilMs = this.#clock.monotonicMs() + WAIT_ELSEWHERE_MS;
    while (this.#clock.monotonicMs() < untilMs && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#clock.after(POLL_ELSEWHERE_MS, resolve);
      });
      const row = await this.#entries.find(requestId);
      if (!row) return { kind: 'again' };
      if (row.state === 'lost') return lost(row);
      if (row.state === 'stored') return { kind: 'lost', why: 'its answer is kept by another instance' };
    }
    return { kind: 'lost', why: 'another instance did not end it in time' };
  }

  #newTicket(request: BankRequest): Ticket {
    const { idempotencyKey = null, isAlwaysKept = false } = request;
    const isOfUse = idempotencyKey !== null || isAlwaysKept || this.#limits.lostConnectionMs > 0;
    return new Ticket({
      requestId: request.requestId,
      clientId: request.clientId,
      idempotencyKey,
      isAlwaysKept,
      hashOf: request.hashOf,
      tee: isOfUse ? this.#kept.newTee() : undefined,
      onClientLeft: (ticket) => void this.#onClientLeft(ticket),
      onEnd: (ticket, end) => this.#onEnd(ticket, end),
    });
  }

  async #onClientLeft(ticket: Ticket): Promise<void> {
    if (ticket.idempotencyKey !== null || !ticket.isCopied || this.#limits.lostConnectionMs === 0) return;
    // If it ends meanwhile, its end waits for the same hash, after this, and takes it out again.
    const requestHash = await ticket.hash();
    this.#orphans.set(pairKey(ticket.clientId, requestHash), ticket);
  }

  #onEnd(ticket: Ticket, end: TicketEnd): Promise<void> {
    const ending = this.#end(ticket, end).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
    return ending;
  }

  async #end(ticket: Ticket, { isDelivered, mayHaveCost }: TicketEnd): Promise<void> {
    const { requestId, clientId, idempotencyKey, answer } = ticket;
    const isWanted = idempotencyKey !== null || ticket.isAlwaysKept || !isDelivered;
    if (!isWanted || !answer) {
      await ticket.dropCopy();
      // Most requests end here, without anybody ever having asked for their hash.
      if (idempotencyKey === null && !ticket.isOrphan) return;
    }
    const requestHash = await ticket.hash();
    const entry = this.#newEntry({ requestId, clientId, idempotencyKey: idempotencyKey ?? undefined }, requestHash);
    const kept =
      isWanted && answer
        ? await this.#kept.keep(entry, answer, isDelivered)
        : { isKept: false as const, why: ticket.isCopied ? 'it brought no whole answer' : 'answers are not kept' };
    if (idempotencyKey !== null) {
      const key = pairKey(clientId, idempotencyKey);
      if (kept.isKept) this.#endKey(key, { kind: 'kept', indexed: kept.indexed });
      else if (mayHaveCost) {
        await this.#owed.run(() => this.#entries.lose(requestId, kept.why));
        this.#endKey(key, { kind: 'lost', why: kept.why });
      } else {
        await this.#owed.run(() => this.#entries.forget(requestId));
        this.#endKey(key, { kind: 'again' });
      }
    } else if (this.#orphans.get(pairKey(clientId, requestHash)) === ticket)
      this.#orphans.delete(pairKey(clientId, requestHash));
  }

  #newEntry(
    { requestId, clientId, idempotencyKey }: Pick<BankRequest, 'requestId' | 'clientId' | 'idempotencyKey'>,
    requestHash: string,
  ): NewEntry {
    const createdAtMs = this.#clock.wallMs();
    const lifeMs = idempotencyKey === undefined ? this.#limits.keepMs : Math.max(KEY_LIFE_MS, this.#limits.keepMs);
    return {
      requestId,
      clientId,
      idempotencyKey: idempotencyKey ?? null,
      requestHash,
      owner: this.#owner,
      createdAtMs,
      expiresAtMs: createdAtMs + lifeMs,
    };
  }

  #endKey(key: string, end: KeyEnd): void {
    const running = this.#running.get(key);
    this.#running.delete(key);
    running?.end(end);
  }

  #armSweep(): void {
    if (!this.#isClosed) this.#stopSweep = this.#clock.after(SWEEP_MS, () => void this.sweep());
  }
}

interface BankParts {
  entries: BankEntries;
  owed: OwedWrites;
  kept: KeptAnswers;
}

function newRunningKey(requestHash: string): RunningKey {
  const { promise, resolve } = Promise.withResolvers<KeyEnd>();
  return { requestHash, ended: promise, end: resolve };
}

function lost({ why }: EntryRow): { kind: 'lost'; why: string } {
  return { kind: 'lost', why: why ?? 'its answer is not kept' };
}

/** Keys of maps for two texts of which the second may hold anything. */
function pairKey(clientId: string, text: string): string {
  return `${clientId.length}:${clientId}${text}`;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
