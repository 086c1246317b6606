// The words the scheduler and its callers share: what a job is, what a client may do, what goes in and what comes out.

/** How urgent a job is. A band is a head start in virtual time, never a strict class: nothing starves (design 4). */
export type Band = 'interactive' | 'batch';

/** What one client may take of the slots. */
export interface ClientPolicy {
  /** Share of slot time relative to the other clients; greater than 0. */
  weight: number;
  /** Most jobs that may wait at once; further ones are refused. `Infinity` for no limit. */
  maxQueued: number;
  /** Most slots held at once. `Infinity` for no limit. */
  maxInFlight: number;
}

/** One piece of work that needs one slot for a while. */
export interface Job {
  jobId: string;
  clientId: string;
  /** Names the slots that can run it: jobs of one key are served by the same slots (free, paid, text …). */
  classKey: string;
  /** Guess of how long it will hold a slot; charged at dispatch and corrected at release. */
  estimateMs: number;
  band: Band;
  /** Latest monotonic time at which it may still leave the queue. `Infinity` for none. */
  deadlineMs: number;
}

/** A job that now holds a slot. */
export interface Assignment {
  jobId: string;
  slotId: string;
  clientId: string;
  /** Names this holding of the slot; give it back to `release` so that a late second release frees nobody else's slot. */
  leaseId: number;
  /** Time from the first submission to this assignment. */
  waitedMs: number;
  /** Whether it had been assigned before and came back. */
  isRequeued: boolean;
}

/** Why a job was refused at once. */
export type RefusalReason = 'client_queue_full' | 'queue_full' | 'deadline_unmeetable' | 'no_slot_can_serve';

/** The answer to a submission. `position` counts inside the client's own queue, 1 = its next. */
export type Submission =
  | { isAccepted: true; position: number }
  | { isAccepted: false; reason: RefusalReason; retryAfterMs: number };

/** When a queued job is expected to start, counted from now. `Infinity` where no slot is in sight. */
export interface Forecast {
  /** Place in the order in which jobs will start, over all clients; 1 = next. */
  position: number;
  etaP50Ms: number;
  etaP90Ms: number;
}

export interface FairSchedulerOptions {
  /** Monotonic milliseconds from any origin. */
  nowMs: () => number;
  /** Most jobs that may wait in all; further ones are refused. */
  maxQueued: number;
  /** Head start of each band in virtual milliseconds (slot time of a client of weight 1): greater = later. */
  bandOffsetsMs?: Record<Band, number>;
  /** Policy of clients for which `setClient` was not called. */
  defaultPolicy?: ClientPolicy;
  /** The operator's choice "at most M-1 slots for one client when M is at least 4 and others wait". */
  sharesLastSlot?: boolean;
  /** Called once for each assignment, after the scheduler's state is settled; it may call the scheduler back. */
  onAssign?: (assignment: Assignment) => void;
}

export interface ReleaseOptions {
  /** The assignment's lease. Given and no longer the slot's, the call is a late repeat and does nothing. */
  leaseId?: number;
  /** Time the slot was really held; the default is the time since the assignment. */
  heldMs?: number;
  /** Whether the client is charged for it; the default is yes, unless the job was requeued. */
  isCharged?: boolean;
}

/** Changes to a slot's state. */
export interface SlotUpdate {
  /** False while the account cools, drains, is refreshed or disabled: it gets no further job. */
  isAvailable?: boolean;
  /** When an unavailable slot is expected back (monotonic); read by the forecast only. */
  availableAtMs?: number;
  capability?: number;
}

export interface SchedulerStats {
  queued: number;
  running: number;
  slots: number;
  idleSlots: number;
  /** Clients in memory: with something queued, running, or a debt that virtual time has not passed yet. */
  clients: number;
  queuedWorkMs: number;
  virtualTimeMs: number;
  assigned: number;
  cancelled: number;
  expired: number;
  requeued: number;
  refused: Record<RefusalReason, number>;
  /** Time granted back to deadlines because the event loop was blocked. */
  blockedMs: number;
}
