// The answers that are kept: their files, their rows in the database, and the order in which they go.
import { Budget } from '../lib/budget.ts';
import type { Clock } from '../lib/clock.ts';
import { AnswerFiles } from './answer-files.ts';
import { AnswerIndex, type IndexedAnswer } from './answer-index.ts';
import { AnswerTee } from './answer-tee.ts';
import type { BankEntries, EntryRow, NewEntry } from './bank-entries.ts';
import type { BankLimits } from './bank-limits.ts';
import { REPLAY_HEADER, type AnswerHead, type BankedAnswer, type ReplaySource } from './banked-answer.ts';
import type { OwedWrites } from './owed-writes.ts';

export interface KeptAnswersOptions {
  entries: BankEntries;
  owed: OwedWrites;
  clock: Clock;
  dir: string;
  limits: BankLimits;
}

export type Keeping = { isKept: true; indexed: IndexedAnswer } | { isKept: false; why: string };

export class KeptAnswers {
  readonly #options: KeptAnswersOptions;
  readonly #index = new AnswerIndex();
  readonly #memory: Budget;
  #files: AnswerFiles | undefined;

  private constructor(options: KeptAnswersOptions) {
    this.#options = options;
    this.#memory = new Budget(options.limits.memoryBytes);
  }

  /** Finds what was kept before: rows without a file and files without a row are passed over, the latter removed. */
  static async open(options: KeptAnswersOptions): Promise<KeptAnswers> {
    const kept = new KeptAnswers(options);
    if (options.limits.totalBytes > 0) await kept.#load();
    return kept;
  }

  get count(): number {
    return this.#index.size;
  }

  get usedBytes(): number {
    return this.#files?.usedBytes ?? 0;
  }

  get memoryBytes(): number {
    return this.#memory.used;
  }

  get(requestId: string): IndexedAnswer | undefined {
    return this.#index.get(requestId);
  }

  /** Whether the client has an answer that it never got; few have. */
  hasLost(clientId: string): boolean {
    return this.#index.hasLost(clientId);
  }

  /** Gives an answer that the client never got, to one caller only. */
  takeLost(clientId: string, requestHash: string): BankedAnswer | undefined {
    const { clock, limits } = this.#options;
    const indexed = this.#index.takeLost(clientId, requestHash, clock.wallMs() - limits.lostConnectionMs);
    return indexed && this.replay(indexed, 'lost-connection');
  }

  /** Gives a place for the copy of one answer; undefined when nothing is kept. */
  newTee(): AnswerTee | undefined {
    const files = this.#files;
    return files && new AnswerTee({ files, memory: this.#memory, limitBytes: this.#options.limits.answerBytes });
  }

  /** Keeps the copy of an answer. Never throws. */
  async keep(
    entry: NewEntry,
    { head, tee }: { head: AnswerHead; tee: AnswerTee },
    isDelivered: boolean,
  ): Promise<Keeping> {
    const kept = await tee.keep();
    if (!kept.isKept) return kept;
    const { contentHash, sizeBytes } = kept;
    const { requestId, clientId, idempotencyKey, requestHash } = entry;
    const keptAtMs = this.#options.clock.wallMs();
    const indexed = { requestId, clientId, idempotencyKey, requestHash, contentHash, sizeBytes, head, keptAtMs };
    this.#index.put(indexed, isDelivered);
    await this.#options.owed.run(() =>
      this.#options.entries.keep(entry, { head, contentHash, sizeBytes, keptAtMs }, isDelivered),
    );
    return { isKept: true, indexed };
  }

  /** Removes the file of an entry that the database has no more. */
  async forget(requestId: string): Promise<void> {
    const indexed = this.#index.remove(requestId);
    if (indexed) await this.#files?.release(indexed.contentHash);
  }

  /** Removes what has outlived its time. */
  async sweep(): Promise<void> {
    const { clock, limits } = this.#options;
    const beforeMs = clock.wallMs() - limits.keepMs;
    for (const indexed of this.#index.inOrder())
      if (indexed.keptAtMs <= beforeMs) await this.#drop(indexed, 'its answer is no longer kept');
  }

  replay(indexed: IndexedAnswer, source: ReplaySource): BankedAnswer {
    const { requestId, head, sizeBytes, contentHash, keptAtMs } = indexed;
    const files = this.#files;
    if (!files) throw new Error('Nothing is kept, so there is nothing to give again.');
    return {
      requestId,
      source,
      status: head.status,
      headers: { ...head.headers, 'content-length': String(sizeBytes), [REPLAY_HEADER]: source },
      sizeBytes,
      keptAtMs,
      read: () => files.read(contentHash),
      settle: (isDelivered) => this.#settle(indexed, isDelivered),
    };
  }

  #settle(indexed: IndexedAnswer, isDelivered: boolean): void {
    const { requestId } = indexed;
    // It may have been removed while it was given; and what one client has got stays delivered.
    if (this.#index.get(requestId) !== indexed || this.#index.isDelivered(requestId)) return;
    this.#index.put(indexed, isDelivered);
    if (isDelivered) void this.#options.owed.run(() => this.#options.entries.setDelivered(requestId));
  }

  async #load(): Promise<void> {
    const { entries, dir, limits } = this.#options;
    const files = await AnswerFiles.open({ dir, limitBytes: limits.totalBytes, evictOne: () => this.#evictOne() });
    for (const row of await entries.stored()) {
      const indexed = indexedOf(row);
      if (files.adopt(indexed.contentHash, indexed.sizeBytes)) this.#index.put(indexed, row.is_delivered === 1);
    }
    this.#files = files;
    await files.tidy();
  }

  async #evictOne(): Promise<boolean> {
    const [first] = this.#index.inOrder();
    if (first) await this.#drop(first, 'its answer had to make room for newer ones');
    return first !== undefined;
  }

  /** The file goes first: it is what takes up the room, and the database may be on the same full disk. */
  async #drop({ requestId, idempotencyKey }: IndexedAnswer, why: string): Promise<void> {
    const { entries, owed } = this.#options;
    await this.forget(requestId);
    // A key that was used stays used.
    await owed.run(() => (idempotencyKey === null ? entries.forget(requestId) : entries.lose(requestId, why)));
  }
}

function indexedOf(row: EntryRow): IndexedAnswer {
  return {
    requestId: row.id,
    clientId: row.client_id,
    idempotencyKey: row.idempotency_key,
    requestHash: row.request_hash,
    contentHash: row.content_hash ?? '',
    sizeBytes: row.size_bytes ?? 0,
    head: JSON.parse(row.head ?? '{}') as AnswerHead,
    keptAtMs: row.kept_at_ms ?? row.created_at_ms,
  };
}
