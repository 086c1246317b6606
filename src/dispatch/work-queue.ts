// Where requests wait for an account: binds the pure schedulers to the accounts' slots and to the clock.
import type { Account } from '../accounts/account.ts';
import type { AccountPool } from '../accounts/account-pool.ts';
import { SLOT_KINDS, type SlotKind, type WorkClass } from '../accounts/work-class.ts';
import { queuePolicy } from '../clients/queue-policy.ts';
import type { Clock } from '../lib/clock.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import { FairScheduler, type Assignment, type Submission } from '../scheduler/fair-scheduler.ts';
import type { GenerationRequest, RequestingClient } from './generation-request.ts';
import type { LeaseWatch } from './lease-watch.ts';
import { noOutlookError } from './no-outlook-error.ts';

export interface WorkQueueOptions {
  pool: AccountPool;
  clock: Clock;
  /** Most requests that may wait, in all and per client. */
  limit: number;
  limitPerClient: number;
  watch?: Pick<LeaseWatch, 'watch'> | undefined;
}

/** The right to use one account's slot until `release`. */
export interface Lease {
  readonly account: Account;
  readonly kind: SlotKind;
  /** From the request's arrival to this lease. */
  readonly waitedMs: number;
  /** To be called as something is sent on it. */
  readonly onSent?: () => void;
  /** Gives the slot back; `isUsed` false when nothing was sent, so that the client is not charged for the time. */
  release(options?: { isUsed?: boolean }): void;
}

interface Waiter {
  request: GenerationRequest;
  grant: (lease: Lease) => void;
  refuse: (error: ProxyError) => void;
}

/** Requests that wait and that the same accounts could serve. */
interface WaitingClass {
  kind: SlotKind;
  work: WorkClass;
  count: number;
}

interface Slot {
  slotId: string;
  account: Account;
  kind: SlotKind;
  /** Of the account's slots of this kind; from 0. */
  index: number;
}

/** Work classes are few (one per distinct price); forgotten ones would only cost a look-up that nobody makes. */
export class WorkQueue {
  readonly #pool: AccountPool;
  readonly #clock: Clock;
  readonly #watch: WorkQueueOptions['watch'];
  readonly #schedulers: Readonly<Record<SlotKind, FairScheduler>>;
  readonly #slots = new Map<string, Slot>();
  readonly #classes = new Map<string, WorkClass>();
  /** The cheapest account's price for each class, in Anlas, until an account changes: each account is compared with it. */
  readonly #leastAnlas = new Map<string, number | undefined>();
  readonly #waiters = new Map<string, Waiter>();
  readonly #waitingByClient = new Map<string, Set<GenerationRequest>>();
  readonly #waitingClasses = new Map<string, WaitingClass>();
  #limitPerClient: number;
  /** Leases that are out, by account; also of accounts that were taken off work. */
  readonly #held = new Map<Account, number>();
  readonly #formers = new Map<Account, readonly Account[]>();
  readonly #whenIdle = new Map<Account, () => void>();
  /** The settings under which each client was last seen; those it has now replace them as it comes. */
  readonly #clients = new Map<string, RequestingClient>();
  #isReviewDue = false;
  #isStopped = false;
  #stopExpiry: () => void = () => undefined;
  #expiryAtMs = Infinity;

