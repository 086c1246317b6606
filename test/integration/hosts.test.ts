// Several hosts of NovelAI: balanced, failed over, a bad one left out and brought back by one probe; and whose fault a 500 is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { generationBody, madeUpAccounts, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const ACCOUNTS = 4;

/** A proxy over two hosts that know the same accounts. */
async function twoHosts(
  environment: Record<string, string> = {},
): Promise<{ stack: Stack; second: Simulator; close: () => Promise<void> }> {
  const second = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts: madeUpAccounts(ACCOUNTS) });
  const first = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts: madeUpAccounts(ACCOUNTS) });
  const stack = await startStack({
    accounts: ACCOUNTS,
    environment: { NOVELAI_IMAGE_URL: `${first.imageUrl},${second.imageUrl}`, ...environment },
  });
  // Tokens of one simulated host are good at the other: both are made from the same seed.
  return {
    stack: { ...stack, simulator: first },
    second,
    async close() {
      await stack.close();
      await first.close();
      await second.close();
    },
  };
}

const generations = (simulator: Simulator) =>
  simulator.truth.rows().filter(({ endpoint }) => endpoint === 'generate-image');

async function send(stack: Stack, count: number, parallel: number, prompt = 'picture'): Promise<number[]> {
  const statuses: number[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++)
      statuses.push((await stack.generate(generationBody({ prompt: `${prompt} ${index}` }))).status);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return statuses;
}

test('two hosts, both well: both are used', async (t) => {
  const { stack, second, close } = await twoHosts();
  t.after(close);
  assert.deepEqual([...new Set(await send(stack, 40, 8))], [200]);
  assert.ok(generations(stack.simulator).length >= 10 && generations(second).length >= 10);
});

for (const [what, fault] of [
  ['answers 503', { kind: 'status', status: 503, body: 'html' }],
  ['answers 500', { kind: 'status', status: 500 }],
  ['hangs', { kind: 'hang' }],
  ['resets', { kind: 'reset-before-headers' }],
] as const)
  test(`two hosts, one ${what}: out after five, at most five requests lost, none sent twice`, async (t) => {
    const { stack, second, close } = await twoHosts(fault.kind === 'hang' ? { FIRST_BYTE_TIMEOUT: '2s' } : {});
    t.after(close);
    second.faults.add({ endpoint: 'generate-image', ...fault });
    const statuses = await send(stack, 120, 8);
    const lost = statuses.filter((status) => status !== 200).length;
    t.diagnostic(`${lost} of 120 lost`);
    assert.ok(lost >= 1 && lost <= 5, `lost ${lost}`);
    const prompts = [...generations(stack.simulator), ...generations(second)]
      .map(({ requestSha256 }) => requestSha256)
      .filter(Boolean);
    assert.equal(new Set(prompts).size, prompts.length, 'no request went to NovelAI twice');
  });

test("a client's own bad requests, repeated a thousand times, leave every account ready", async (t) => {
  const stack = await startStack({ accounts: 4, simulator: { fixedLatencyMs: 1 } });
  t.after(() => stack.close());
  // Without v4_prompt NovelAI answers 500 (contract 4.3); with an unknown model 400; the last is refused by the proxy itself.
  const bodies = [
    (index: number) => generationBody({ parameters: { v4_prompt: undefined, seed: index } }),
    (index: number) => generationBody({ model: `no-such-model-${index % 5}` }),
    () => '{"input":',
  ];
  await send(stack, 20, 4, 'good ones first');
  const counts: Record<number, number> = {};
  for (let index = 0; index < 1000; index += 8)
    for (const { status } of await Promise.all(
      Array.from({ length: 8 }, (_, offset) =>
        stack.generate(bodies[(index + offset) % bodies.length]?.(index + offset) ?? ''),
      ),
    ))
      counts[status] = (counts[status] ?? 0) + 1;
  t.diagnostic(JSON.stringify(counts));
  assert.ok((counts[500] ?? 0) > 300 && (counts[400] ?? 0) > 600);
  assert.deepEqual(
    stack.service.pool.accounts.map((account) => account.availability('image')),
    Array.from({ length: 4 }, () => ({ state: 'ready' })),
  );
});

test('one account of four answers 500 where the others succeed: it is taken out of use', async (t) => {
  const stack = await startStack({ accounts: 4 });
  t.after(() => stack.close());
  stack.simulator.faults.add({
    endpoint: 'generate-image',
    account: 'owner-2@example.org',
    kind: 'status',
    status: 500,
  });
  const statuses = await send(stack, 80, 8);
  const lost = statuses.filter((status) => status !== 200).length;
  assert.ok(lost >= 5 && lost < 40, `lost ${lost}`);
  await until(() => stack.service.pool.accounts[1]?.availability('image').state === 'cooling');
  assert.equal(stack.service.pool.accounts[1]?.availability('image').why, 'several requests in a row failed');
});
