// Whatever may cost Anlas passes admit: walks the endpoint table and every form of request, against accounts that can pay nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENDPOINTS, type Endpoint } from '../../src/novelai/endpoints.ts';
import { call } from '../support/http-client.ts';
import { nativeSamples, type NativeSample } from '../support/native-samples.ts';
import { startStack, type Stack } from '../support/stack.ts';

const PAID = ENDPOINTS.filter(({ mayCostAnlas }) => mayCostAnlas);

/** No Opus, so that nothing is free, and no Anlas. */
function startPoor(): Promise<Stack> {
  return startStack({
    accounts: 2,
    eachAccount: (account) => ({ ...account, tier: 1, fixedAnlas: 0, purchasedAnlas: 0 }),
  });
}

/** The path as a careful and as a careless client spells it. */
function spellings({ path }: Endpoint): string[] {
  return [path, `/${path}`, `${path}/`, `${path}?a=1`, path.replaceAll('/', '//')];
}

interface Passed {
  request: string;
  /** Why it counts as having got by. */
  how: string;
}

/** Sends every paid request in every form, and gives those that got by admit. */
async function walk(stack: Stack, samples: readonly NativeSample[]): Promise<{ sent: number; passed: Passed[] }> {
  const { address, token, simulator } = stack;
  const passed: Passed[] = [];
  let sent = 0;
  for (const endpoint of PAID)
    for (const { headers, body, form, status } of samples.filter((sample) => sample.endpoint === endpoint.id))
      for (const method of endpoint.methods)
        for (const path of spellings(endpoint)) {
          if (status >= 400) continue;
          sent += 1;
          const request = `${method} ${path} (${form})`;
          const before = simulator.truth.totals().requests;
          const answer = await call(address + path, {
            method,
            headers: { authorization: `Bearer ${token}`, ...headers },
            ...(body && { body }),
          });
          const reached = simulator.truth
            .rows()
            .slice(before)
            .filter((row) => row.path.startsWith('/ai/'));
          if (reached.length > 0) passed.push({ request, how: 'NovelAI got it' });
          else if (answer.status !== 402 || answer.headers['x-proxy-error'] !== 'upstream_not_enough_anlas')
            passed.push({ request, how: `answered ${answer.status} ${answer.text}` });
        }
  return { sent, passed };
}

test('admit, every paid endpoint in every form and spelling: refused for want of Anlas, nothing sent', async (t) => {
  const stack = await startPoor();
  t.after(() => stack.close());
  const samples = await nativeSamples();
  for (const { id } of PAID)
    assert.ok(
      samples.some(({ endpoint }) => endpoint === id),
      `${id} has a sample`,
    );
  const { sent, passed } = await walk(stack, samples);
  assert.ok(sent >= PAID.length * 5, `${sent} requests were sent`);
  assert.deepEqual(passed, []);
});

test('admit, a walk past it is noticed', async (t) => {
  const stack = await startPoor();
  t.after(() => stack.close());
  // The planted fault: the price is not looked at.
  for (const { balance } of stack.service.pool.accounts) balance.priceOf = () => 0;
  const { passed } = await walk(stack, await nativeSamples());
  assert.deepEqual(
    new Set(passed.map(({ request }) => request.split(' ')[1])).size,
    PAID.length * 5,
    'every paid path, in each spelling, is noticed',
  );
});

test('admit, what takes no slot costs nothing: the ways without admit serve nothing else', () => {
  for (const { id, slot, mayCostAnlas, answers } of ENDPOINTS)
    if (slot === 'none' || answers.by !== 'relay') assert.equal(mayCostAnlas, false, id);
});

test('admit, the paid endpoints are those on record as paid', () => {
  assert.deepEqual(
    PAID.map(({ id }) => id),
    ['generate-image', 'generate-image-stream', 'augment-image', 'encode-vibe', 'upscale', 'annotate-image'],
  );
});
