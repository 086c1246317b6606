// The simulator's faults, one by one, whether they are charged, and the control API that orders them.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Agent, request } from 'undici';
import { unzipSync } from 'fflate';
import { DEFAULT_ACCOUNT, startSimulator } from '../../simulator/simulator.ts';
import type { Simulator } from '../../simulator/simulator.ts';
import type { FaultRule } from '../../simulator/faults.ts';

const { email, persistentToken } = DEFAULT_ACCOUNT;
const CONDITION = { caption: { base_caption: 'x' } };
/** Costs 17 on Tablet. */
const BODY = JSON.stringify({
  input: 'x',
  model: 'nai-diffusion-4-5-full',
  action: 'generate',
  parameters: { width: 832, height: 1216, steps: 23, seed: 1, v4_prompt: CONDITION, v4_negative_prompt: CONDITION },
});
const COST_ANLAS = 17;

let simulator: Simulator;
let agent: Agent;

beforeEach(async () => {
  agent = new Agent();
  simulator = await startSimulator({
    latencyFactor: 0,
    imageScale: 0.0625,
    controlPort: 0,
    accounts: [{ ...DEFAULT_ACCOUNT, tier: 1 }],
  });
});
afterEach(async () => {
  await agent.destroy();
  await simulator.close();
});

interface Outcome {
  status?: number;
  bytes?: Buffer;
  /** Code of the failure, and whether headers had come before it. */
  failure?: string;
  hadHeaders?: boolean;
}

async function generate(signal?: AbortSignal, token = persistentToken): Promise<Outcome> {
  let status: number | undefined;
  try {
    const answer = await request(`${simulator.origin}/ai/generate-image`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: BODY,
      dispatcher: agent,
      ...(signal ? { signal } : {}),
    });
    status = answer.statusCode;
    return { status, bytes: Buffer.from(await answer.body.arrayBuffer()) };
  } catch (error) {
    const { code, name } = error as { code?: string; name: string };
    return { failure: code ?? name, hadHeaders: status !== undefined };
  }
}

function chargedAnlas(): number {
  return simulator.truth.account(email).chargedAnlas;
}

async function withFault(rule: FaultRule): Promise<Outcome> {
  simulator.faults.clear();
  simulator.faults.add(rule);
  const outcome = await generate();
  await simulator.truth.whenIdle();
  assert.equal(simulator.truth.rows().at(-1)?.fault, rule.kind);
  return outcome;
}

test('reset-before-headers, charges only when told so', async () => {
  assert.deepEqual(await withFault({ kind: 'reset-before-headers' }), { failure: 'ECONNRESET', hadHeaders: false });
  assert.equal(chargedAnlas(), 0);
  assert.deepEqual(await withFault({ kind: 'reset-before-headers', isCharged: true }), {
    failure: 'ECONNRESET',
    hadHeaders: false,
  });
  assert.equal(chargedAnlas(), COST_ANLAS);
  assert.equal(simulator.truth.rows().at(-1)?.wasClientGone, false);
});

test('reset-after-headers, comes after the headers and some of the body, charged or not', async () => {
  const outcome = await withFault({ kind: 'reset-after-headers', afterBytes: 100 });
  assert.equal(outcome.hadHeaders, true);
  assert.match(outcome.failure ?? '', /ECONNRESET|UND_ERR_SOCKET/);
  assert.equal(simulator.truth.rows().at(-1)?.answerBytes, 100);
  assert.equal(chargedAnlas(), COST_ANLAS);
  await withFault({ kind: 'reset-after-headers', isCharged: false });
  assert.equal(chargedAnlas(), COST_ANLAS);
});

test('truncate, ends the connection in the middle of a chunked body', async () => {
  const outcome = await withFault({ kind: 'truncate' });
  assert.equal(outcome.hadHeaders, true);
  assert.ok(outcome.failure);
});

test('short-body and garbage, are sound HTTP around what is no ZIP', async () => {
  const whole = (await generate()).bytes?.length ?? 0;
  const short = await withFault({ kind: 'short-body' });
  assert.equal(short.status, 200);
  assert.equal(short.bytes?.length, whole >> 1);
  const garbage = await withFault({ kind: 'garbage' });
  assert.equal(garbage.bytes?.length, whole);
  assert.throws(() => unzipSync(garbage.bytes ?? Buffer.alloc(0)));
});

