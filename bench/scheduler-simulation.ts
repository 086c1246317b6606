// Simulated time for the scheduler: a discrete-event world, a workshop that runs jobs on slots in it, and a FIFO to compare with.

import { IndexedHeap } from '../src/scheduler/indexed-heap.ts';
import type { Job } from '../src/scheduler/fair-scheduler.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

/** Time that jumps from event to event; events at one moment happen in the order they were set. */
export class SimulatedWorld {
  readonly #events = new IndexedHeap<Event>({
    keyOf: ({ atMs }) => atMs,
    isBefore: (a, b) => a.order < b.order,
  });
  #nowMs = 0;
  #order = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  at(atMs: number, action: () => void): void {
    this.#events.push({ atMs: Math.max(atMs, this.#nowMs), order: ++this.#order, action });
  }

  /** Lives through all events up to `endMs` and stops the clock there. */
  runUntil(endMs: number): void {
    for (let next = this.#events.peek(); next !== undefined && next.atMs <= endMs; next = this.#events.peek()) {
      this.#events.pop();
      this.#nowMs = next.atMs;
      next.action();
    }
    this.#nowMs = endMs;
  }
}

/** What a workshop needs of a scheduler: FairScheduler has it, and so has every peer or faulty stand-in. */
export interface SlotSharer {
  submit(job: Job): { isAccepted: boolean };
  dispatch(): { jobId: string; slotId: string; leaseId: number }[];
  release(slotId: string, options: { leaseId: number; heldMs: number }): unknown;
}

/** The life of one job in the workshop. */
export interface Run {
  readonly jobId: string;
  readonly clientId: string;
  readonly durationMs: number;
  readonly estimateMs: number;
  readonly submittedAtMs: number;
  startedAtMs: number;
  endedAtMs: number;
  slotId: string;
}

export interface WorkshopOptions {
  world: SimulatedWorld;
  scheduler: SlotSharer;
  onStart?: (run: Run) => void;
  onEnd?: (run: Run) => void;
}

export interface WorkOrder {
  clientId: string;
  /** How long it will really take. */
  durationMs: number;
  /** What the scheduler is told; the default is the truth. */
  estimateMs?: number;
  classKey?: string;
  band?: Job['band'];
  deadlineMs?: number;
}

/** Runs jobs in simulated time and writes down when each was submitted, started and ended. */
export class Workshop {
  readonly #options: WorkshopOptions;
  readonly #runs = new Map<string, Run>();
  refused = 0;

  constructor(options: WorkshopOptions) {
    this.#options = options;
  }

  get runs(): Run[] {
    return [...this.#runs.values()];
  }

  run(jobId: string): Run | undefined {
    return this.#runs.get(jobId);
  }

  /** Submits without dispatching: for many at once. */
  enter({ clientId, durationMs, estimateMs = durationMs, ...rest }: WorkOrder): string | undefined {
    const { world, scheduler } = this.#options;
    const jobId = `${clientId}/${this.#runs.size + 1}`;
    const job: Job = {
      jobId,
      clientId,
      classKey: rest.classKey ?? 'free',
      estimateMs,
      band: rest.band ?? 'interactive',
      deadlineMs: rest.deadlineMs ?? Number.POSITIVE_INFINITY,
    };
    if (!scheduler.submit(job).isAccepted) {
      this.refused += 1;
      return undefined;
    }
    const times = { submittedAtMs: world.nowMs, startedAtMs: Number.NaN, endedAtMs: Number.NaN, slotId: '' };
    this.#runs.set(jobId, { jobId, clientId, durationMs, estimateMs, ...times });
    return jobId;
  }

  submit(order: WorkOrder): string | undefined {
    const jobId = this.enter(order);
    this.dispatch();
    return jobId;
  }

  dispatch(): void {
    const { world, scheduler, onStart, onEnd } = this.#options;
    for (const { jobId, slotId, leaseId } of scheduler.dispatch()) {
      const run = this.#runs.get(jobId);
      if (run === undefined) throw new Error(`The scheduler started "${jobId}", which was never submitted.`);
      run.startedAtMs = world.nowMs;
      run.slotId = slotId;
      world.at(world.nowMs + run.durationMs, () => {
        run.endedAtMs = world.nowMs;
        scheduler.release(slotId, { leaseId, heldMs: run.durationMs });
        onEnd?.(run);
        this.dispatch();
      });
      onStart?.(run);
    }
  }
}

/** First come, first served: the peer that shows what a flood does without fairness. */
export class FifoScheduler implements SlotSharer {
  readonly #idle: string[];
  readonly #waiting: Job[] = [];
  #next = 0;

  constructor(slotIds: readonly string[]) {
    this.#idle = [...slotIds];
  }

  submit(job: Job): { isAccepted: boolean } {
    this.#waiting.push(job);
    return { isAccepted: true };
  }

  dispatch(): { jobId: string; slotId: string; leaseId: number }[] {
    const started: { jobId: string; slotId: string; leaseId: number }[] = [];
    while (this.#idle.length > 0 && this.#next < this.#waiting.length) {
      const job = this.#waiting[this.#next++] as Job;
      started.push({ jobId: job.jobId, slotId: this.#idle.shift() as string, leaseId: this.#next });
    }
    return started;
  }

  release(slotId: string): void {
    this.#idle.push(slotId);
  }
}
