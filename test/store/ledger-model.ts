// A small stand-in for everything around the ledger: NovelAI's own books, and what the budgets must allow. Knows the truth.
import assert from 'node:assert/strict';
import { periodOf, utcDay, type BudgetKind, type BudgetLimits } from '../../src/ledger/budgets.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { Reading, ReadingResult } from '../../src/ledger/account-readings.ts';
import type { Store } from '../../src/store/store.ts';
import type { FakeClock } from '../unit/ledger/fake-clock.ts';
import { GENERATION_LIMIT_MS, reopenLedger } from './ledger-fixture.ts';

export type Op =
  | { kind: 'reserve'; client: number; costAnlas: number; images: number }
  | { kind: 'send'; pick: number; account: number; quotedAnlas: number | undefined }
  | { kind: 'charge'; pick: number }
  | { kind: 'end'; pick: number; how: 'settle' | 'release' | 'hold' | 'unsend' }
  | { kind: 'read'; account: number; stage: 'start' | 'answer' | 'finish' }
  | { kind: 'owner'; account: number; anlas: number }
  | { kind: 'limit'; client: number; limits: BudgetLimits }
  | { kind: 'time'; ms: number }
  | { kind: 'jump'; ms: number }
  | { kind: 'crash' };

interface ModelAttempt {
  id: string;
  client: number;
  day: string;
  state: 'reserved' | 'sent' | 'held' | 'over';
  quotedAnlas: number;
  images: number;
  account: number;
  /** Whether NovelAI has booked it: the truth. */
  isCharged: boolean;
  sentAtMs: number;
  chargedAnlas: number;
  chargedImages: number;
}

interface OpenReading {
  account: number;
  reading: Reading;
  answer: number | undefined;
}

const START_ANLAS = 100_000;
const UNLIMITED: BudgetLimits = { anlasPerDay: null, anlasPerMonth: null, anlasTotal: null, imagesPerDay: null };

export class LedgerModel {
  readonly #store: Store;
  readonly #clock: FakeClock;
  #ledger: Ledger;
  readonly #attempts: ModelAttempt[] = [];
  readonly #balances = [START_ANLAS, START_ANLAS];
  readonly #limits: BudgetLimits[] = [UNLIMITED, UNLIMITED, UNLIMITED];
  #readings: OpenReading[] = [];
  #isOwnerActive = false;
  #greatestMs: number;
  /** What happened, so that a run that did nothing is noticed. */
  readonly counts = { granted: 0, refused: 0, settled: 0, held: 0, resolved: 0, crashes: 0, drift: 0 };

  constructor(store: Store, clock: FakeClock, ledger: Ledger) {
    this.#store = store;
    this.#clock = clock;
    this.#ledger = ledger;
    this.#greatestMs = clock.wallMs();
  }

  /** The first look at both accounts. */
  async start(): Promise<void> {
    for (const account of [0, 1]) await this.#readAtOnce(account);
  }

  async apply(op: Op): Promise<void> {
    this.#greatestMs = Math.max(this.#greatestMs, this.#clock.wallMs());
    switch (op.kind) {
      case 'reserve':
        return this.#reserve(op);
      case 'send':
        return this.#send(op);
      case 'charge':
        return this.#charge(op.pick);
      case 'end':
        return this.#end(op);
      case 'read':
        return this.#read(op);
      case 'owner':
        this.#isOwnerActive = true;
        this.#balances[op.account] = (this.#balances[op.account] ?? 0) - op.anlas;
        return undefined;
      case 'limit':
        this.#limits[op.client] = op.limits;
        return undefined;
      case 'time':
        this.#clock.advance(op.ms);
        return undefined;
      case 'jump':
        this.#clock.jump(op.ms);
        return undefined;
      case 'crash':
        return this.#crash();
    }
  }

