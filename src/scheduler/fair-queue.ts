// Start-time fair queueing over several slots: who is next, what it is charged, and what an idle client is still owed.
//
// SFQ(D) (Goyal, Vin, Cheng 1996; Jin, Chase, Kaur 2004): the waiting lane with the least start tag goes first; virtual
// time is the greatest start tag dispatched; a client that was idle starts there. A job is charged its estimate when it
// starts and the difference to its real holding time when it ends (guess and true-up, KEP-1040). Virtual time is kept
// per slot, and a class sees the greatest of its own slots, because clients that only some slots can serve advance more
// slowly than the rest (see Lane).

import { createClassState, createClientState, createLane, isLaneBefore, laneTagMs, startTagMs } from './lane.ts';
import type { ClassState, ClientState, Lane, QueuedJob } from './lane.ts';
import type { Band, ClientPolicy } from './scheduler-types.ts';
import { chooseIdleSlot, isIdle } from './slot-table.ts';
import type { Slot, SlotTable } from './slot-table.ts';

export interface FairQueueOptions {
  slots: SlotTable;
  bandOffsetsMs: Record<Band, number>;
  /** Whether a client that holds all usable slots but one lets others go first for the last one (with 4 slots or more). */
  sharesLastSlot: boolean;
  defaultPolicy: ClientPolicy;
}

/** A job on its slot, with what it was charged. */
export interface Running {
  readonly job: QueuedJob;
  readonly slot: Slot;
  readonly client: ClientState;
  readonly startTagMs: number;
  readonly weight: number;
  /** Virtual time charged so far for this run. */
  chargedMs: number;
}

const FEWEST_SLOTS_TO_SHARE = 4;
/** Debts of idle clients kept for each class. Virtual time stands still while only first-time clients are served. */
const MAX_RETIRED = 1_024;

