// Shares the slots of one kind (image, text) fairly among clients. Pure: no I/O, the clock is passed in, all calls are synchronous.

import { DeadlineClock } from './deadline-clock.ts';
import { FairQueue } from './fair-queue.ts';
import type { Running } from './fair-queue.ts';
import { QueueForecast } from './queue-forecast.ts';
import { IndexedHeap } from './indexed-heap.ts';
import type { QueuedJob } from './lane.ts';
import type {
  Assignment,
  Band,
  ClientPolicy,
  FairSchedulerOptions,
  Forecast,
  Job,
  RefusalReason,
  ReleaseOptions,
  SchedulerStats,
  SlotUpdate,
  Submission,
} from './scheduler-types.ts';
import { SlotTable, isIdle } from './slot-table.ts';
import type { SlotOptions } from './slot-table.ts';
import { estimateTurnMs, estimateWaitMs, workDueBeforeMs } from './wait-estimate.ts';

export type {
  Assignment,
  Band,
  ClientPolicy,
  FairSchedulerOptions,
  Forecast,
  Job,
  RefusalReason,
  ReleaseOptions,
  SchedulerStats,
  SlotUpdate,
  Submission,
} from './scheduler-types.ts';
export type { SlotOptions } from './slot-table.ts';

/** A held slot. */
interface Lease extends Running {
  readonly leaseId: number;
  readonly startedAtMs: number;
  /** The job went back to the queue; the slot is still held. */
  isRequeued: boolean;
  /** The job was cancelled while it ran: it will not be requeued. */
  isCancelled: boolean;
}

const DEFAULT_BAND_OFFSETS_MS: Record<Band, number> = { interactive: 0, batch: 60_000 };
const DEFAULT_POLICY: ClientPolicy = {
  weight: 1,
  maxQueued: Number.POSITIVE_INFINITY,
  maxInFlight: Number.POSITIVE_INFINITY,
};
const NO_SLOT_RETRY_AFTER_MS = 30_000;

/**
 * One scheduler per kind of slot. After any event (submit, release, cancel, a slot that came back) call `dispatch`; it
 * is the only place where a slot is given away, and seeing it idle and marking it busy are one step.
 */
