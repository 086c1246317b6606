// What the bank keeps, in memory: which answer goes first when room is needed, and which ones their clients never got.
import type { AnswerHead } from './banked-answer.ts';

/** An answer with its file, as far as the bank must know of it at all times. */
export interface IndexedAnswer {
  requestId: string;
  clientId: string;
  /** Without one it is kept only for a client whose connection was lost. */
  idempotencyKey: string | null;
  requestHash: string;
  contentHash: string;
  sizeBytes: number;
  head: AnswerHead;
  keptAtMs: number;
}

/** Delivered answers go before those that their client never got, and the oldest of each first. */
export class AnswerIndex {
  readonly #delivered = new Map<string, IndexedAnswer>();
  readonly #undelivered = new Map<string, IndexedAnswer>();
  /** Undelivered answers without a key, by client and request; the youngest counts. */
  readonly #lost = new Map<string, IndexedAnswer>();
  /** How many of those each client has: most have none, and then nobody needs to know the request's hash. */
  readonly #lostOf = new Map<string, number>();

  get size(): number {
    return this.#delivered.size + this.#undelivered.size;
  }

  get(requestId: string): IndexedAnswer | undefined {
    return this.#delivered.get(requestId) ?? this.#undelivered.get(requestId);
  }

  isDelivered(requestId: string): boolean {
    return this.#delivered.has(requestId);
  }

  put(answer: IndexedAnswer, isDelivered: boolean): void {
    this.remove(answer.requestId);
    (isDelivered ? this.#delivered : this.#undelivered).set(answer.requestId, answer);
    if (!isDelivered && answer.idempotencyKey === null) this.#putLost(answer);
  }

  remove(requestId: string): IndexedAnswer | undefined {
    const answer = this.get(requestId);
    this.#delivered.delete(requestId);
    this.#undelivered.delete(requestId);
    if (answer) this.#removeLost(answer);
    return answer;
  }

  /** Gives all answers, in the order in which they should go. */
  *inOrder(): Generator<IndexedAnswer> {
    yield* this.#delivered.values();
    yield* this.#undelivered.values();
  }

  hasLost(clientId: string): boolean {
    return this.#lostOf.has(clientId);
  }

  /** Gives an undelivered answer to one caller only: nobody else finds it until it is put back. */
  takeLost(clientId: string, requestHash: string, sinceMs: number): IndexedAnswer | undefined {
    const answer = this.#lost.get(lostKey(clientId, requestHash));
    if (!answer || answer.keptAtMs < sinceMs) return undefined;
    this.#removeLost(answer);
    return answer;
  }

  #putLost(answer: IndexedAnswer): void {
    const key = lostKey(answer.clientId, answer.requestHash);
    if (!this.#lost.has(key)) this.#lostOf.set(answer.clientId, (this.#lostOf.get(answer.clientId) ?? 0) + 1);
    this.#lost.set(key, answer);
  }

  #removeLost({ clientId, requestHash, requestId }: IndexedAnswer): void {
    const key = lostKey(clientId, requestHash);
    if (this.#lost.get(key)?.requestId !== requestId) return;
    this.#lost.delete(key);
    const left = (this.#lostOf.get(clientId) ?? 1) - 1;
    if (left === 0) this.#lostOf.delete(clientId);
    else this.#lostOf.set(clientId, left);
  }
}

function lostKey(clientId: string, requestHash: string): string {
  return `${requestHash} ${clientId}`;
}
