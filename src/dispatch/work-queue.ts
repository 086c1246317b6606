// Where requests wait for an account: binds the pure schedulers to the accounts' slots and to the clock.
import type { Account } from '../accounts/account.ts';
import type { AccountPool } from '../accounts/account-pool.ts';
import { SLOT_KINDS, type SlotKind, type WorkClass } from '../accounts/work-class.ts';
import { queuePolicy } from '../clients/queue-policy.ts';
import type { Clock } from '../lib/clock.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import { FairScheduler, type Assignment, type Submission } from '../scheduler/fair-scheduler.ts';
import type { GenerationRequest, RequestingClient } from './generation-request.ts';

export interface WorkQueueOptions {
  pool: AccountPool;
  clock: Clock;
  /** Most requests that may wait, in all and per client. */
  limit: number;
  limitPerClient: number;
}

/** The right to use one account's slot until `release`. */
export interface Lease {
  readonly account: Account;
  readonly kind: SlotKind;
  /** From the request's arrival to this lease. */
  readonly waitedMs: number;
  /** Gives the slot back; `isUsed` false when nothing was sent, so that the client is not charged for the time. */
  release(options?: { isUsed?: boolean }): void;
}

interface Waiter {
  request: GenerationRequest;
  grant: (lease: Lease) => void;
  refuse: (error: ProxyError) => void;
}

interface Slot {
  slotId: string;
  account: Account;
  kind: SlotKind;
}

/** Work classes are few (one per distinct price); forgotten ones would only cost a look-up that nobody makes. */
export class WorkQueue {
  readonly #pool: AccountPool;
  readonly #clock: Clock;
  readonly #schedulers: Readonly<Record<SlotKind, FairScheduler>>;
  readonly #slots = new Map<string, Slot>();
  readonly #classes = new Map<string, WorkClass>();
  readonly #waiters = new Map<string, Waiter>();
  readonly #limitPerClient: number;
  /** The settings under which each client was last seen; those it has now replace them as it comes. */
  readonly #clients = new Map<string, RequestingClient>();
  #isStopped = false;
  #stopExpiry: () => void = () => undefined;
  #expiryAtMs = Infinity;

  constructor({ pool, clock, limit, limitPerClient }: WorkQueueOptions) {
    this.#pool = pool;
    this.#clock = clock;
    this.#limitPerClient = limitPerClient;
    const newScheduler = (kind: SlotKind) =>
      new FairScheduler({
        nowMs: () => clock.monotonicMs(),
        maxQueued: limit,
        defaultPolicy: { weight: 1, maxQueued: limitPerClient, maxInFlight: Infinity },
        onAssign: (assignment) => this.#onAssign(kind, assignment),
      });
    this.#schedulers = { image: newScheduler('image'), text: newScheduler('text') };
  }

