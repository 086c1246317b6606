// What a client sees of the queue: its own requests with their places and expected starts, and totals; never another's.
import type { WorkQueue } from '../../dispatch/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import type { SlotKind } from '../../accounts/work-class.ts';

export interface WaitingView {
  requestId: string;
  endpoint: string;
  model: string | undefined;
  /** Place in the order of all starts, 1 = next. */
  position: number;
  /** Expected time until the start, seconds: half of such forecasts are met by the first, nine in ten by the second. */
  etaP50Seconds: number | null;
  etaP90Seconds: number | null;
  waitedSeconds: number;
}

export interface QueueView {
  /** The client's own requests that wait, in the order they are expected to start: the first of them. */
  waiting: WaitingView[];
  /** How many of its requests wait in all. */
  waitingCount: number;
  totals: Record<SlotKind, { waiting: number; running: number; slots: number; idleSlots: number }>;
}

/** Putting together a list of more than this takes so long that those who ask again within a second get the same one. */
const LONG_LIST = 200;
const LONG_LIST_GOOD_MS = 1000;

export class QueueViews {
  readonly #queue: WorkQueue;
  readonly #clock: Clock;
  readonly #longLists = new Map<string, { goodUntilMs: number; waiting: WaitingView[] }>();

  constructor(queue: WorkQueue, clock: Clock) {
    this.#queue = queue;
    this.#clock = clock;
  }

  /** Gives one client's view, with at most `limit` of its requests. */
  of(clientId: string, limit: number): QueueView {
    const totalsOf = (kind: SlotKind) => {
      const { queued, running, slots, idleSlots } = this.#queue.stats(kind);
      return { waiting: queued, running, slots, idleSlots };
    };
    return {
      waiting: this.#waitingOf(clientId).slice(0, limit),
      waitingCount: this.#queue.waitingOf(clientId).size,
      totals: { image: totalsOf('image'), text: totalsOf('text') },
    };
  }

  #waitingOf(clientId: string): WaitingView[] {
    const nowMs = this.#clock.monotonicMs();
    const isLong = this.#queue.waitingOf(clientId).size > LONG_LIST;
    const known = this.#longLists.get(clientId);
    if (isLong && known && nowMs < known.goodUntilMs) return known.waiting;
    const waiting = this.#listOf(clientId, nowMs);
    if (isLong) this.#longLists.set(clientId, { goodUntilMs: nowMs + LONG_LIST_GOOD_MS, waiting });
    else this.#longLists.delete(clientId);
    return waiting;
  }

  #listOf(clientId: string, nowMs: number): WaitingView[] {
    const waiting: WaitingView[] = [];
    for (const request of this.#queue.waitingOf(clientId)) {
      const forecast = this.#queue.forecast(request);
      if (!forecast) continue;
      waiting.push({
        requestId: request.id,
        endpoint: request.endpointId,
        model: request.facts.model,
        position: forecast.position,
        etaP50Seconds: seconds(forecast.etaP50Ms),
        etaP90Seconds: seconds(forecast.etaP90Ms),
        waitedSeconds: seconds(nowMs - request.receivedMs) ?? 0,
      });
    }
    return waiting.toSorted((a, b) => a.position - b.position);
  }
}

/** No slot in sight has no number in JSON. */
function seconds(ms: number): number | null {
  return Number.isFinite(ms) ? Math.round(ms / 100) / 10 : null;
}