  constructor({ pool, clock, limit, limitPerClient, watch }: WorkQueueOptions) {
    this.#watch = watch;
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

  /** Changes how many may wait, from the next request on; what waits already goes on waiting. */
  setLimits({ limit, limitPerClient }: Pick<WorkQueueOptions, 'limit' | 'limitPerClient'>): void {
    this.#limitPerClient = limitPerClient;
    for (const kind of SLOT_KINDS) this.#schedulers[kind].setMaxQueued(limit);
    for (const client of this.#clients.values()) this.#setPolicy(client);
  }

  /**
   * Adds an account's slots: as many of each kind as it may run at once. They take no work while one of `formers` still has some:
   * accounts that were taken off work and are the same at NovelAI, which runs one generation at a time (I1).
   */
  addAccount(account: Account, { formers = [] }: { formers?: readonly Account[] } = {}): void {
    if (formers.some((former) => this.#held.has(former))) this.#formers.set(account, formers);
    for (const kind of SLOT_KINDS)
      for (let index = 0; index < account.concurrency; index += 1) {
        const slotId = `${account.name}/${kind}/${index}`;
        this.#slots.set(slotId, { slotId, account, kind, index });
        this.#schedulers[kind].addSlot(slotId, {
          capability: account.balance.anlas ?? 0,
          canServe: (classKey) => this.#mayServe(account, classKey),
        });
      }
    this.onAccountChange(account);
  }

  /** Takes an account's slots away; what runs on it goes on, and {@link whenIdle} tells when that is over. */
  removeAccount(account: Account): void {
    this.#formers.delete(account);
    for (const [slotId, slot] of this.#slots)
      if (slot.account === account) {
        this.#slots.delete(slotId);
        this.#schedulers[slot.kind].removeSlot(slotId);
      }
    this.#leastAnlas.clear();
    this.#dispatchAll();
    this.#reviewWaiters();
  }

  /** To be told of every change of an account's state, balance or health. */
  onAccountChange(account: Account): void {
    for (const { slotId, account: owner, kind, index } of this.#slots.values()) {
      if (owner !== account) continue;
      const { state, untilMs } = account.availability(kind);
      this.#schedulers[kind].updateSlot(slotId, {
        isAvailable: state === 'ready' && !this.#formers.has(account) && (index === 0 || !account.isOnProbation),
        capability: account.balance.anlas ?? 0,
        ...(untilMs !== undefined && { availableAtMs: untilMs }),
      });
    }
    // Which account is the cheapest able one depends on all of them.
    this.#leastAnlas.clear();
    for (const kind of SLOT_KINDS) this.#schedulers[kind].invalidateEligibility();
    this.#dispatchAll();
    this.#reviewWaiters();
  }

  /**
   * Waits for a slot of an account that may serve the request.
   * @throws {ProxyError} when it is refused at once, its deadline passes, its client leaves, no account can serve it any more,
   * or the service stops.
   */
  enter(request: GenerationRequest, estimateMs: number): Promise<Lease> {
    return new Promise((grant, refuse) => {
      if (this.#isStopped) {
        refuse(stoppingError());
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
      this.#addWaiter({ request, grant, refuse });
      request.sink.onGone(() => this.#onClientGone(request));
      scheduler.dispatch();
      this.#restIfWaiting(request);
      this.#reviewWaiters();
      this.#armExpiry();
    });
  }

  /** Puts a request whose slot brought no result back in its old place, and waits again. Its lease is given back by this. */
  reenter(request: GenerationRequest, lease: Lease): Promise<Lease> {
    return new Promise((grant, refuse) => {
      const isBack = !this.#isStopped && request.sink.isOpen && this.#schedulers[request.slot].requeue(request.id);
      if (isBack) this.#addWaiter({ request, grant, refuse });
      lease.release({ isUsed: false });
      if (!isBack) refuse(this.#isStopped ? stoppingError() : new ProxyError('client_left'));
      this.#reviewWaiters();
      this.#armExpiry();
    });
  }

  /** Refuses everything that waits, and whatever comes. Leases that are out stay valid. */
  stop(): void {
    this.#isStopped = true;
    this.#stopExpiry();
    for (const { request } of this.#waiters.values()) this.#turnAway(request, stoppingError());
  }

  /** Requests that hold an account now. */
  get running(): number {
    return SLOT_KINDS.reduce((sum, kind) => sum + this.#schedulers[kind].stats.running, 0);
  }

  /** Resolves when nothing runs on an account that was taken off work. */
  whenIdle(account: Account): Promise<void> {
    return new Promise((resolve) => {
      if (this.#held.has(account)) this.#whenIdle.set(account, resolve);
      else resolve();
    });
  }

  stats(kind: SlotKind) {
    return this.#schedulers[kind].stats;
  }

  /** Position and expected start of a waiting request, or undefined when it does not wait. */
  forecast(request: GenerationRequest) {
    return this.#schedulers[request.slot].forecast(request.id);
  }

  /** The requests of one client that wait now. */
  waitingOf(clientId: string): ReadonlySet<GenerationRequest> {
    return this.#waitingByClient.get(clientId) ?? NONE;
  }

  /** Forgets a client's settings, once it is no more. */
  forgetClient(clientId: string): void {
    this.#clients.delete(clientId);
    for (const kind of SLOT_KINDS) this.#schedulers[kind].forgetClient(clientId);
  }

  #onAssign(kind: SlotKind, { jobId, slotId, leaseId, waitedMs }: Assignment): void {
    const waiter = this.#takeWaiter(jobId);
    const slot = this.#slots.get(slotId);
    const scheduler = this.#schedulers[kind];
    const release = ({ isUsed = true }: { isUsed?: boolean } = {}) => {
      if (!scheduler.release(slotId, isUsed ? { leaseId } : { leaseId, isCharged: false })) return;
      if (slot) this.#countRelease(slot.account);
      scheduler.dispatch();
    };
    if (slot) this.#held.set(slot.account, (this.#held.get(slot.account) ?? 0) + 1);
    if (waiter && slot) {
      const lease = { account: slot.account, kind, waitedMs, release };
      waiter.grant(this.#watch?.watch(lease) ?? lease);
    } else release({ isUsed: false });
  }

  #countRelease(account: Account): void {
    const left = (this.#held.get(account) ?? 1) - 1;
    if (left > 0) {
      this.#held.set(account, left);
      return;
    }
    this.#held.delete(account);
    this.#whenIdle.get(account)?.();
    this.#whenIdle.delete(account);
    for (const [successor, formers] of this.#formers) {
      if (!formers.includes(account) || formers.some((former) => this.#held.has(former))) continue;
      this.#formers.delete(successor);
      this.onAccountChange(successor);
    }
  }

  #onClientGone(request: GenerationRequest): void {
    this.#turnAway(request, new ProxyError('client_left'));
  }

  /** Takes a request out of the queue; does nothing when it does not wait. */
  #turnAway({ id, slot }: GenerationRequest, error: ProxyError): void {
    const waiter = this.#takeWaiter(id);
    if (!waiter) return;
    this.#schedulers[slot].cancel(id);
    waiter.refuse(error);
  }

  /** An idle account takes a request at once; for the others it is a wait, and a large body need not spend it in memory. */
  #restIfWaiting({ id, body }: GenerationRequest): void {
    if (this.#waiters.has(id)) body?.rest();
  }

  #addWaiter(waiter: Waiter): void {
    const { id, slot, work, client } = waiter.request;
    this.#waiters.set(id, waiter);
    const own = this.#waitingByClient.get(client.id);
    if (own) own.add(waiter.request);
    else this.#waitingByClient.set(client.id, new Set([waiter.request]));
    const key = `${slot} ${work.key}`;
    const waiting = this.#waitingClasses.get(key);
    if (waiting) waiting.count += 1;
    else this.#waitingClasses.set(key, { kind: slot, work, count: 1 });
  }

  #takeWaiter(jobId: string): Waiter | undefined {
    const waiter = this.#waiters.get(jobId);
    if (!waiter) return undefined;
    this.#waiters.delete(jobId);
    const clientId = waiter.request.client.id;
    const own = this.#waitingByClient.get(clientId);
    if (own?.delete(waiter.request) === true && own.size === 0) this.#waitingByClient.delete(clientId);
    const key = `${waiter.request.slot} ${waiter.request.work.key}`;
    const waiting = this.#waitingClasses.get(key);
    if (waiting && (waiting.count -= 1) === 0) this.#waitingClasses.delete(key);
    return waiter;
  }

  /** Soon, since an account with new settings is taken off and put to work again in one go. */
  #reviewWaiters(): void {
    if (this.#isReviewDue) return;
    this.#isReviewDue = true;
    queueMicrotask(() => {
      this.#isReviewDue = false;
      this.#refuseHopeless();
    });
  }

  /** Tells those who wait for what no account can serve any more at once, rather than when their time is over (design 13). */
  #refuseHopeless(): void {
    for (const { kind, work } of this.#waitingClasses.values()) {
      const outlook = this.#pool.outlook(work, kind);
      if (outlook.isServable) continue;
      for (const { request } of this.#waiters.values())
        if (request.slot === kind && request.work.key === work.key) this.#turnAway(request, noOutlookError(outlook));
    }
  }

  #dispatchAll(): void {
    for (const kind of SLOT_KINDS) this.#schedulers[kind].dispatch();
  }

  #mayServe(account: Account, classKey: string): boolean {
    const work = this.#classes.get(classKey);
    if (!work) return false;
    if (!this.#leastAnlas.has(classKey)) this.#leastAnlas.set(classKey, this.#pool.cheapest(work));
    return this.#pool.mayServe(account, work, this.#leastAnlas.get(classKey));
  }

  #learnClass(work: WorkClass): void {
    if (this.#classes.has(work.key)) return;
    this.#classes.set(work.key, work);
    for (const kind of SLOT_KINDS) this.#schedulers[kind].invalidateEligibility();
  }

  #learnClient(client: RequestingClient): void {
    if (this.#clients.get(client.id) === client) return;
    this.#clients.set(client.id, client);
    this.#setPolicy(client);
  }

  #setPolicy(client: RequestingClient): void {
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
        const waiter = this.#takeWaiter(jobId);
        waiter?.refuse(
          new ProxyError('proxy_queue_timeout', {
            retryAfterMs: this.#schedulers[kind].retryAfterMs(waiter.request.client.id, waiter.request.work.key),
          }),
        );
      }
    this.#armExpiry();
  }
}

const NONE: ReadonlySet<GenerationRequest> = new Set();

const STOPPING_RETRY_MS = 5000;

function stoppingError(): ProxyError {
  return new ProxyError('proxy_stopping', { retryAfterMs: STOPPING_RETRY_MS });
}

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
