// A plain model that watches a scheduler through any sequence of calls and knows what must never happen.

import type { Assignment, FairScheduler, Job } from '../../../src/scheduler/fair-scheduler.ts';

export type Rule = 'I1' | 'I3' | 'lost' | 'virtual time' | 'place' | 'forecast';

/** A broken promise, named for the rule. */
export class BrokenRule extends Error {
  readonly rule: Rule;

  constructor(rule: Rule, what: string) {
    super(`${rule}: ${what}`);
    this.rule = rule;
  }
}

export type Command =
  | { kind: 'submit'; client: number; isPaid: boolean; isBatch: boolean; estimateMs: number; deadlineMs: number | null }
  | { kind: 'release'; pick: number; heldPart: number }
  | { kind: 'requeue' | 'cancel' | 'toggle slot' | 'toggle paid' | 'remove slot'; pick: number }
  | { kind: 'cap'; client: number; maxInFlight: number; weight: number }
  | { kind: 'wait'; forMs: number };

interface WatchedSlot {
  readonly slotId: string;
  isPaid: boolean;
  isAvailable: boolean;
  isLeaving: boolean;
  jobId: string | undefined;
  leaseId: number;
  /** Client that holds the slot, also after its job was put back. */
  holder: string;
}

interface WatchedJob extends Job {
  state: 'queued' | 'running' | 'done' | 'cancelled' | 'expired';
  isRequeued: boolean;
}

const CLIENTS = 4;
const SLOTS = 4;

/** Runs commands against the scheduler, dispatching after each as a caller does, and throws BrokenRule at the first breach. */
export class SchedulerTruth {
  readonly clock = { nowMs: 0 };
  readonly #scheduler: FairScheduler;
  readonly #rules: ReadonlySet<Rule>;
  readonly #slots = new Map<string, WatchedSlot>();
  readonly #jobs = new Map<string, WatchedJob>();
  readonly #caps = new Map<string, number>();
  #virtualTimeMs = 0;
  assignments = 0;
  requeues = 0;

  constructor(create: (nowMs: () => number) => FairScheduler, rules: readonly Rule[]) {
    this.#scheduler = create(() => this.clock.nowMs);
    this.#rules = new Set(rules);
    for (let slot = 0; slot < SLOTS; slot += 1) this.#addSlot(`slot ${slot}`, slot === 0);
  }

  apply(command: Command): void {
    if (command.kind === 'submit') this.#submit(command);
    else if (command.kind === 'wait') this.clock.nowMs += command.forMs;
    else if (command.kind === 'cap') {
      const clientId = `client ${command.client % CLIENTS}`;
      this.#caps.set(clientId, command.maxInFlight);
      this.#scheduler.setClient(clientId, { ...command, maxQueued: Number.POSITIVE_INFINITY });
    } else this.#disturb(command);
    for (const jobId of this.#scheduler.expire()) this.#end(jobId, 'expired');
    this.#dispatch();
  }

  /** Brings all slots back and lets everything run to its end: nothing may be left over. */
  finish(): void {
    for (let slot = 0; slot < SLOTS; slot += 1) this.#addSlot(`slot ${slot}`, true);
    for (let client = 0; client < CLIENTS; client += 1) this.apply({ kind: 'cap', client, maxInFlight: 10, weight: 1 });
    for (let round = 0; round <= this.#jobs.size; round += 1) {
      for (const slot of this.#slots.values()) if (slot.leaseId > 0) this.#release(slot, 1);
      this.#dispatch();
    }
    for (const { jobId, state } of this.#jobs.values()) {
      if (state === 'queued' || state === 'running')
        this.#fail('lost', `${jobId} was accepted and is ${state} for ever`);
    }
    const { queued, running, clients } = this.#scheduler.stats;
    if (queued + running + clients > 0) {
      this.#fail('lost', `left over: ${queued} queued, ${running} running, ${clients} clients in memory`);
    }
  }

  #fail(rule: Rule, what: string): void {
    if (this.#rules.has(rule)) throw new BrokenRule(rule, what);
  }

  #submit({ client, isPaid, isBatch, estimateMs, deadlineMs }: Extract<Command, { kind: 'submit' }>): void {
    const job: Job = {
      jobId: `job ${this.#jobs.size}`,
      clientId: `client ${client % CLIENTS}`,
      classKey: isPaid ? 'paid' : 'free',
      estimateMs,
      band: isBatch ? 'batch' : 'interactive',
      deadlineMs: deadlineMs === null ? Number.POSITIVE_INFINITY : this.clock.nowMs + deadlineMs,
    };
    if (this.#scheduler.submit(job).isAccepted)
      this.#jobs.set(job.jobId, { ...job, state: 'queued', isRequeued: false });
  }

  #disturb(command: Extract<Command, { pick: number }>): void {
    const slot = [...this.#slots.values()][command.pick % SLOTS];
    const job = [...this.#jobs.values()][command.pick % Math.max(1, this.#jobs.size)];
    if (slot === undefined) return;
    if (command.kind === 'release') this.#release(slot, command.heldPart);
    else if (command.kind === 'requeue') this.#requeue(slot);
    else if (command.kind === 'cancel' && job !== undefined) {
      const was = this.#scheduler.cancel(job.jobId);
      if (was === 'queued') this.#end(job.jobId, 'cancelled');
      if (was === 'unknown' && (job.state === 'queued' || job.state === 'running')) {
        this.#fail('lost', `${job.jobId} is ${job.state} but unknown to the scheduler`);
      }
    } else if (command.kind === 'toggle slot') {
      slot.isAvailable = !slot.isAvailable;
      this.#scheduler.updateSlot(slot.slotId, { isAvailable: slot.isAvailable });
    } else if (command.kind === 'toggle paid') {
      slot.isPaid = !slot.isPaid;
      this.#scheduler.invalidateEligibility();
    } else if (command.kind === 'remove slot') this.#toggleSlot(slot);
  }

  #toggleSlot(slot: WatchedSlot): void {
    if (slot.isLeaving) this.#addSlot(slot.slotId, slot.isPaid);
    else {
      slot.isLeaving = true;
      this.#scheduler.removeSlot(slot.slotId);
    }
  }

  #addSlot(slotId: string, isPaid: boolean): void {
    const slot = this.#slots.get(slotId) ?? {
      slotId,
      isPaid,
      isAvailable: true,
      isLeaving: true,
      jobId: undefined,
      leaseId: 0,
      holder: '',
    };
    this.#slots.set(slotId, slot);
    Object.assign(slot, { isPaid, isAvailable: true });
    if (slot.isLeaving) {
      slot.isLeaving = false;
      this.#scheduler.addSlot(slotId, { capability: isPaid ? 2 : 1, canServe: (key) => key === 'free' || slot.isPaid });
    } else this.#scheduler.updateSlot(slotId, { isAvailable: true });
    this.#scheduler.invalidateEligibility();
  }

