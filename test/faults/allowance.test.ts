// The V5 allowance runs out in the middle of work, which no answer tells: the next picture costs Anlas, and the books must say so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call } from '../support/http-client.ts';
import { startMoneyStack, type MoneyStack } from '../support/money-stack.ts';
import { QuickClock } from '../support/quick-clock.ts';
import { generationBody } from '../support/stack.ts';

/** Free on Opus as long as the allowance lasts. */
const V5 = { model: 'nai-diffusion-5-full', parameters: { width: 1024, height: 1024, steps: 28 } };
const PRICE_ANLAS = 30;

async function makePictures({ address, token }: MoneyStack, count: number, atOnce: number): Promise<void> {
  let left = count;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      const { status, text } = await call(`${address}/ai/generate-image`, {
        body: generationBody({ ...V5, prompt: `picture ${left}` }),
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      });
      assert.equal(status, 200, text);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
}

for (const [what, allowances, atOnce] of [
  ['one account, one after the other', [0.3], 1],
  ['three accounts, many at once', [0.2, 0.3, 1.2], 8],
] as const)
  test(`${what}, what the allowance did not pay for is in the books, to the Anlas`, async (t) => {
    const stack = await startMoneyStack({ accounts: allowances.map((allowancePercent) => ({ allowancePercent })) });
    t.after(() => stack.close());
    await makePictures(stack, 40, atOnce);
    await stack.settled();
    for (const { balance } of stack.service.pool.accounts) await balance.refresh();
    const audit = await stack.audit();
    t.diagnostic(`NovelAI charged ${audit.truth} Anlas, the ledger has ${audit.ledger}`);
    assert.deepEqual(audit.problems, []);
    // About 17.3 pictures a percent; some were free and some were not.
    assert.ok(audit.truth >= PRICE_ANLAS && audit.truth < 40 * PRICE_ANLAS, String(audit.truth));
  });

test('an allowance that has grown again, the next picture is free in the books too', async (t) => {
  const stack = await startMoneyStack({
    accounts: [{ allowancePercent: 0 }],
    clock: new QuickClock({ speed: 20 }),
    environment: { FIRST_BYTE_TIMEOUT: '20s', UPSTREAM_TIMEOUT: '30s' },
  });
  t.after(() => stack.close());
  await makePictures(stack, 1, 1);
  await stack.settled();
  for (const { balance } of stack.service.pool.accounts) await balance.refresh();
  stack.simulator.setBalance('owner-1@example.org', { allowancePercent: 50 });
  // By the service's clock 12 s: readings are not repeated within seconds.
  await new Promise((resolve) => setTimeout(resolve, 600));
  await makePictures(stack, 1, 1);
  await stack.settled();
  const audit = await stack.audit();
  assert.deepEqual(audit.problems, []);
  assert.equal(audit.truth, PRICE_ANLAS);
});
