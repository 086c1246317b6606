// The parts the fair queue is made of: waiting jobs, lanes (one client's jobs of one class and band), clients, classes.

import { IndexedHeap } from './indexed-heap.ts';
import type { Band, ClientPolicy } from './scheduler-types.ts';
import type { Slot } from './slot-table.ts';

/** A forecast as it was before calibration. */
interface Promised {
  readonly atMs: number;
  readonly depth: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
}

/** A job while the scheduler knows it. */
export interface QueuedJob {
  readonly jobId: string;
  readonly clientId: string;
  readonly classKey: string;
  readonly band: Band;
  readonly estimateMs: number;
  /** In the deadline clock's time, which leaves out time the event loop was blocked. */
  readonly deadlineMs: number;
  /** Order of arrival. */
  readonly sequence: number;
  readonly submittedAtMs: number;
  /** Start tag it had when it was assigned and came back; `Infinity` while it never was. */
  requeuedTagMs: number;
  /** What some forecasts said of it, to be compared with what came true. */
  promises: Promised[] | undefined;
  laneIndex: number;
  deadlineIndex: number;
}

/**
 * One client's waiting jobs of one class and band. Its start tag is the client's charge plus the lane's offset: the
 * charge is common to all lanes of a client, so service in one class counts in every other, while the offset says
 * where the lane joined the virtual time of its class. A lane held back only because the slots of its class are few
 * therefore falls behind without gaining credit on slots of other classes.
 */
export interface Lane {
  readonly client: ClientState;
  readonly classState: ClassState;
  readonly band: Band;
  readonly bandOffsetMs: number;
  readonly jobs: IndexedHeap<QueuedJob>;
  offsetMs: number;
  /** Order in its heap, kept in step by the fair queue: start tag plus band offset while jobs wait, else the tag alone. */
  keyMs: number;
  /** Arrival of its first job, kept in step likewise. */
  headSequence: number;
  readyIndex: number;
  retiredIndex: number;
}

/** A client with anything queued, running or still owed. */
export interface ClientState {
  readonly clientId: string;
  policy: ClientPolicy;
  /** Virtual time charged since this record began: slot-milliseconds divided by weight. */
  chargeMs: number;
  lanes: Lane[];
  queued: number;
  queuedWorkMs: number;
  inFlight: number;
}

/** One eligibility class: the slots that can serve it and the lanes that wait for them. */
export interface ClassState {
  readonly classKey: string;
  slots: Slot[];
  /** Lanes with jobs whose client is below its cap. */
  readonly ready: IndexedHeap<Lane>;
  /** Empty lanes whose tag is still ahead of the virtual time, so that leaving and coming back pays no debt. */
  readonly retired: IndexedHeap<Lane>;
  laneCount: number;
  /** Greatest start tag dispatched on any of its slots; never falls. */
  virtualTimeMs: number;
}

/** Inside one client: those that come back keep their place, then earliest deadline, then arrival. */
export function isJobBefore(a: QueuedJob, b: QueuedJob): boolean {
  if (a.requeuedTagMs !== b.requeuedTagMs) return a.requeuedTagMs < b.requeuedTagMs;
  if (a.deadlineMs !== b.deadlineMs) return a.deadlineMs < b.deadlineMs;
  return a.sequence < b.sequence;
}

function laneKeyMs(lane: Lane): number {
  return lane.keyMs;
}

/** Among lanes of equal key: the one whose first job arrived first. */
export function isLaneBefore(a: Lane, b: Lane): boolean {
  return a.headSequence < b.headSequence;
}

/** Virtual time at which the lane's next job starts: where the client's service so far has brought it. */
export function laneTagMs(lane: Lane): number {
  return lane.client.chargeMs + lane.offsetMs;
}

/** As `laneTagMs`, but a job that came back keeps the tag it had. */
export function startTagMs(lane: Lane): number {
  return Math.min(laneTagMs(lane), lane.jobs.peek()?.requeuedTagMs ?? Number.POSITIVE_INFINITY);
}

export function createClientState(clientId: string, policy: ClientPolicy): ClientState {
  return { clientId, policy, chargeMs: 0, lanes: [], queued: 0, queuedWorkMs: 0, inFlight: 0 };
}

export function createClassState(classKey: string, slots: Slot[], virtualTimeMs: number): ClassState {
  return {
    classKey,
    slots,
    ready: new IndexedHeap<Lane>({
      keyOf: laneKeyMs,
      isBefore: isLaneBefore,
      onMove: (lane, index) => {
        lane.readyIndex = index;
      },
    }),
    retired: new IndexedHeap<Lane>({
      keyOf: laneKeyMs,
      isBefore: isLaneBefore,
      onMove: (lane, index) => {
        lane.retiredIndex = index;
      },
    }),
    laneCount: 0,
    virtualTimeMs,
  };
}

/** A lane of `client` in `classState`, entered in both. `jobs` is given when a lane is copied. */
export function createLane(
  client: ClientState,
  classState: ClassState,
  {
    band,
    bandOffsetMs,
    jobs,
    offsetMs = 0,
  }: { band: Band; bandOffsetMs: number; jobs?: IndexedHeap<QueuedJob>; offsetMs?: number },
): Lane {
  const lane: Lane = {
    client,
    classState,
    band,
    bandOffsetMs,
    jobs:
      jobs ??
      new IndexedHeap<QueuedJob>({
        keyOf: (job) => job.requeuedTagMs,
        isBefore: isJobBefore,
        onMove: (job, index) => {
          job.laneIndex = index;
        },
      }),
    offsetMs,
    keyMs: 0,
    headSequence: 0,
    readyIndex: -1,
    retiredIndex: -1,
  };
  client.lanes.push(lane);
  classState.laneCount += 1;
  return lane;
}