  #release(slot: WatchedSlot, heldPart: number): void {
    if (slot.leaseId === 0) return;
    const job = slot.jobId === undefined ? undefined : this.#jobs.get(slot.jobId);
    const heldMs = (job?.estimateMs ?? 1) * heldPart;
    this.clock.nowMs += heldMs;
    if (!this.#scheduler.release(slot.slotId, { leaseId: slot.leaseId, heldMs })) {
      this.#fail('I1', `${slot.slotId} was free already when its job ended`);
    }
    if (job !== undefined) this.#end(job.jobId, 'done');
    slot.jobId = undefined;
    slot.leaseId = 0;
  }

  #requeue(slot: WatchedSlot): void {
    const job = this.#jobs.get(slot.jobId ?? '');
    if (job === undefined || !this.#scheduler.requeue(job.jobId)) return;
    job.state = 'queued';
    job.isRequeued = true;
    slot.jobId = undefined;
    this.requeues += 1;
  }

  #end(jobId: string, state: WatchedJob['state']): void {
    const job = this.#jobs.get(jobId);
    if (job !== undefined) job.state = state;
  }

  #dispatch(): void {
    for (const assignment of this.#scheduler.dispatch()) this.#accept(assignment);
    const { virtualTimeMs } = this.#scheduler.stats;
    if (virtualTimeMs < this.#virtualTimeMs)
      this.#fail('virtual time', `fell from ${this.#virtualTimeMs} to ${virtualTimeMs}`);
    this.#virtualTimeMs = virtualTimeMs;
    this.#checkNothingIdles();
    if (this.#rules.has('forecast')) this.#checkForecast();
  }

  #accept({ jobId, slotId, leaseId }: Assignment): void {
    const slot = this.#slots.get(slotId);
    const job = this.#jobs.get(jobId);
    if (slot === undefined || job === undefined) throw new Error(`Nothing is known of ${jobId} or ${slotId}.`);
    if (slot.leaseId !== 0) this.#fail('I1', `${slotId} got ${jobId} while it was held for ${slot.jobId}`);
    if (job.state !== 'queued') this.#fail('I1', `${jobId} was started while ${job.state}`);
    if (!this.#canTake(slot, job)) this.#fail('I1', `${slotId} cannot serve ${jobId}`);
    if (!job.isRequeued) {
      for (const other of this.#jobs.values()) {
        const isSameLane =
          other.clientId === job.clientId && other.classKey === job.classKey && other.band === job.band;
        if (isSameLane && other.state === 'queued' && other.isRequeued) {
          this.#fail('place', `${jobId} went past ${other.jobId}, which had started before it`);
        }
      }
    }
    job.state = 'running';
    slot.jobId = jobId;
    slot.leaseId = leaseId;
    slot.holder = job.clientId;
    this.assignments += 1;
  }

  #canTake(slot: WatchedSlot, job: Job): boolean {
    return slot.isAvailable && !slot.isLeaving && (job.classKey === 'free' || slot.isPaid);
  }

  /** I3, by going through every idle slot and every queued job. */
  #checkNothingIdles(): void {
    const held = [...this.#slots.values()].filter((slot) => slot.leaseId !== 0);
    const inFlight = Map.groupBy(held, (slot) => slot.holder);
    for (const slot of this.#slots.values()) {
      if (slot.leaseId !== 0) continue;
      for (const job of this.#jobs.values()) {
        if (job.state !== 'queued' || !this.#canTake(slot, job)) continue;
        const holds = inFlight.get(job.clientId)?.length ?? 0;
        if (holds >= (this.#caps.get(job.clientId) ?? Number.POSITIVE_INFINITY)) continue;
        this.#fail('I3', `${slot.slotId} idles while ${job.jobId} waits`);
      }
    }
  }

  /** A forecast names every queued job, in a sensible order, and (by the other rules) disturbs nothing. */
  #checkForecast(): void {
    const forecasts = this.#scheduler.forecastAll();
    for (const { jobId, state } of this.#jobs.values()) {
      const forecast = forecasts.get(jobId);
      if ((forecast !== undefined) !== (state === 'queued')) this.#fail('forecast', `${jobId} is ${state}`);
      if (forecast === undefined) continue;
      const { position, etaP50Ms, etaP90Ms } = forecast;
      if (!(position >= 1 && etaP50Ms >= 0 && etaP90Ms >= etaP50Ms)) {
        this.#fail('forecast', `${jobId}: position ${position}, p50 ${etaP50Ms}, p90 ${etaP90Ms}`);
      }
    }
  }
}