export class FairQueue {
  readonly #slots: SlotTable;
  readonly #options: FairQueueOptions;
  readonly #policies = new Map<string, ClientPolicy>();
  readonly #clients = new Map<string, ClientState>();
  readonly #classes = new Map<string, ClassState>();
  #virtualTimeMs = 0;
  #queued = 0;
  #queuedWorkMs = 0;
  #running = 0;
  #activeWeight = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
    this.#slots = options.slots;
  }

  get queued(): number {
    return this.#queued;
  }

  /** Sum of the estimates of all queued jobs. */
  get queuedWorkMs(): number {
    return this.#queuedWorkMs;
  }

  /** Sum of the weights of the clients that have queued jobs. */
  get activeWeight(): number {
    return this.#activeWeight;
  }

  /** Greatest start tag dispatched on any slot; never falls. */
  get virtualTimeMs(): number {
    return this.#virtualTimeMs;
  }

  /** Clients in memory: those with something queued, running, or still owed. */
  get clientCount(): number {
    return this.#clients.size;
  }

  client(clientId: string): ClientState | undefined {
    return this.#clients.get(clientId);
  }

  policyOf(clientId: string): ClientPolicy {
    return this.#policies.get(clientId) ?? this.#options.defaultPolicy;
  }

  /** Sets or (with undefined) forgets a client's policy. Work already charged keeps the weight it was charged with. */
  setPolicy(clientId: string, policy: ClientPolicy | undefined): void {
    if (policy === undefined) this.#policies.delete(clientId);
    else this.#policies.set(clientId, policy);
    const client = this.#clients.get(clientId);
    if (client === undefined) return;
    const wasCapped = isCapped(client);
    if (client.queued > 0) this.#activeWeight -= client.policy.weight;
    client.policy = this.policyOf(clientId);
    if (client.queued > 0) this.#activeWeight += client.policy.weight;
    if (wasCapped && !isCapped(client)) for (const lane of client.lanes) catchUp(lane);
    refresh(client);
  }

  /** The slots that can serve this class now; empty when none can. */
  slotsServing(classKey: string): readonly Slot[] {
    return this.#classes.get(classKey)?.slots ?? this.#slots.serving(classKey);
  }

  /** Classes with lanes, for callers that look for jobs nobody can serve. */
  get classes(): IterableIterator<ClassState> {
    return this.#classes.values();
  }

  /** Asks every slot again what it can serve. A class that gains slots joins their virtual time, all lanes alike. */
  reviewEligibility(): void {
    const gainsMs = new Map<ClassState, number>();
    for (const classState of this.#classes.values()) {
      classState.slots = this.#slots.serving(classState.classKey);
      const gainMs = this.#virtualTimeOver(classState.slots) - classState.virtualTimeMs;
      if (classState.slots.length === 0 || gainMs <= 0) continue;
      classState.virtualTimeMs += gainMs;
      gainsMs.set(classState, gainMs);
    }
    if (gainsMs.size === 0) return;
    for (const client of this.#clients.values()) {
      for (const lane of client.lanes) lane.offsetMs += gainsMs.get(lane.classState) ?? 0;
      refresh(client);
    }
  }

  /** Adds a waiting job to its client's lane. */
  enqueue(job: QueuedJob): void {
    const client = this.#clientFor(job.clientId);
    const lane = this.#laneFor(client, job);
    if (lane.jobs.size === 0) catchUp(lane);
    if (client.queued === 0) this.#activeWeight += client.policy.weight;
    lane.jobs.push(job);
    client.queued += 1;
    client.queuedWorkMs += job.estimateMs;
    this.#queued += 1;
    this.#queuedWorkMs += job.estimateMs;
    refreshLane(lane);
  }

  /** Takes a waiting job out without running it. */
  remove(job: QueuedJob): void {
    const lane = this.#laneFor(this.#clientFor(job.clientId), job);
    lane.jobs.removeAt(job.laneIndex);
    refreshLane(lane);
    this.#afterLeaving(lane, job);
  }

  /** The job to start now and the slot for it; undefined when no idle slot can serve anything that waits. */
  pickNext(): { lane: Lane; slot: Slot } | undefined {
    let lane = this.#leastLane();
    if (lane === undefined) return undefined;
    if (this.#options.sharesLastSlot) lane = this.#orSomeoneElse(lane);
    const slot = chooseIdleSlot(lane.classState.slots);
    return slot === undefined ? undefined : { lane, slot };
  }

  /** Starts the lane's first job on the slot: charges the estimate and moves virtual time. */
  start(lane: Lane, slot: Slot, leaseId: number): Running {
    const { client } = lane;
    const tagMs = startTagMs(lane);
    const job = lane.jobs.pop();
    if (job === undefined)
      throw new Error(`Client "${client.clientId}" has no job to start in class "${lane.classState.classKey}".`);
    this.#slots.occupy(slot, leaseId);
    const { weight } = client.policy;
    const chargedMs = job.estimateMs / weight;
    client.chargeMs += chargedMs;
    client.inFlight += 1;
    this.#running += 1;
    refresh(client);
    this.#afterLeaving(lane, job);
    this.#advance(slot, tagMs);
    return { job, slot, client, startTagMs: tagMs, weight, chargedMs };
  }

  /** Ends the run's hold on its slot and corrects its charge to `heldMs` of slot time. */
  end(run: Running, heldMs: number): void {
    const { client, slot } = run;
    const wasCapped = isCapped(client);
    const dueMs = heldMs / run.weight;
    client.chargeMs += dueMs - run.chargedMs;
    run.chargedMs = dueMs;
    client.inFlight -= 1;
    this.#running -= 1;
    slot.leaseId = 0;
    if (wasCapped && !isCapped(client)) for (const lane of client.lanes) catchUp(lane, run.job.estimateMs / run.weight);
    refresh(client);
    if (client.inFlight === 0) for (const lane of client.lanes.slice()) if (lane.jobs.size === 0) this.#retire(lane);
    if (this.#running === 0 && this.#queued === 0) this.#forgetAll();
  }

  /**
   * The same queue on copied slots, to play some starts forward. Jobs are shared and not written to. Of each class only
   * the clients of the foremost lanes are there, as many as there are starts to play: the others could not be reached.
   */
  copy(slots: SlotTable, { starts, running }: { starts: number; running: readonly Running[] }): FairQueue {
    const copy = new FairQueue({ ...this.#options, slots });
    copy.#virtualTimeMs = this.#virtualTimeMs;
    copy.#queued = this.#queued;
    copy.#queuedWorkMs = this.#queuedWorkMs;
    copy.#activeWeight = this.#activeWeight;
    copy.#running = this.#running;
    for (const client of this.#foremostClients(starts, running)) {
      const copiedClient: ClientState = { ...client, lanes: [] };
      copy.#clients.set(client.clientId, copiedClient);
      for (const lane of client.lanes) {
        if (lane.jobs.size === 0) continue;
        const classState = copy.#classFor(lane.classState.classKey, lane.classState.virtualTimeMs);
        const { band, bandOffsetMs, offsetMs } = lane;
        refreshLane(createLane(copiedClient, classState, { band, bandOffsetMs, offsetMs, jobs: lane.jobs.copy() }));
      }
    }
    return copy;
  }

  /** Clients with one of the first `count` ready lanes of a class, and all that hold a slot. */
  #foremostClients(count: number, running: readonly Running[]): Set<ClientState> {
    const clients = new Set(running.map(({ client }) => client));
    for (const { ready } of this.#classes.values()) for (const { client } of ready.smallest(count)) clients.add(client);
    return clients;
  }

  #leastLane(): Lane | undefined {
    let least: Lane | undefined;
    for (const classState of this.#classes.values()) {
      const lane = classState.ready.peek();
      if (lane === undefined || !classState.slots.some(isIdle)) continue;
      if (
        least === undefined ||
        lane.keyMs < least.keyMs ||
        (lane.keyMs === least.keyMs && isLaneBefore(lane, least))
      ) {
        least = lane;
      }
    }
    return least;
  }

  /**
   * The operator's rule "at most M-1 slots for one client": when the lane's client holds all usable slots but one, and
   * somebody else's job could take the last, that one goes first, and the client passed over is owed nothing for it.
   * Where nobody else can use the slot the client gets it: no slot idles while work waits (I3).
   */
  #orSomeoneElse(lane: Lane): Lane {
    const { client } = lane;
    const usable = this.#slots.countUsable();
    if (usable < FEWEST_SLOTS_TO_SHARE || client.inFlight < usable - 1) return lane;
    const own = client.lanes.filter((each) => each.readyIndex >= 0);
    for (const each of own) each.classState.ready.removeAt(each.readyIndex);
    const other = this.#leastLane();
    if (other !== undefined) {
      const otherTagMs = startTagMs(other);
      for (const each of own) each.offsetMs = Math.max(each.offsetMs, otherTagMs - client.chargeMs);
    }
    for (const each of own) refreshLane(each);
    return other ?? lane;
  }

  #advance(slot: Slot, tagMs: number): void {
    this.#virtualTimeMs = Math.max(this.#virtualTimeMs, tagMs);
    if (tagMs <= slot.virtualTimeMs) return;
    slot.virtualTimeMs = tagMs;
    for (const classState of this.#classes.values()) {
      if (classState.virtualTimeMs >= tagMs || !classState.slots.includes(slot)) continue;
      classState.virtualTimeMs = tagMs;
      for (let lane = classState.retired.peek(); lane !== undefined; lane = classState.retired.peek()) {
        if (laneTagMs(lane) > tagMs) break;
        this.#forget(lane);
      }
    }
  }

  #afterLeaving(lane: Lane, job: QueuedJob): void {
    const { client } = lane;
    client.queued -= 1;
    client.queuedWorkMs -= job.estimateMs;
    this.#queued -= 1;
    this.#queuedWorkMs -= job.estimateMs;
    if (client.queued === 0) {
      this.#activeWeight -= client.policy.weight;
      client.queuedWorkMs = 0;
    }
    if (this.#queued === 0) {
      this.#activeWeight = 0;
      this.#queuedWorkMs = 0;
    }
    if (lane.jobs.size === 0 && client.inFlight === 0) this.#retire(lane);
    if (this.#running === 0 && this.#queued === 0) this.#forgetAll();
  }

  #retire(lane: Lane): void {
    if (laneTagMs(lane) <= lane.classState.virtualTimeMs) this.#forget(lane);
    else if (lane.retiredIndex < 0) {
      const { retired } = lane.classState;
      retired.push(lane);
      // Of those that owe, the one that owes least is let off first.
      const least = retired.peek();
      if (retired.size > MAX_RETIRED && least !== undefined) this.#forget(least);
    }
  }

  #forget(lane: Lane): void {
    const { client, classState } = lane;
    if (lane.retiredIndex >= 0) classState.retired.removeAt(lane.retiredIndex);
    client.lanes = client.lanes.filter((each) => each !== lane);
    classState.laneCount -= 1;
    if (classState.laneCount === 0) this.#classes.delete(classState.classKey);
    if (client.lanes.length === 0 && client.inFlight === 0) this.#clients.delete(client.clientId);
  }

  /** With nothing queued or running a busy period is over and nobody owes anybody anything. */
  #forgetAll(): void {
    this.#clients.clear();
    this.#classes.clear();
  }

  #clientFor(clientId: string): ClientState {
    let client = this.#clients.get(clientId);
    if (client === undefined) {
      client = createClientState(clientId, this.policyOf(clientId));
      this.#clients.set(clientId, client);
    }
    return client;
  }

  #classFor(classKey: string, virtualTimeMs?: number): ClassState {
    let classState = this.#classes.get(classKey);
    if (classState === undefined) {
      const slots = this.#slots.serving(classKey);
      classState = createClassState(classKey, slots, virtualTimeMs ?? this.#virtualTimeOver(slots));
      this.#classes.set(classKey, classState);
    }
    return classState;
  }

  #laneFor(client: ClientState, { classKey, band }: QueuedJob): Lane {
    const known = client.lanes.find((lane) => lane.classState.classKey === classKey && lane.band === band);
    return (
      known ?? createLane(client, this.#classFor(classKey), { band, bandOffsetMs: this.#options.bandOffsetsMs[band] })
    );
  }

  #virtualTimeOver(slots: readonly Slot[]): number {
    if (slots.length === 0) return this.#virtualTimeMs;
    return slots.reduce((greatest, slot) => Math.max(greatest, slot.virtualTimeMs), 0);
  }
}