test('status, answers any status with JSON, HTML or nothing, before or after the charge', async () => {
  const json = await withFault({ kind: 'status', status: 429, headers: { 'retry-after': '7' } });
  assert.equal(json.bytes?.toString(), '{"statusCode":429,"message":"Concurrent generation is locked"}\n');
  const html = await withFault({ kind: 'status', status: 502, body: 'html' });
  assert.match(html.bytes?.toString() ?? '', /<title>Bad gateway/);
  const empty = await withFault({ kind: 'status', status: 504, body: 'empty' });
  assert.deepEqual([empty.status, empty.bytes?.length], [504, 0]);
  assert.equal(chargedAnlas(), 0);
  assert.equal((await withFault({ kind: 'status', status: 500, isCharged: true })).status, 500);
  assert.equal(chargedAnlas(), COST_ANLAS);
});

test('hang, gives no answer until the client leaves, charged or not', async () => {
  for (const isCharged of [false, true]) {
    simulator.faults.clear();
    simulator.faults.add({ kind: 'hang', isCharged });
    assert.equal((await generate(AbortSignal.timeout(150))).hadHeaders, false);
    await simulator.truth.whenIdle();
    assert.equal(simulator.truth.rows().at(-1)?.wasClientGone, true);
    assert.equal(chargedAnlas(), isCharged ? COST_ANLAS : 0);
  }
});

test('streams, fail in every way too, and are charged when told so', async () => {
  const stream = async (rule: FaultRule): Promise<Outcome> => {
    simulator.faults.clear();
    simulator.faults.add(rule);
    let status: number | undefined;
    try {
      const answer = await request(`${simulator.origin}/ai/generate-image-stream`, {
        method: 'POST',
        headers: { authorization: `Bearer ${persistentToken}` },
        body: BODY,
        dispatcher: agent,
        signal: AbortSignal.timeout(rule.kind === 'hang' ? 300 : 20_000),
      });
      status = answer.statusCode;
      return { status, bytes: Buffer.from(await answer.body.arrayBuffer()) };
    } catch (error) {
      const { code, name } = error as { code?: string; name: string };
      return { failure: code ?? name, hadHeaders: status !== undefined };
    } finally {
      await simulator.truth.whenIdle();
    }
  };
  const whole = (await stream({ kind: 'delay' })).bytes?.length ?? 0;
  const isCharged = true;
  assert.equal((await stream({ kind: 'reset-before-headers', isCharged })).hadHeaders, false);
  assert.equal((await stream({ kind: 'status', status: 502, isCharged })).status, 502);
  assert.equal((await stream({ kind: 'hang', isCharged, afterBytes: 100 })).hadHeaders, true);
  assert.equal((await stream({ kind: 'truncate', afterBytes: 100 })).hadHeaders, true);
  assert.equal((await stream({ kind: 'short-body', afterBytes: 100 })).bytes?.length, 100);
  assert.equal((await stream({ kind: 'garbage' })).bytes?.length, whole);
  assert.equal(chargedAnlas(), 7 * COST_ANLAS);
  await stream({ kind: 'reset-after-headers', isCharged: false });
  await stream({ kind: 'stream-error' });
  assert.equal(chargedAnlas(), 7 * COST_ANLAS);
  await stream({ kind: 'stream-error', isCharged });
  assert.equal(chargedAnlas(), 8 * COST_ANLAS);
});

test('delay and slow-body, are right but late', async () => {
  const whole = (await generate()).bytes;
  for (const kind of ['delay', 'slow-body'] as const) {
    const startMs = performance.now();
    assert.deepEqual((await withFault({ kind, delayMs: 200 })).bytes, whole);
    assert.ok(performance.now() - startMs >= 195, kind);
  }
});

test('rules, strike by number, every n-th, at most so often, by account and endpoint, in order', async () => {
  const statuses = async (count: number) => {
    const seen: (number | undefined)[] = [];
    for (let turn = 0; turn < count; turn++) seen.push((await generate()).status);
    return seen;
  };
  simulator.faults.add({ kind: 'status', status: 503, nth: [2, 4] });
  assert.deepEqual(await statuses(5), [200, 503, 200, 503, 200]);
  simulator.faults.clear();
  simulator.faults.add({ kind: 'status', status: 503, every: 3, times: 1 });
  assert.deepEqual(await statuses(6), [200, 200, 503, 200, 200, 200]);
  simulator.faults.clear();
  simulator.faults.add({ kind: 'status', status: 501, account: 'other@example.com' });
  simulator.faults.add({ kind: 'status', status: 501, endpoint: 'upscale' });
  simulator.faults.add({ kind: 'status', status: 502, path: '/ai/', times: 1 });
  const last = simulator.faults.add({ kind: 'status', status: 503 });
  assert.deepEqual(await statuses(2), [502, 503]);
  assert.equal(simulator.faults.remove(last), true);
  assert.deepEqual(await statuses(1), [200]);
});

