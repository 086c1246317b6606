// Tests `price` and the quote behind it: the published prices, by kind of account and by the accounts there are.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join, dirname } from 'node:path';
import { test } from 'node:test';
import { pricedAccount, quotePrice } from '../../../src/accounts/price-quote.ts';
import type { Billable } from '../../../src/novelai/price.ts';
import { readRequestBody } from '../../../src/novelai/request-body.ts';
import { commandLine } from './command-line.ts';

function billable(parameters: Record<string, unknown>, model = 'nai-diffusion-4-5-full'): Billable {
  const body = { input: 'x', model, action: 'generate', parameters };
  return readRequestBody('generate-image', 'application/json', Buffer.from(JSON.stringify(body))).billable;
}

const LARGE = { width: 1024, height: 1536, steps: 28 };
const subscription = { tier: 3, isActive: true, expiresAtUnix: 0, fixedAnlas: 10, purchasedAnlas: 15 };

test('price quote, the cheapest account that can pay is the one it runs on', () => {
  const accounts = [
    pricedAccount('rich', { ...subscription, tier: 1, fixedAnlas: 5000 }),
    pricedAccount('opus', subscription),
    pricedAccount('poor', { ...subscription, tier: 1, fixedAnlas: 0, purchasedAnlas: 0 }),
    pricedAccount('unread', undefined),
  ];
  const small = quotePrice(billable({ width: 832, height: 1216, steps: 28 }), accounts);
  assert.deepEqual(small, {
    anlas: 0,
    free: true,
    reason: '20 x 0, one sample free on Opus',
    accounts: [
      { name: 'rich', anlas: 20, free: false, can_pay: true },
      { name: 'opus', anlas: 0, free: true, can_pay: true },
      { name: 'poor', anlas: 20, free: false, can_pay: false },
      { name: 'unread', anlas: 0, free: true, can_pay: true },
    ],
  });
  const large = quotePrice(billable(LARGE), accounts.slice(0, 3));
  assert.deepEqual(
    [large.anlas, large.free, large.accounts.map(({ can_pay: canPay }) => canPay)],
    [30, false, [true, false, false]],
  );
});

test('price quote, asked for another kind of account', () => {
  const accounts = [pricedAccount('opus', subscription)];
  assert.equal(quotePrice(billable(LARGE), accounts, { tier: 1 }).anlas, 30);
  const asked = quotePrice(billable({ width: 832, height: 1216, steps: 28 }), accounts, { tier: 3, isActive: false });
  assert.deepEqual([asked.anlas, asked.accounts[0]?.anlas], [20, 0]);
  assert.equal(quotePrice(billable({ width: 832, height: 1216, steps: 28 }), [], { tier: 3 }).free, true);
});

test('price quote, without accounts nothing is taken for free, and what is refused says so', () => {
  assert.equal(quotePrice(billable({ width: 832, height: 1216, steps: 28 }), []).anlas, 20);
  const huge = quotePrice(billable({ width: 2048, height: 1536, steps: 50 }, 'nai-diffusion-5-full'), []);
  assert.match(huge.refusal ?? '', /dearer than 140/);
  const uncertain = quotePrice({ kind: 'unknown', why: 'nobody knows' }, [pricedAccount('opus', subscription)]);
  assert.deepEqual([uncertain.anlas, uncertain.free, uncertain.accounts[0]?.can_pay], [140, false, false]);
});

test('price command, by kind of account', async (t) => {
  const { run } = await commandLine(t);
  const { out, exitCode } = await run([
    'price',
    '--model',
    'nai-diffusion-5-full',
    '--size',
    '1024x1024',
    '--samples',
    '2',
  ]);
  assert.equal(exitCode, 0);
  assert.match(out, /^Opus {2,}30 /m);
  assert.match(out, /^Opus, V5 allowance used up {2,}60 /m);
  assert.match(out, /^every other account {2,}60 /m);
  assert.match((await run(['price', '--tier', '1'])).out, /^20 Anlas \(20 x 1\)$/m);
  assert.match((await run(['price', '--tier', '3'])).out, /^Free \(/);
  assert.match((await run(['price', '--tier', '3', '--no-active'])).out, /^20 Anlas/);
  assert.match((await run(['price', '--endpoint', 'upscale', '--tier', '3'])).out, /^1 Anlas/);
});

test('price command, of a body in a file or on standard input, as JSON', async (t) => {
  const { run, dataDir } = await commandLine(t);
  const body = JSON.stringify({ model: 'nai-diffusion-4-5-full', action: 'generate', parameters: LARGE });
  const file = join(dirname(dataDir), 'body.json');
  await writeFile(file, body);
  const quote = JSON.parse((await run(['price', file, '--json'])).out) as { anlas: number; accounts: unknown[] };
  assert.equal(quote.anlas, 30);
  assert.equal(quote.accounts.length, 3);
  assert.deepEqual(JSON.parse((await run(['price', '-', '--json'], { input: body })).out), quote);
});

test('price command, what is wrong is said in one line', async (t) => {
  const { run } = await commandLine(t);
  for (const [args, says] of [
    [['nowhere.json'], /nowhere\.json/],
    [['-'], /JSON/],
    [['--size', 'large'], /832x1216/],
    [['--endpoint', 'suggest-tags'], /generate-image/],
    [['--tier', '4'], /0, 1, 2 or 3/],
  ] as const) {
    const { out, err, exitCode } = await run(['price', ...args]);
    assert.notEqual(exitCode, 0);
    assert.equal(out, '');
    assert.match(err, says);
    assert.equal(err.trim().split('\n').length, 1, err);
  }
});
