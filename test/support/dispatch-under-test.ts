// The dispatch rooms over accounts and a NovelAI without sockets: requests with a fake client each, and every log line kept.
import { pino } from 'pino';
import { FaultBlame } from '../../src/accounts/fault-blame.ts';
import type { WorkClass } from '../../src/accounts/work-class.ts';
import { newBodyRoom } from '../../src/dispatch/bodies/body-room.ts';
import { HeldBody } from '../../src/dispatch/bodies/held-body.ts';
import type { GenerationRequest, RequestingClient } from '../../src/dispatch/generation-request.ts';
import { HoldingTimes } from '../../src/dispatch/holding-times.ts';
import type { DispatchDeps } from '../../src/dispatch/passage.ts';
import { WorkQueue } from '../../src/dispatch/work-queue.ts';
import { Budget } from '../../src/lib/budget.ts';
import { UpstreamHosts } from '../../src/upstream/upstream-hosts.ts';
import { AccountsUnderTest, HOST } from './accounts-under-test.ts';
import { FakeSink } from './fake-sink.ts';

export function work(opus: number, opusWithoutAllowance: number, plain: number): WorkClass {
  return { key: `${opus}/${opusWithoutAllowance}/${plain}`, costAnlas: { opus, opusWithoutAllowance, plain } };
}
export const FREE_WORK = work(0, 0, 20);
export const PAID_WORK = work(30, 30, 30);

export function client(name = 'client-1'): RequestingClient {
  return {
    id: name,
    name,
    weight: 1,
    maxQueued: null,
    maxInFlight: null,
    anlasPerDay: null,
    anlasPerMonth: null,
    anlasTotal: null,
    imagesPerDay: null,
  };
}

const NO_DISK = newBodyRoom('/nonexistent');

export interface LogLine {
  level: number;
  msg: string;
  requestId?: string;
  outcome?: string;
  account?: string;
  status?: number;
  error?: string;
  sends?: number;
  isDelivered?: boolean;
}

export interface DispatchOptions {
  limit?: number;
  limitPerClient?: number;
  hostUrls?: readonly string[];
  limits?: Partial<DispatchDeps['limits']>;
  drainMs?: number;
}

export class DispatchUnderTest extends AccountsUnderTest {
  readonly queue: WorkQueue;
  readonly deps: DispatchDeps;
  readonly lines: LogLine[] = [];
  #requests = 0;

  constructor({
    limit = 1000,
    limitPerClient = 1000,
    hostUrls = [HOST],
    limits,
    drainMs = 60_000,
  }: DispatchOptions = {}) {
    super();
    const { clock, pool } = this;
    this.queue = new WorkQueue({ pool, clock, limit, limitPerClient });
    this.onChange = (account) => this.queue.onAccountChange(account);
    const hosts = new UpstreamHosts(hostUrls, clock);
    this.deps = {
      clock,
      pool,
      queue: this.queue,
      hosts: { image: hosts, text: hosts, api: hosts },
      limits: { connectMs: 10_000, firstByteMs: 180_000, idleMs: 60_000, totalMs: 180_000, ...limits },
      holdingTimes: new HoldingTimes({ ceilingMs: 180_000 }),
      blame: new FaultBlame(() => clock.monotonicMs()),
      log: pino({ level: 'info', base: null }, { write: (line) => void this.lines.push(JSON.parse(line) as LogLine) }),
      readAhead: { memory: new Budget(1024 ** 2), disk: new Budget(0), dir: '/nonexistent' },
      drainMs,
      showsAccount: true,
    };
  }

  /** Adds an account to pool and queue. */
  override async add(...args: Parameters<AccountsUnderTest['add']>) {
    const added = await super.add(...args);
    this.queue.addAccount(added.account);
    return added;
  }

  request(changes: Partial<GenerationRequest> = {}): GenerationRequest & { sink: FakeSink } {
    this.#requests += 1;
    const nowMs = this.clock.monotonicMs();
    return {
      id: `request-${this.#requests}`,
      client: client(),
      endpointId: 'generate-image',
      role: 'image',
      slot: 'image',
      method: 'POST',
      path: '/ai/generate-image',
      headers: { 'content-type': 'application/json' },
      body: HeldBody.of(Buffer.from(`{"made":"up ${this.#requests}"}`), { room: NO_DISK }),
      facts: { model: 'nai-diffusion-4-5-full', billable: { kind: 'nothing' } },
      work: FREE_WORK,
      band: 'interactive',
      deadlineMs: nowMs + 600_000,
      receivedMs: nowMs,
      sink: new FakeSink(),
      ...changes,
    } as GenerationRequest & { sink: FakeSink };
  }

  /** The lines in which requests are written down at their end. */
  get ended(): LogLine[] {
    return this.lines.filter(({ msg }) => msg === 'request');
  }
}

/** How a promise stands, without waiting for it. */
export interface Watched<T> {
  value: T | undefined;
  error: unknown;
  readonly settled: number;
}

export function watch<T>(promise: Promise<T>): Watched<T> {
  const watched = { value: undefined as T | undefined, error: undefined as unknown, settled: 0 };
  promise.then(
    (value) => {
      watched.value = value;
      watched.settled += 1;
    },
    (error: unknown) => {
      watched.error = error;
      watched.settled += 1;
    },
  );
  return watched;
}