  /** Ends everything, looks at the accounts in peace, and compares the ledger with the truth. */
  async finish(): Promise<void> {
    for (const attempt of this.#attempts) {
      if (attempt.state === 'reserved') await this.#ledger.release(attempt.id, 'cancelled_queued');
      if (attempt.state === 'sent') await this.#hold(attempt);
      if (attempt.state === 'reserved') attempt.state = 'over';
    }
    this.#readings = [];
    this.#clock.advance(GENERATION_LIMIT_MS + 100_000_000);
    for (const account of [0, 1]) await this.#readAtOnce(account);
    assert.deepEqual(await this.#ledger.verify(), []);
    const rows = await this.#ledger.report({ by: 'account' });
    for (const account of [0, 1]) {
      const row = rows.find(({ key }) => key === `a${account}`);
      const gone = START_ANLAS - (this.#balances[account] ?? 0);
      assert.equal(
        (row?.chargedAnlas ?? 0) + (row?.driftAnlas ?? 0),
        gone,
        `account ${account}: charges and drift are all that is gone`,
      );
      // Where nobody else touches the account, the ledger knows every Anlas.
      if (!this.#isOwnerActive) assert.equal(row?.driftAnlas ?? 0, 0, `account ${account}: no drift`);
    }
    const unresolved = await this.#ledger.unresolved();
    if (!this.#isOwnerActive) assert.deepEqual(unresolved, []);
    for (const { resolution } of unresolved) assert.equal(resolution, 'undecidable', 'resolved or listed');
  }

  async verify(): Promise<void> {
    assert.deepEqual(await this.#ledger.verify(), []);
  }

  async #reserve({ client, costAnlas, images }: Extract<Op, { kind: 'reserve' }>): Promise<void> {
    const id = `r${this.#attempts.length}`;
    const day = utcDay(this.#greatestMs);
    const limits = this.#limits[client] ?? UNLIMITED;
    const expected = this.#allows({ client, day, costAnlas, images });
    const reservation = await this.#ledger.reserve({
      requestId: id,
      clientId: `c${client}`,
      clientName: `Client ${client}`,
      endpoint: 'generate-image',
      costAnlas,
      images,
      limits,
    });
    assert.equal(reservation.isGranted, expected, `${id} of client ${client} on ${day}`);
    this.counts[expected ? 'granted' : 'refused'] += 1;
    if (!expected) return;
    this.#attempts.push({
      id,
      client,
      day,
      state: 'reserved',
      quotedAnlas: costAnlas,
      images,
      account: -1,
      isCharged: false,
      sentAtMs: 0,
      chargedAnlas: 0,
      chargedImages: 0,
    });
  }

  async #send({ pick, account, quotedAnlas }: Extract<Op, { kind: 'send' }>): Promise<void> {
    const attempt = this.#pick('reserved', pick);
    if (!attempt) return;
    const quoted = quotedAnlas ?? attempt.quotedAnlas;
    const limits = this.#limits[attempt.client] ?? UNLIMITED;
    const { client, day } = attempt;
    const more = quoted - attempt.quotedAnlas;
    const expected = more <= 0 || this.#allows({ client, day, costAnlas: more, images: 0 });
    const sending = await this.#ledger.markSent(attempt.id, { account: `a${account}`, quotedAnlas: quoted, limits });
    assert.equal(sending.isGranted, expected, `${attempt.id} at ${quoted}`);
    if (!expected) return;
    Object.assign(attempt, {
      state: 'sent',
      account,
      quotedAnlas: quoted,
      isCharged: false,
      sentAtMs: this.#greatestMs,
    });
  }

  /** NovelAI books the charge: while it works on it, whether or not anybody here still listens. */
  #charge(pick: number): void {
    const candidates = this.#attempts.filter(
      ({ state, isCharged, sentAtMs }) =>
        !isCharged && (state === 'sent' || (state === 'held' && this.#greatestMs - sentAtMs < GENERATION_LIMIT_MS)),
    );
    const attempt = candidates[pick % candidates.length];
    if (attempt) this.#book(attempt);
  }

