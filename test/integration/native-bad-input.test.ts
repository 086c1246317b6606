// Malformed requests: each gets its clear answer, nothing of it is kept, and no account is touched by it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { BODY_LIMIT_BYTES, badRequests, type BadRequest } from '../support/bad-requests.ts';
import { call } from '../support/http-client.ts';
import { startProxyProcess, type ProxyProcess } from '../support/proxy-process.ts';
import { generationBody, madeUpAccounts } from '../support/stack.ts';

const WARM_UP_ROUNDS = 30;
const ROUNDS = 40;
/** The last ones of either, of which the extremes count. */
const SAMPLED_ROUNDS = 8;
/** What a heap may still grow after its warm-up; bodies that were kept would be nearly twice that. */
const ALLOWED_GROWTH_BYTES = 36 * 1024 ** 2;

let simulator: Simulator;
let proxy: ProxyProcess;
let list: BadRequest[];

before(async () => {
  const accounts = madeUpAccounts(2);
  simulator = await startSimulator({ fixedLatencyMs: 2, imageScale: 0.05, accounts });
  // A process of its own, so that its memory can be looked at.
  proxy = await startProxyProcess(simulator, accounts, { BODY_LIMIT: String(BODY_LIMIT_BYTES) });
  list = await badRequests();
});
after(async () => {
  await proxy.stop();
  await simulator.close();
});

/** What NovelAI got since then, but for the service's own account calls. */
function reached(afterId: number) {
  return simulator.truth.rows(afterId).filter(({ endpoint }) => !endpoint.startsWith('user-'));
}

test('bad input, at least 30 kinds of it, each with its clear answer, none sent but where NovelAI is to judge', async (t) => {
  assert.ok(list.length >= 30, `${list.length} kinds`);
  for (const { name, send, status, says, reaches } of list)
    await t.test(`${name}: ${status}`, async () => {
      const afterId = simulator.truth.rows().at(-1)?.id ?? 0;
      const answer = await send(proxy);
      assert.equal(answer.status, status, answer.text.slice(0, 300));
      assert.match(answer.text, says);
      if (status >= 400 && answer.headers['content-type'] !== undefined) {
        assert.equal(answer.headers['content-type'], 'application/json');
        assert.equal((JSON.parse(answer.text) as { statusCode: number }).statusCode, status);
      }
      assert.equal(reached(afterId).length, reaches === undefined ? 0 : 1, 'what NovelAI got');
      assert.deepEqual(await proxy.accountStates(), ['ready', 'ready']);
    });
});

test(
  'bad input, over and over: memory stays flat',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const rssAfter = async (rounds: number) => {
      const samples: number[] = [];
      for (let count = 0; count < rounds; count += 1) {
        for (const { send } of list) await send(proxy);
        samples.push(await proxy.rssBytes());
      }
      return samples.slice(-SAMPLED_ROUNDS);
    };
    // V8 lets some 64 MB of Buffers become garbage before it collects: a single reading tells little.
    const before = Math.max(...(await rssAfter(WARM_UP_ROUNDS)));
    const growthBytes = Math.min(...(await rssAfter(ROUNDS))) - before;
    const sentBytes = ROUNDS * list.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    t.diagnostic(
      `${ROUNDS * list.length} requests, ${toMb(sentBytes)} MB: from ${toMb(before)} MB, ${toMb(growthBytes)} MB more`,
    );
    assert.ok(sentBytes > 2 * ALLOWED_GROWTH_BYTES, 'so much was sent that keeping it would show');
    assert.ok(growthBytes < ALLOWED_GROWTH_BYTES, `${toMb(growthBytes)} MB more`);
  },
);

test('bad input, afterwards the accounts are as they were and serve', async () => {
  assert.deepEqual(await proxy.accountStates(), ['ready', 'ready']);
  const answer = await call(`${proxy.address}/ai/generate-image`, {
    body: generationBody(),
    headers: { authorization: `Bearer ${proxy.token}`, 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 200);
  const { logins, lockRefusals, greatestOverlap } = simulator.truth.totals();
  assert.deepEqual({ logins, lockRefusals, greatestOverlap }, { logins: 2, lockRefusals: 0, greatestOverlap: 1 });
});

function toMb(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
