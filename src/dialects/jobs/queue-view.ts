// What a client sees of the queue: its own requests with their places and expected starts, and totals; never another's.
import type { WorkQueue } from '../../dispatch/work-queue.ts';
import type { Clock } from '../../lib/clock.ts';
import type { SlotKind } from '../../accounts/work-class.ts';

export interface QueueView {
  /** The client's own requests that wait, in the order they are expected to start. */
  waiting: {
    requestId: string;
    endpoint: string;
    model: string | undefined;
    /** Place in the order of all starts, 1 = next. */
    position: number;
    /** Expected time until the start, seconds: half of such forecasts are met by the first, nine in ten by the second. */
    etaP50Seconds: number | null;
    etaP90Seconds: number | null;
    waitedSeconds: number;
  }[];
  totals: Record<SlotKind, { waiting: number; running: number; slots: number; idleSlots: number }>;
}

/** Gives one client's view. */
export function queueView(queue: WorkQueue, clientId: string, clock: Clock): QueueView {
  const nowMs = clock.monotonicMs();
  const waiting = queue.waitingOf(clientId).flatMap((request) => {
    const forecast = queue.forecast(request);
    if (!forecast) return [];
    return [
      {
        requestId: request.id,
        endpoint: request.endpointId,
        model: request.facts.model,
        position: forecast.position,
        etaP50Seconds: seconds(forecast.etaP50Ms),
        etaP90Seconds: seconds(forecast.etaP90Ms),
        waitedSeconds: seconds(nowMs - request.receivedMs) ?? 0,
      },
    ];
  });
  const totalsOf = (kind: SlotKind) => {
    const { queued, running, slots, idleSlots } = queue.stats(kind);
    return { waiting: queued, running, slots, idleSlots };
  };
  return {
    waiting: waiting.toSorted((a, b) => a.position - b.position),
    totals: { image: totalsOf('image'), text: totalsOf('text') },
  };
}

/** No slot in sight has no number in JSON. */
function seconds(ms: number): number | null {
  return Number.isFinite(ms) ? Math.round(ms / 100) / 10 : null;
}