export class FairScheduler {
  readonly #clock: DeadlineClock;
  #maxQueued: number;
  readonly #onAssign: (assignment: Assignment) => void;
  readonly #slots = new SlotTable();
  readonly #queue: FairQueue;
  readonly #forecast: QueueForecast;
  readonly #queuedJobs = new Map<string, QueuedJob>();
  readonly #leasesByJob = new Map<string, Lease>();
  readonly #leasesById = new Map<number, Lease>();
  readonly #byDeadline = new IndexedHeap<QueuedJob>({
    keyOf: (job) => job.deadlineMs,
    isBefore: (a, b) => a.sequence < b.sequence,
    onMove: (job, index) => {
      job.deadlineIndex = index;
    },
  });
  readonly #counts = { assigned: 0, cancelled: 0, expired: 0, requeued: 0 };
  readonly #refused: Record<RefusalReason, number> = {
    client_queue_full: 0,
    queue_full: 0,
    deadline_unmeetable: 0,
    no_slot_can_serve: 0,
  };
  #sequence = 0;
  #leaseId = 0;

  constructor({
    nowMs,
    maxQueued,
    bandOffsetsMs = DEFAULT_BAND_OFFSETS_MS,
    defaultPolicy = DEFAULT_POLICY,
    sharesLastSlot = false,
    onAssign = () => {},
  }: FairSchedulerOptions) {
    checkPolicy(defaultPolicy);
    this.#clock = new DeadlineClock(nowMs);
    this.#maxQueued = maxQueued;
    this.#onAssign = onAssign;
    this.#queue = new FairQueue({ slots: this.#slots, bandOffsetsMs, sharesLastSlot, defaultPolicy });
    this.#forecast = new QueueForecast({ queue: this.#queue, slots: this.#slots, nowMs: () => this.#clock.now() });
  }

  /** Sets what a client may take, at once also for what it has queued. Throws RangeError on a weight that is not positive. */
  setClient(clientId: string, policy: ClientPolicy): void {
    checkPolicy(policy);
    this.#queue.setPolicy(clientId, { ...policy });
  }

  /** Forgets a client's policy. What it has queued goes on under the default policy until it is done or cancelled. */
  forgetClient(clientId: string): void {
    this.#queue.setPolicy(clientId, undefined);
  }

  /** Changes how many jobs may be queued in all; what is queued stays, also beyond it. */
  setMaxQueued(maxQueued: number): void {
    this.#maxQueued = maxQueued;
  }

  /** Adds a slot, available at once. Throws when the name is in use. */
  addSlot(slotId: string, options: SlotOptions): void {
    this.#slots.add(slotId, options, this.#queue.virtualTimeMs);
    this.invalidateEligibility();
  }

  /** Changes a slot's state; a job on it runs on. False when there is no such slot (it was removed meanwhile). */
  updateSlot(slotId: string, { isAvailable, availableAtMs, capability }: SlotUpdate): boolean {
    const slot = this.#slots.get(slotId);
    if (slot === undefined) return false;
    if (isAvailable !== undefined) slot.isAvailable = isAvailable;
    slot.availableAtMs = availableAtMs ?? (isAvailable === undefined ? slot.availableAtMs : Number.POSITIVE_INFINITY);
    if (capability !== undefined) slot.capability = capability;
    return true;
  }

  /** Asks the slots again what they can serve. Call it when an answer of `canServe` changed. */
  invalidateEligibility(): void {
    this.#queue.reviewEligibility();
  }

  /** Takes a slot away; a busy one stays until its job is released. Unknown names are ignored. */
  removeSlot(slotId: string): void {
    const slot = this.#slots.get(slotId);
    if (slot === undefined) return;
    slot.isLeaving = true;
    if (slot.leaseId === 0) this.#slots.delete(slotId);
    this.invalidateEligibility();
  }

  /** Queues a job or refuses it at once. Call `dispatch` afterwards. Throws when the job's name is in use. */
  submit(job: Job): Submission {
    const nowMs = this.#turn();
    if (this.#queuedJobs.has(job.jobId) || this.#leasesByJob.has(job.jobId)) {
      throw new Error(`Job "${job.jobId}" cannot be submitted: it is queued or running already.`);
    }
    if (!(job.estimateMs > 0 && job.estimateMs < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`Job "${job.jobId}" needs an estimate in milliseconds above 0, got ${job.estimateMs}.`);
    }
    const refusal = this.#refusal(job, nowMs);
    if (refusal !== undefined) {
      this.#refused[refusal.reason] += 1;
      return { isAccepted: false, ...refusal };
    }
    const queued: QueuedJob = {
      jobId: job.jobId,
      clientId: job.clientId,
      classKey: job.classKey,
      band: job.band,
      estimateMs: job.estimateMs,
      deadlineMs: this.#clock.toDeadlineTime(job.deadlineMs),
      sequence: ++this.#sequence,
      submittedAtMs: nowMs,
      requeuedTagMs: Number.POSITIVE_INFINITY,
      promises: undefined,
      laneIndex: -1,
      deadlineIndex: -1,
    };
    this.#enter(queued);
    const position = this.#queue.client(job.clientId)?.queued ?? 1;
    this.#forecast.observeArrival(queued, { isAlone: position === 1, nowMs });
    return { isAccepted: true, position };
  }

  /** Takes a queued job out. A running one is only marked, so that it is never requeued: its slot stays held until `release`. */
  cancel(jobId: string): 'queued' | 'running' | 'unknown' {
    this.#turn();
    const job = this.#queuedJobs.get(jobId);
    if (job !== undefined) {
      this.#leave(job);
      this.#queue.remove(job);
      this.#counts.cancelled += 1;
      return 'queued';
    }
    const lease = this.#leasesByJob.get(jobId);
    if (lease === undefined) return 'unknown';
    lease.isCancelled = true;
    return 'running';
  }

  /**
   * Gives idle slots to waiting jobs, as many as can be, and tells `onAssign` of each. A job past its deadline that was
   * not expired yet is still assigned: somebody waits for it and a slot is free.
   */
  dispatch(): Assignment[] {
    const nowMs = this.#turn();
    const assignments: Assignment[] = [];
    for (let pick = this.#queue.pickNext(); pick !== undefined; pick = this.#queue.pickNext()) {
      const leaseId = ++this.#leaseId;
      const run = this.#queue.start(pick.lane, pick.slot, leaseId);
      this.#leave(run.job);
      const lease: Lease = { ...run, leaseId, startedAtMs: nowMs, isRequeued: false, isCancelled: false };
      this.#leasesById.set(leaseId, lease);
      this.#leasesByJob.set(run.job.jobId, lease);
      this.#forecast.observeStart(run.job, nowMs);
      this.#counts.assigned += 1;
      assignments.push({
        jobId: run.job.jobId,
        slotId: run.slot.slotId,
        clientId: run.job.clientId,
        leaseId,
        waitedMs: nowMs - run.job.submittedAtMs,
        isRequeued: run.job.requeuedTagMs !== Number.POSITIVE_INFINITY,
      });
    }
    this.#tell(assignments);
    return assignments;
  }

  /** Frees a slot and corrects the client's charge to the real holding time. False when it was free already or the lease is not its own. */
  release(slotId: string, { leaseId, heldMs, isCharged }: ReleaseOptions = {}): boolean {
    const nowMs = this.#turn();
    const slot = this.#slots.get(slotId);
    const lease = this.#leasesById.get(leaseId ?? slot?.leaseId ?? 0);
    if (slot === undefined || lease === undefined || lease.slot !== slot) return false;
    const realMs = Math.max(0, heldMs ?? nowMs - lease.startedAtMs);
    const isDue = isCharged ?? !lease.isRequeued;
    this.#queue.end(lease, isDue ? realMs : 0);
    this.#leasesById.delete(lease.leaseId);
    if (!lease.isRequeued) this.#leasesByJob.delete(lease.job.jobId);
    if (isDue) this.#forecast.observeHolding(lease.job.estimateMs, realMs);
    if (slot.isLeaving) {
      this.#slots.delete(slotId);
      this.invalidateEligibility();
    }
    return true;
  }

  /**
   * Puts a running job back at the place it had (429, another account …). It is never refused for a full queue. The slot
   * stays held: call `release` for it afterwards, not before, which also gives back the charge. False when the job is not
   * running or was cancelled.
   */
  requeue(jobId: string): boolean {
    this.#turn();
    const lease = this.#leasesByJob.get(jobId);
    if (lease === undefined || lease.isCancelled) return false;
    lease.isRequeued = true;
    this.#leasesByJob.delete(jobId);
    lease.job.requeuedTagMs = lease.startTagMs;
    this.#enter(lease.job);
    this.#counts.requeued += 1;
    return true;
  }

  /**
   * Takes out the jobs whose deadline has passed and gives their names. Call it from a timer set to `nextDeadlineMs` and
   * set the timer anew afterwards. After a blocked loop it first grants the lost time back and expires nothing (see
   * DeadlineClock): the answers that arrived meanwhile free slots for those jobs.
   */
  expire(): string[] {
    const expired: string[] = [];
    const untilMs = this.#clock.turnToExpire(this.#earliestDeadlineMs());
    if (untilMs === undefined) return expired;
    for (
      let job = this.#byDeadline.peek();
      job !== undefined && job.deadlineMs <= untilMs;
      job = this.#byDeadline.peek()
    ) {
      this.#leave(job);
      this.#queue.remove(job);
      expired.push(job.jobId);
    }
    this.#counts.expired += expired.length;
    return expired;
  }

  /** When `expire` has something to do next (monotonic); undefined when no queued job has a deadline. */
  nextDeadlineMs(): number | undefined {
    const earliest = this.#byDeadline.peek();
    return earliest === undefined ? undefined : this.#clock.toMonotonic(earliest.deadlineMs);
  }

  /** Queued jobs that no slot can serve any more, for the caller to cancel with a reason. */
  unservableJobIds(): string[] {
    const isServed = new Map<string, boolean>();
    const jobIds: string[] = [];
    for (const { jobId, classKey } of this.#queuedJobs.values()) {
      const served = isServed.get(classKey) ?? this.#queue.slotsServing(classKey).length > 0;
      isServed.set(classKey, served);
      if (!served) jobIds.push(jobId);
    }
    return jobIds;
  }

  /** Where a queued job stands and when it will start, by the newest forecast (at most one a second is made). */
  forecast(jobId: string): Forecast | undefined {
    const job = this.#queuedJobs.get(jobId);
    if (job === undefined) return undefined;
    return this.#forecast.of(job, this.#clock.now(), () => this.#leasesById.values());
  }

  /** As `forecast`, for every queued job. */
  forecastAll(): Map<string, Forecast> {
    const nowMs = this.#clock.now();
    const all = new Map<string, Forecast>();
    for (const job of this.#queuedJobs.values()) {
      all.set(
        job.jobId,
        this.#forecast.of(job, nowMs, () => this.#leasesById.values()),
      );
    }
    return all;
  }

  /** How long one more job of this client would wait, roughly and in O(1); at least a second. */
  retryAfterMs(clientId: string, classKey: string): number {
    return atLeastASecond(estimateWaitMs(this.#queue, clientId, classKey));
  }

  get stats(): SchedulerStats {
    return {
      queued: this.#queuedJobs.size,
      running: this.#leasesById.size,
      slots: this.#slots.size,
      idleSlots: this.#slots.countIdle(),
      clients: this.#queue.clientCount,
      queuedWorkMs: this.#queue.queuedWorkMs,
      virtualTimeMs: this.#queue.virtualTimeMs,
      ...this.#counts,
      refused: { ...this.#refused },
      blockedMs: this.#clock.blockedMs,
    };
  }

  #turn(): number {
    return this.#clock.turn(this.#earliestDeadlineMs());
  }

  #earliestDeadlineMs(): number {
    return this.#byDeadline.peek()?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  #enter(job: QueuedJob): void {
    this.#queuedJobs.set(job.jobId, job);
    if (job.deadlineMs < Number.POSITIVE_INFINITY) this.#byDeadline.push(job);
    this.#queue.enqueue(job);
  }

  #leave(job: QueuedJob): void {
    this.#queuedJobs.delete(job.jobId);
    if (job.deadlineIndex >= 0) this.#byDeadline.removeAt(job.deadlineIndex);
  }

  #refusal(job: Job, nowMs: number): { reason: RefusalReason; retryAfterMs: number } | undefined {
    const { clientId, classKey } = job;
    const slots = this.#queue.slotsServing(classKey);
    if (slots.length === 0) return { reason: 'no_slot_can_serve', retryAfterMs: NO_SLOT_RETRY_AFTER_MS };
    const queued = this.#queue.client(clientId)?.queued ?? 0;
    if (queued >= this.#queue.policyOf(clientId).maxQueued) {
      return {
        reason: 'client_queue_full',
        retryAfterMs: atLeastASecond(estimateTurnMs(this.#queue, classKey, clientId)),
      };
    }
    if (this.#queuedJobs.size >= this.#maxQueued) {
      return { reason: 'queue_full', retryAfterMs: atLeastASecond(estimateTurnMs(this.#queue, classKey)) };
    }
    const leftMs = job.deadlineMs - nowMs;
    if (leftMs < 0) return { reason: 'deadline_unmeetable', retryAfterMs: atLeastASecond(0) };
    if (leftMs === Number.POSITIVE_INFINITY || (queued === 0 && slots.some(isIdle))) return undefined;
    let waitMs = estimateWaitMs(this.#queue, clientId, classKey);
    if (waitMs > leftMs) {
      // The client's later deadlines do not count; they are only looked through when it matters.
      const aheadMs = workDueBeforeMs(this.#queue, clientId, this.#clock.toDeadlineTime(job.deadlineMs));
      waitMs = estimateWaitMs(this.#queue, clientId, classKey, aheadMs);
    }
    return waitMs <= leftMs
      ? undefined
      : { reason: 'deadline_unmeetable', retryAfterMs: atLeastASecond(waitMs - leftMs) };
  }

  /** One listener's failure must not keep the others' jobs from running: all are told, then the first failure is thrown. */
  #tell(assignments: readonly Assignment[]): void {
    const failures: unknown[] = [];
    for (const assignment of assignments) {
      try {
        this.#onAssign(assignment);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

function atLeastASecond(waitMs: number): number {
  return Math.max(1_000, Math.ceil(waitMs));
}

function checkPolicy({ weight, maxQueued, maxInFlight }: ClientPolicy): void {
  if (!(weight > 0 && weight < Number.POSITIVE_INFINITY))
    throw new RangeError(`A client's weight must be above 0, got ${weight}.`);
  if (!(maxQueued >= 0)) throw new RangeError(`A client's maxQueued must be 0 or more, got ${maxQueued}.`);
  if (!(maxInFlight >= 1)) throw new RangeError(`A client's maxInFlight must be 1 or more, got ${maxInFlight}.`);
}