  /** Adds an account's slots: as many of each kind as it may run at once. */
  addAccount(account: Account): void {
    for (const kind of SLOT_KINDS)
      for (let index = 0; index < account.concurrency; index += 1) {
        const slotId = `${account.name}/${kind}/${index}`;
        this.#slots.set(slotId, { slotId, account, kind });
        this.#schedulers[kind].addSlot(slotId, {
          capability: account.balance.anlas ?? 0,
          canServe: (classKey) => {
            const work = this.#classes.get(classKey);
            return work !== undefined && this.#pool.mayServe(account, work);
          },
        });
      }
    this.onAccountChange(account);
  }

  removeAccount(account: Account): void {
    for (const [slotId, slot] of this.#slots)
      if (slot.account === account) {
        this.#slots.delete(slotId);
        this.#schedulers[slot.kind].removeSlot(slotId);
      }
    this.#dispatchAll();
  }

  /** To be told of every change of an account's state, balance or health. */
  onAccountChange(account: Account): void {
    for (const { slotId, account: owner, kind } of this.#slots.values()) {
      if (owner !== account) continue;
      const { state, untilMs } = account.availability(kind);
      this.#schedulers[kind].updateSlot(slotId, {
        isAvailable: state === 'ready',
        capability: account.balance.anlas ?? 0,
        ...(untilMs !== undefined && { availableAtMs: untilMs }),
      });
    }
    // Which account is the cheapest able one depends on all of them.
    for (const kind of SLOT_KINDS) this.#schedulers[kind].invalidateEligibility();
    this.#dispatchAll();
  }

  /**
   * Waits for a slot of an account that may serve the request.
   * @throws {ProxyError} when it is refused at once, its deadline passes, its client leaves, or the service stops.
   */
  enter(request: GenerationRequest, estimateMs: number): Promise<Lease> {
    return new Promise((grant, refuse) => {
      if (this.#isStopped) {
        refuse(new ProxyError('proxy_stopping', { retryAfterMs: STOPPING_RETRY_MS }));
        return;
      }
      const { id: jobId, client, slot, work, band, deadlineMs } = request;
      this.#learnClass(work);
      this.#learnClient(client);
      const scheduler = this.#schedulers[slot];
      const submission = scheduler.submit({
        jobId,
        clientId: client.id,
        classKey: work.key,
        estimateMs,
        band,
        deadlineMs,
      });
      if (!submission.isAccepted) {
        refuse(refusal(submission));
        return;
      }
      this.#waiters.set(jobId, { request, grant, refuse });
      request.sink.onGone(() => this.#onClientGone(request));
      scheduler.dispatch();
      this.#armExpiry();
    });
  }

  /** Puts a request whose slot brought no result back in its old place, and waits again. Its lease is given back by this. */
  reenter(request: GenerationRequest, lease: Lease): Promise<Lease> {
    return new Promise((grant, refuse) => {
      const isBack = !this.#isStopped && request.sink.isOpen && this.#schedulers[request.slot].requeue(request.id);
      if (isBack) this.#waiters.set(request.id, { request, grant, refuse });
      lease.release({ isUsed: false });
      if (!isBack) refuse(new ProxyError(this.#isStopped ? 'proxy_stopping' : 'client_left'));
      this.#armExpiry();
    });
  }

  /** Refuses everything that waits, and whatever comes. Leases that are out stay valid. */
  stop(): void {
    this.#isStopped = true;
    this.#stopExpiry();
    for (const [jobId, { request, refuse }] of this.#waiters) {
      this.#schedulers[request.slot].cancel(jobId);
      refuse(new ProxyError('proxy_stopping', { retryAfterMs: STOPPING_RETRY_MS }));
    }
    this.#waiters.clear();
  }

  /** Requests that hold an account now. */
  get running(): number {
    return SLOT_KINDS.reduce((sum, kind) => sum + this.#schedulers[kind].stats.running, 0);
  }

  stats(kind: SlotKind) {
    return this.#schedulers[kind].stats;
  }

  /** Position and expected start of a waiting request, or undefined when it does not wait. */
  forecast(request: GenerationRequest) {
    return this.#schedulers[request.slot].forecast(request.id);
  }

  /** The requests of one client that wait now. */
  waitingOf(clientId: string): GenerationRequest[] {
    return [...this.#waiters.values()].map(({ request }) => request).filter(({ client }) => client.id === clientId);
  }

  /** Forgets a client's settings, once it is no more. */
  forgetClient(clientId: string): void {
    this.#clients.delete(clientId);
    for (const kind of SLOT_KINDS) this.#schedulers[kind].forgetClient(clientId);
  }

  #onAssign(kind: SlotKind, { jobId, slotId, leaseId, waitedMs }: Assignment): void {
    const waiter = this.#waiters.get(jobId);
    const slot = this.#slots.get(slotId);
    this.#waiters.delete(jobId);
    const scheduler = this.#schedulers[kind];
    const release = ({ isUsed = true }: { isUsed?: boolean } = {}) => {
      if (scheduler.release(slotId, isUsed ? { leaseId } : { leaseId, isCharged: false })) scheduler.dispatch();
    };
    if (waiter && slot) waiter.grant({ account: slot.account, kind, waitedMs, release });
    else release({ isUsed: false });
  }

  #onClientGone({ id, slot }: GenerationRequest): void {
    const waiter = this.#waiters.get(id);
    if (!waiter) return;
    this.#waiters.delete(id);
    this.#schedulers[slot].cancel(id);
    waiter.refuse(new ProxyError('client_left'));
  }

  #dispatchAll(): void {
    for (const kind of SLOT_KINDS) this.#schedulers[kind].dispatch();
  }

  #learnClass(work: WorkClass): void {
    if (this.#classes.has(work.key)) return;
    this.#classes.set(work.key, work);
    for (const kind of SLOT_KINDS) this.#schedulers[kind].invalidateEligibility();
  }

  #learnClient(client: RequestingClient): void {
    if (this.#clients.get(client.id) === client) return;
    this.#clients.set(client.id, client);
    const policy = queuePolicy(client, { maxQueued: this.#limitPerClient });
    for (const kind of SLOT_KINDS) this.#schedulers[kind].setClient(client.id, policy);
  }

  /** One timer for the earliest deadline of all. */
  #armExpiry(): void {
    const deadlines = SLOT_KINDS.map((kind) => this.#schedulers[kind].nextDeadlineMs() ?? Infinity);
    const nextMs = Math.min(...deadlines);
    if (nextMs === this.#expiryAtMs) return;
    this.#stopExpiry();
    this.#expiryAtMs = nextMs;
    if (nextMs < Infinity)
      this.#stopExpiry = this.#clock.after(nextMs - this.#clock.monotonicMs(), () => this.#expire());
  }

  #expire(): void {
    this.#expiryAtMs = Infinity;
    for (const kind of SLOT_KINDS)
      for (const jobId of this.#schedulers[kind].expire()) {
        const waiter = this.#waiters.get(jobId);
        this.#waiters.delete(jobId);
        waiter?.refuse(
          new ProxyError('proxy_queue_timeout', {
            retryAfterMs: this.#schedulers[kind].retryAfterMs(waiter.request.client.id, waiter.request.work.key),
          }),
        );
      }
    this.#armExpiry();
  }
}

const STOPPING_RETRY_MS = 5000;

function refusal({ reason, retryAfterMs }: Extract<Submission, { isAccepted: false }>): ProxyError {
  switch (reason) {
    case 'client_queue_full':
      return new ProxyError('client_queue_full', { retryAfterMs });
    case 'queue_full':
      return new ProxyError('proxy_queue_full', { retryAfterMs });
    case 'deadline_unmeetable':
      return new ProxyError('proxy_queue_timeout', {
        retryAfterMs,
        message: 'No account will be free before the deadline of this request.',
      });
    case 'no_slot_can_serve':
      return new ProxyError('upstream_no_account', { retryAfterMs });
  }
}