test('probability, strikes about as often as it says and the same for the same seed', async () => {
  const pattern = async () => {
    const own = await startSimulator({ latencyFactor: 0, cannedAnswerBytes: 600, seed: 7 });
    own.faults.add({ kind: 'status', status: 500, probability: 0.3 });
    const struck: number[] = [];
    for (let turn = 0; turn < 100; turn++) {
      const answer = await request(`${own.origin}/user/subscription`, {
        headers: { authorization: `Bearer ${persistentToken}` },
        dispatcher: agent,
      });
      await answer.body.dump();
      if (answer.statusCode === 500) struck.push(turn);
    }
    await own.close();
    return struck;
  };
  const first = await pattern();
  assert.ok(first.length > 15 && first.length < 45, `${first.length}`);
  assert.deepEqual(await pattern(), first);
});

test('a fault on login, can be aimed at one account by its key', async () => {
  simulator.addAccount({ email: 'b@example.com', password: 'b-password' });
  simulator.faults.add({ kind: 'status', status: 500, endpoint: 'user-login', account: 'b@example.com' });
  const login = async (index: number) => {
    const key = await simulator.accounts[index]?.accessKey();
    const answer = await request(`${simulator.origin}/user/login`, {
      method: 'POST',
      body: JSON.stringify({ key }),
      dispatcher: agent,
    });
    await answer.body.dump();
    return answer.statusCode;
  };
  assert.deepEqual([await login(0), await login(1)], [201, 500]);
  assert.equal(simulator.truth.account(email).logins, 1);
});

async function control(method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, body?: unknown) {
  const answer = await request(`${simulator.controlUrl}${path}`, {
    method,
    dispatcher: agent,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.statusCode, json: (await answer.body.json()) as Record<string, unknown> };
}

test('control API, does what its list of commands says', async () => {
  const commands = await control('GET', '/');
  assert.ok(Object.keys(commands.json).length > 12);

  const { json: fault } = await control('POST', '/faults', { kind: 'status', status: 503, times: 1 });
  assert.equal((await generate()).status, 503);
  assert.equal(((await control('GET', '/faults')).json as unknown as { struck: number }[])[0]?.struck, 1);
  assert.equal((await control('DELETE', `/faults/${String(fault['id'])}`)).status, 200);
  assert.equal((await control('DELETE', '/faults/none')).status, 404);

  assert.equal(
    (await control('PATCH', `/accounts/${encodeURIComponent(email)}`, { fixedAnlas: 3 })).json['fixedAnlas'],
    3,
  );
  assert.equal((await generate()).status, 402);
  await control('PATCH', `/accounts/${email}`, { fixedAnlas: 100 });

  const { json: token } = await control('POST', '/tokens', { email, lifetimeSeconds: 60 });
  assert.equal((await generate(undefined, String(token['accessToken']))).status, 200);
  await control('POST', '/clock', { advanceMs: 61_000 });
  assert.equal((await generate(undefined, String(token['accessToken']))).status, 401);
  await control('POST', '/tokens/revoke', {});
  assert.equal((await generate()).status, 401);

  assert.deepEqual((await control('PUT', '/latency', { fixedMs: 5 })).json, { factor: 0, fixedMs: 5 });
  const truth = (await control('GET', '/truth')).json as { totals: { generations: number; faults: number } };
  assert.deepEqual([truth.totals.generations, truth.totals.faults], [1, 1]);
  const rows = (await control('GET', '/truth/rows?after=1&limit=2')).json as unknown as { id: number }[];
  assert.deepEqual(
    rows.map(({ id }) => id),
    [2, 3],
  );
  assert.equal((await control('GET', '/truth/idle')).json['done'], true);
  await control('DELETE', '/truth');
  assert.equal(simulator.truth.totals().requests, 0);
});

test('control API, refuses misspelt orders with the reason', async () => {
  const refused = await control('POST', '/faults', { kind: 'status', statsu: 503 });
  assert.equal(refused.status, 400);
  assert.match(String(refused.json['error']), /statsu/);
  assert.equal((await control('POST', '/tokens', { email: 'nobody@example.com' })).status, 400);
  assert.equal((await control('GET', '/nothing')).status, 404);
});
