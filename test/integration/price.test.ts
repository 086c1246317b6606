// `POST /v1/price`: what a request would cost, without sending it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PriceQuote } from '../../src/accounts/price-quote.ts';
import { call, type Answer } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';

const ask = (stack: Stack, query: string, body: Buffer | string): Promise<Answer> =>
  call(`${stack.address}/v1/price${query}`, {
    body,
    headers: { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' },
  });

test('price, free on Opus, and for another kind of account when asked', async (t) => {
  const stack = await startStack({
    accounts: 2,
    eachAccount: (account, index) => ({ ...account, tier: index === 0 ? 3 : 1, fixedAnlas: 50 }),
  });
  t.after(() => stack.close());
  const quote = async (query: string, body = generationBody()) => {
    const answer = await ask(stack, query, body);
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text) as PriceQuote;
  };
  const here = await quote('');
  assert.deepEqual([here.anlas, here.free], [0, true]);
  assert.deepEqual(
    here.accounts.map(({ name, anlas }) => [name, anlas]),
    [
      ['acc-1', 0],
      ['acc-2', 17],
    ],
  );
  assert.equal((await quote('?tier=1')).anlas, 17);
  assert.equal((await quote('?tier=3&active=false')).anlas, 17);
  assert.equal(
    (await quote('?endpoint=encode-vibe', Buffer.from('{"image":"AA==","model":"nai-diffusion-4-5-full"}'))).anlas,
    2,
  );
  assert.equal(stack.simulator.truth.totals().generations, 0);
});

test('price, bad questions are refused by name', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  for (const [query, body, expected] of [
    ['?tier=9', generationBody(), /tier: expected 0 to 3/],
    ['?active=maybe', generationBody(), /active: expected true or false/],
    ['?endpoint=magic', generationBody(), /endpoint: expected one of generate-image/],
    ['', '{', /JSON/],
  ] as const) {
    const answer = await ask(stack, query, body);
    assert.equal(answer.status, 400);
    assert.match(answer.text, expected);
  }
  assert.equal((await call(`${stack.address}/v1/price`, { body: generationBody() })).status, 401);
});