function isCapped(client: ClientState): boolean {
  return client.inFlight >= client.policy.maxInFlight;
}

/**
 * A lane that was empty, or whose client was at its cap, joins at the current virtual time: no credit for idling. A client
 * that gets exactly what its cap allows would lose a little at each turn, so it may fall behind by one job (`creditMs`).
 */
function catchUp(lane: Lane, creditMs = 0): void {
  lane.offsetMs = Math.max(lane.offsetMs, lane.classState.virtualTimeMs - lane.client.chargeMs - creditMs);
}

/** Brings all lanes of a client to their places after its charge, cap or jobs changed. */
function refresh(client: ClientState): void {
  for (const lane of client.lanes) refreshLane(lane);
}

/** One lane at a time: the heaps order by the stored key, so that only this lane is ever out of place. */
function refreshLane(lane: Lane): void {
  const { ready, retired } = lane.classState;
  const { client } = lane;
  const head = lane.jobs.peek();
  lane.keyMs = head === undefined ? laneTagMs(lane) : startTagMs(lane) + lane.bandOffsetMs;
  lane.headSequence = head?.sequence ?? 0;
  const isReady = head !== undefined && !isCapped(client);
  const isRetired = lane.retiredIndex >= 0 && head === undefined && client.inFlight === 0;
  if (isRetired) retired.updateAt(lane.retiredIndex);
  else if (lane.retiredIndex >= 0) retired.removeAt(lane.retiredIndex);
  if (!isReady) {
    if (lane.readyIndex >= 0) ready.removeAt(lane.readyIndex);
  } else if (lane.readyIndex >= 0) ready.updateAt(lane.readyIndex);
  else ready.push(lane);
}
