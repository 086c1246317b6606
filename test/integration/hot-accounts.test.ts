// Accounts put to work and taken off it while requests wait and run: what runs finishes where it is, what waits goes elsewhere.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test, type TestContext } from 'node:test';
import type { Account } from '../../src/accounts/account.ts';
import { call, type Answer } from '../support/http-client.ts';
import { generationBody, madeUpAccounts, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const LATENCY_MS = 400;
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

async function start(context: TestContext, accounts: number): Promise<Stack> {
  const stack = await startStack({
    accounts,
    simulator: { fixedLatencyMs: LATENCY_MS },
    environment: { SHOW_ACCOUNT: 'on' },
  });
  context.after(() => stack.close());
  return stack;
}

/** Sends so many at once; resolves when as many as there are accounts at work run, and the others wait. */
async function sendMany(
  stack: Stack,
  count: number,
  running = stack.service.pool.accounts.length,
): Promise<Promise<Answer>[]> {
  const answers = Array.from({ length: count }, (_, index) =>
    stack.generate(generationBody({ prompt: `hot ${index}` }), { agent }),
  );
  await until(() => stack.service.running === running && stack.service.queue.stats('image').queued === count - running);
  return answers;
}

function accountAt(stack: Stack, index: number): Account {
  const account = stack.service.pool.accounts[index];
  assert.ok(account);
  return account;
}

function namesOf(answers: readonly Answer[]): Record<string, number> {
  const names: Record<string, number> = {};
  for (const { status, headers } of answers) {
    assert.equal(status, 200);
    const name = String(headers['x-account']);
    names[name] = (names[name] ?? 0) + 1;
  }
  return names;
}

function assertNobodyServes({ status, headers, text }: Answer, why: RegExp): void {
  assert.deepEqual([status, headers['x-proxy-error']], [503, 'upstream_no_account']);
  assert.ok(Number(headers['retry-after']) >= 1);
  assert.match(text, why);
}

/** Nothing was refused by NovelAI's lock, and nothing ran twice. */
function assertOneAtATime(stack: Stack, generations: number): void {
  const { greatestOverlap, lockRefusals, generations: ran } = stack.simulator.truth.totals();
  assert.deepEqual({ greatestOverlap, lockRefusals, ran }, { greatestOverlap: 1, lockRefusals: 0, ran: generations });
}

test('added while work waits, an account takes its share as soon as it has logged in', async (context) => {
  const stack = await start(context, 1);
  const [, second] = madeUpAccounts(2);
  assert.ok(second);
  stack.simulator.addAccount(second);
  const sent = await sendMany(stack, 14);
  const added = stack.service.roster.add({ name: 'late', login: second, concurrency: 1 });
  await until(() => added.availability('image').state === 'ready');
  const names = namesOf(await Promise.all(sent));
  assert.ok((names['late'] ?? 0) >= 3, JSON.stringify(names));
  assert.equal((names['late'] ?? 0) + (names['acc-1'] ?? 0), 14);
  assertOneAtATime(stack, 14);
});

test('added with a wrong password, an account takes nothing and harms nobody', async (context) => {
  const stack = await start(context, 1);
  const sent = await sendMany(stack, 4);
  const login = { email: 'owner-1@example.org', password: 'made-up-wrong' };
  const added = stack.service.roster.add({ name: 'wrong', login, concurrency: 1 });
  await until(() => added.availability('image').state === 'disabled');
  assert.deepEqual(namesOf(await Promise.all(sent)), { 'acc-1': 4 });
});

test('removed while it works and others wait, an account finishes that one request and the rest goes to the others', async (context) => {
  const stack = await start(context, 2);
  const sent = await sendMany(stack, 10);
  const leaving = accountAt(stack, 0);
  stack.service.roster.remove(leaving);
  assert.deepEqual(namesOf(await Promise.all(sent)), { 'acc-1': 1, 'acc-2': 9 });
  assertOneAtATime(stack, 10);
  assert.equal(stack.service.queue.stats('image').slots, 1, 'its slot is gone');
  assert.deepEqual(
    stack.service.pool.accounts.map(({ name }) => name),
    ['acc-2'],
  );
});

test('removed while idle, an account gets nothing any more', async (context) => {
  const stack = await start(context, 2);
  stack.service.roster.remove(accountAt(stack, 1));
  const answers = await Promise.all(Array.from({ length: 4 }, () => stack.generate(generationBody(), { agent })));
  assert.deepEqual(namesOf(answers), { 'acc-1': 4 });
});

test('the last one removed, what runs finishes, who waits or comes is told why, and a successor serves', async (context) => {
  const stack = await start(context, 1);
  const sent = await sendMany(stack, 4);
  stack.service.roster.remove(accountAt(stack, 0));
  assertNobodyServes(await stack.generate(generationBody()), /no account is configured/);
  const answers = await Promise.all(sent);
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  for (const answer of answers.filter(({ status }) => status !== 200))
    assertNobodyServes(answer, /no account is configured/);
  const ready = await call(`${stack.address}/readyz`, { method: 'GET' });
  assert.equal(ready.status, 503);
  const [login] = madeUpAccounts(1);
  assert.ok(login);
  const successor = stack.service.roster.add({ name: 'successor', login, concurrency: 1 });
  await until(() => successor.availability('image').state === 'ready');
  assert.deepEqual(namesOf([await stack.generate(generationBody())]), { successor: 1 });
  assertOneAtATime(stack, 2);
});

test('replaced under its own name while it works, an account still runs one generation at a time', async (context) => {
  const stack = await start(context, 1);
  const sent = await sendMany(stack, 4);
  stack.service.roster.remove(accountAt(stack, 0));
  const [login] = madeUpAccounts(1);
  assert.ok(login);
  stack.service.roster.add({ name: 'acc-1', login, concurrency: 1 });
  assert.deepEqual(namesOf(await Promise.all(sent)), { 'acc-1': 4 });
  assertOneAtATime(stack, 4);
  await stack.settled();
  const { slots, idleSlots } = stack.service.queue.stats('image');
  assert.deepEqual({ slots, idleSlots }, { slots: 1, idleSlots: 1 });
});

for (const how of ['drain', 'disable'] as const)
  test(`${how}, an account finishes what it has, takes nothing more, and comes back when it is enabled`, async (context) => {
    const stack = await start(context, 2);
    const sent = await sendMany(stack, 8);
    const account = accountAt(stack, 0);
    account[how]('the owner needs it');
    assert.deepEqual(account.availability('image'), {
      state: how === 'drain' ? 'draining' : 'disabled',
      why: 'the owner needs it',
    });
    assert.deepEqual(namesOf(await Promise.all(sent)), { 'acc-1': 1, 'acc-2': 7 });
    const again = await sendMany(stack, 6, 1);
    account.enable();
    const names = namesOf(await Promise.all(again));
    assert.ok((names['acc-1'] ?? 0) >= 2, JSON.stringify(names));
    assertOneAtATime(stack, 14);
  });

test('drained, all of them: what runs finishes, who waits is told why, and one that is enabled serves', async (context) => {
  const stack = await start(context, 2);
  const sent = await sendMany(stack, 6);
  for (const account of stack.service.pool.accounts) account.drain('both are needed');
  assertNobodyServes(await stack.generate(generationBody()), /acc-1: both are needed/);
  const answers = await Promise.all(sent);
  assert.equal(answers.filter(({ status }) => status === 200).length, 2);
  for (const answer of answers.filter(({ status }) => status !== 200)) assertNobodyServes(answer, /both are needed/);
  accountAt(stack, 1).enable();
  assert.deepEqual(namesOf([await stack.generate(generationBody())]), { 'acc-2': 1 });
  assertOneAtATime(stack, 3);
});

test('paid work that waits for the one account with Anlas goes to another that gets some', async (context) => {
  const stack = await startStack({
    accounts: 2,
    eachAccount: (account, index) => ({ ...account, fixedAnlas: index === 0 ? 1000 : 0 }),
    simulator: { fixedLatencyMs: LATENCY_MS },
    environment: { SHOW_ACCOUNT: 'on' },
  });
  context.after(() => stack.close());
  const paid = generationBody({ parameters: { steps: 50 } });
  const sent = Array.from({ length: 3 }, () => stack.generate(paid, { agent }));
  await until(() => stack.service.running === 1 && stack.service.queue.stats('image').queued === 2);
  stack.simulator.setBalance('owner-2@example.org', { fixedAnlas: 1000 });
  await accountAt(stack, 1).balance.refresh();
  stack.service.roster.remove(accountAt(stack, 0));
  assert.deepEqual(namesOf(await Promise.all(sent)), { 'acc-1': 1, 'acc-2': 2 });
  assertOneAtATime(stack, 3);
});
