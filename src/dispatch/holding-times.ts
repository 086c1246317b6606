// How long generations hold an account: what the scheduler guesses from, and what an account rests for after an unseen end.
import { HoldingTimeEstimates, type Workload } from '../scheduler/estimates.ts';
import type { GenerationRequest } from './generation-request.ts';

/** Above the p90 by this much, hardly any generation of the kind still runs. */
const SAFETY_FACTOR = 1.5;

export class HoldingTimes {
  readonly #estimates = new HoldingTimeEstimates();
  #ceilingMs: number;

  /** `ceilingMs`: no exchange is let run longer. */
  constructor({ ceilingMs }: { ceilingMs: number }) {
    this.#ceilingMs = ceilingMs;
  }

  /** Changes the ceiling, as UPSTREAM_TIMEOUT changed. */
  setCeiling(ceilingMs: number): void {
    this.#ceilingMs = ceilingMs;
  }

  /** A fair guess, milliseconds. */
  estimateMs(request: GenerationRequest): number {
    return Math.min(this.#estimates.estimate(workload(request)).p50Ms, this.#ceilingMs);
  }

  /** What hardly any such generation exceeds, milliseconds. */
  longestMs(request: GenerationRequest): number {
    return this.longestOfMs(workload(request));
  }

  /** As `longestMs`, of work that only the ledger still knows. */
  longestOfMs(work: Workload): number {
    return Math.min(this.#estimates.estimate(work).p90Ms * SAFETY_FACTOR, this.#ceilingMs);
  }

  /** Learns from a generation whose beginning and end were seen. */
  learn(request: GenerationRequest, heldMs: number): void {
    if (heldMs > 0) this.#estimates.record(workload(request), heldMs);
  }
}

function workload({
  slot,
  facts: { billable, model, widthPx, heightPx, steps, samples, tokens },
}: GenerationRequest): Workload {
  const tool = billable.kind === 'augment' ? billable.tool : billable.kind;
  return {
    kind: slot === 'text' ? 'text' : tool === 'bg-removal' ? tool : billable.kind,
    model: model ?? '',
    pixels: amount(widthPx) * amount(heightPx),
    steps: amount(slot === 'text' ? tokens : steps),
    samples: amount(samples) || 1,
  };
}

/** A client may write anything; what is no sane number tells nothing about the time it takes. */
function amount(value: number | undefined): number {
  return value !== undefined && value > 0 && value < 1e6 ? value : 0;
}
