// A bank on a real database and in a real folder, and the little that its tests do over and over.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { Bank, type BankOptions, type Beginning, type JoinEnd } from '../../src/bank/bank.ts';
import type { BankedAnswer } from '../../src/bank/banked-answer.ts';
import { requestHash } from '../../src/bank/request-hash.ts';
import type { Ticket } from '../../src/bank/ticket.ts';
import type { Store } from '../../src/store/store.ts';
import { FakeClock } from '../support/fake-clock.ts';

export interface BankFixture {
  bank: Bank;
  clock: FakeClock;
  dir: string;
  /** Opens another bank on the same database and folder, as after a restart. */
  reopen: (changes?: Partial<BankOptions>) => Promise<Bank>;
  begin: (options?: Asking, bank?: Bank) => Promise<Beginning>;
  /** As `begin`, for a request that is sure to be carried out. */
  run: (options?: Asking, bank?: Bank) => Promise<Ticket>;
}

export interface Asking {
  client?: string;
  key?: string;
  body?: string;
  isAlwaysKept?: boolean;
}

export async function openBank(t: TestContext, store: Store, changes: Partial<BankOptions> = {}): Promise<BankFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'proxy-bank-'));
  const clock = new FakeClock();
  const opened: Bank[] = [];
  let count = 0;
  t.after(async () => {
    for (const bank of opened) await bank.close();
    await rm(dir, { recursive: true, force: true });
  });
  const reopen = async (more: Partial<BankOptions> = {}) => {
    const bank = await Bank.open({ store, clock, dir, ...changes, ...more });
    opened.push(bank);
    return bank;
  };
  const first = await reopen();
  const begin: BankFixture['begin'] = ({ client = 'c', key, body = 'a body', isAlwaysKept } = {}, bank = first) => {
    count += 1;
    return bank.begin({
      requestId: `r${count}`,
      clientId: client,
      idempotencyKey: key,
      isAlwaysKept,
      hashOf: () => requestHash({ path: '/', contentType: undefined, accept: undefined, body: Buffer.from(body) }),
    });
  };
  return {
    bank: first,
    clock,
    dir,
    reopen,
    begin,
    async run(options, bank) {
      const beginning = await begin(options, bank);
      assert.ok(beginning.kind === 'run', beginning.kind);
      return beginning.ticket;
    },
  };
}

/** Tells the ticket an answer, in two pieces. */
export function answer(ticket: Ticket, text: string, { status = 200, isWhole = true } = {}): void {
  ticket.head(status, { 'content-type': 'binary/octet-stream', 'x-request-id': 'the first one' });
  ticket.data(Buffer.from(text.slice(0, 3)));
  ticket.data(Buffer.from(text.slice(3)));
  ticket.end(isWhole);
}

export function isDelivered(delivered: boolean): { isDelivered: boolean; mayHaveCost: boolean } {
  return { isDelivered: delivered, mayHaveCost: true };
}

/** The body of an answer that is given again. */
export async function bodyOf(beginning: Beginning | JoinEnd): Promise<string> {
  assert.ok(beginning.kind === 'replay', `${beginning.kind} instead of an answer`);
  return textOf(beginning.answer);
}

export async function textOf(banked: BankedAnswer): Promise<string> {
  return (await buffer(banked.read())).toString();
}

/** Bytes on the disk below a folder, half-written files included. */
export async function bytesIn(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      // A file may go while the folder is read.
      .map((entry) =>
        stat(join(entry.parentPath, entry.name))
          .then(({ size }) => size)
          .catch(() => 0),
      ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