  #book(attempt: ModelAttempt): void {
    if (attempt.isCharged) return;
    attempt.isCharged = true;
    this.#balances[attempt.account] = (this.#balances[attempt.account] ?? 0) - attempt.quotedAnlas;
  }

  async #end({ pick, how }: Extract<Op, { kind: 'end' }>): Promise<void> {
    const attempt = this.#pick('sent', pick);
    if (!attempt) return;
    if (how === 'settle') {
      this.#book(attempt);
      await this.#ledger.settle(attempt.id, { outcome: 'succeeded', chargedAnlas: attempt.quotedAnlas });
      Object.assign(attempt, { state: 'over', chargedAnlas: attempt.quotedAnlas, chargedImages: attempt.images });
      this.counts.settled += 1;
    } else if (how === 'hold' || attempt.isCharged) await this.#hold(attempt);
    else if (how === 'release') {
      await this.#ledger.release(attempt.id, 'failed_upstream_free');
      attempt.state = 'over';
    } else {
      await this.#ledger.markUnsent(attempt.id, 'answered 429');
      attempt.state = 'reserved';
    }
  }

  async #hold(attempt: ModelAttempt): Promise<void> {
    await this.#ledger.hold(attempt.id);
    attempt.state = attempt.quotedAnlas === 0 ? 'over' : 'held';
    this.counts.held += 1;
  }

  async #read({ account, stage }: Extract<Op, { kind: 'read' }>): Promise<void> {
    const open = this.#readings.find((reading) => reading.account === account);
    if (stage === 'start') {
      this.#readings.push({ account, reading: this.#ledger.startReading(`a${account}`), answer: undefined });
    } else if (open && stage === 'answer') open.answer ??= this.#balances[account];
    else if (open) {
      this.#readings = this.#readings.filter((reading) => reading !== open);
      const answer = open.answer ?? this.#balances[account] ?? 0;
      this.#learn(await open.reading.finish({ fixedAnlas: answer, purchasedAnlas: 0 }));
    }
  }

  async #readAtOnce(account: number): Promise<void> {
    const fixedAnlas = this.#balances[account] ?? 0;
    this.#learn(await this.#ledger.startReading(`a${account}`).finish({ fixedAnlas, purchasedAnlas: 0 }));
  }

  #learn({ resolved, driftAnlas }: ReadingResult): void {
    this.counts.drift += driftAnlas === 0 ? 0 : 1;
    for (const { attemptId, chargedAnlas, resolution } of resolved) {
      const attempt = this.#attempts.find(({ id }) => id === attemptId);
      assert.ok(attempt?.state === 'held', attemptId);
      if (resolution === 'proved' && !this.#isOwnerActive)
        assert.equal(chargedAnlas, attempt.isCharged ? attempt.quotedAnlas : 0, `${attemptId} was proved wrong`);
      attempt.state = 'over';
      attempt.chargedAnlas = chargedAnlas;
      this.counts.resolved += 1;
    }
  }

  /** The process dies and the next one starts: nothing in memory is left. */
  async #crash(): Promise<void> {
    this.#ledger = await reopenLedger(this.#store, this.#clock);
    const { released, cutOff } = await this.#ledger.recover();
    const reserved = this.#attempts.filter(({ state }) => state === 'reserved');
    const sent = this.#attempts.filter(({ state }) => state === 'sent');
    assert.deepEqual([released, cutOff.length], [reserved.length, sent.length]);
    for (const attempt of reserved) attempt.state = 'over';
    for (const attempt of sent) attempt.state = attempt.quotedAnlas === 0 ? 'over' : 'held';
    this.#readings = [];
    this.counts.crashes += 1;
  }

  #pick(state: ModelAttempt['state'], pick: number): ModelAttempt | undefined {
    const candidates = this.#attempts.filter((attempt) => attempt.state === state);
    return candidates[pick % candidates.length];
  }

  #allows({
    client,
    day,
    costAnlas,
    images,
  }: {
    client: number;
    day: string;
    costAnlas: number;
    images: number;
  }): boolean {
    const limits = this.#limits[client] ?? UNLIMITED;
    const isFree = (kind: BudgetKind, limit: number | null, more: number) =>
      limit === null || more === 0 || this.#used(client, kind, day) + more <= limit;
    return (
      isFree('anlas_day', limits.anlasPerDay, costAnlas) &&
      isFree('anlas_month', limits.anlasPerMonth, costAnlas) &&
      isFree('anlas_total', limits.anlasTotal, costAnlas) &&
      isFree('images_day', limits.imagesPerDay, images)
    );
  }

  #used(client: number, kind: BudgetKind, day: string): number {
    const period = periodOf(kind, day);
    return this.#attempts
      .filter((attempt) => attempt.client === client && periodOf(kind, attempt.day) === period)
      .reduce((sum, { state, quotedAnlas, images, chargedAnlas, chargedImages }) => {
        const isOver = state === 'over';
        if (kind === 'images_day') return sum + (isOver ? chargedImages : images);
        return sum + (isOver ? chargedAnlas : quotedAnlas);
      }, 0);
  }
}
