// What a client is told of "its" account, how it logs in, what it is not given, and what web pages may do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ENDPOINTS } from '../../src/novelai/endpoints.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { deriveAccessKey } from '../../src/novelai/access-key.ts';
import { readSubscription } from '../../src/novelai/subscription.ts';
import { call, type CallOptions } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const TOKEN = `pst-${'Made0Up1'.repeat(8)}`;

let stack: Stack;
before(async () => {
  stack = await startStack({
    accounts: 2,
    environment: { SERVER_TOKENS: `Tavern:${TOKEN},other:${TOKEN}2` },
    eachAccount: (account, index) => ({
      ...account,
      tier: index === 0 ? 1 : 3,
      fixedAnlas: 1000 + index,
      purchasedAnlas: 5,
    }),
  });
});
after(() => stack.close());

function ask(path: string, options: CallOptions & { token?: string } = {}) {
  const { token = TOKEN, headers, ...rest } = options;
  return call(stack.address + path, {
    method: 'GET',
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...rest,
  });
}

async function json(path: string): Promise<Record<string, unknown>> {
  const answer = await ask(path);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.ok(answer.text.endsWith('}\n'), 'as NovelAI ends its JSON');
  return JSON.parse(answer.text) as Record<string, unknown>;
}

test("subscription, today's shape and the old perks, with the accounts' Anlas added up", async () => {
  const asked = stack.simulator.truth.rows().filter(({ endpoint }) => endpoint === 'user-subscription').length;
  const subscription = await json('/user/subscription');
  assert.deepEqual(Object.keys(subscription), [
    'tier',
    'active',
    'paymentProcessor',
    'paymentProcessorData',
    'expiresAt',
    'perks',
    'trainingStepsLeft',
    'accountType',
    'isGracePeriod',
    'isPaypal',
    'usage',
  ]);
  assert.equal(subscription['paymentProcessorData'], null);
  assert.deepEqual(subscription['trainingStepsLeft'], { fixedTrainingStepsLeft: 2011, purchasedTrainingSteps: 0 });
  assert.deepEqual(subscription['perks'], {
    maxPriorityActions: 1000,
    startPriority: 10,
    contextTokens: 8192,
    unlimitedMaxPriority: true,
    moduleTrainingSteps: 10_000,
    voiceGeneration: true,
    imageGeneration: true,
    unlimitedImageGeneration: true,
    unlimitedImageGenerationLimits: [{ resolution: 1_048_576, maxPrompts: 1 }],
  });
  const read = readSubscription(subscription);
  assert.equal(read?.tier, 3);
  assert.equal(read.isActive, true);
  assert.equal(read.allowance?.isNegative, false);
  assert.ok(read.expiresAtUnix > Date.now() / 1000);
  const askedNow = stack.simulator.truth.rows().filter(({ endpoint }) => endpoint === 'user-subscription').length;
  assert.equal(askedNow, asked, 'NovelAI is not asked for it');
});

test("user data, information and priority, nothing in them is the owner's", async () => {
  const data = await json('/user/data');
  assert.deepEqual(Object.keys(data), ['priority', 'subscription', 'keystore', 'settings', 'information']);
  assert.deepEqual(data['subscription'], await json('/user/subscription'));
  assert.deepEqual(data['information'], await json('/user/information'));
  assert.deepEqual(data['priority'], await json('/user/priority'));
  assert.deepEqual(data['priority'], { maxPriorityActions: 1000, nextRefillAt: 0, taskPriority: 10 });
  const text = JSON.stringify(data);
  for (const secret of stack.secrets) assert.ok(!text.includes(secret));
  for (const { email } of stack.simulator.accounts) assert.ok(!text.includes(email));
  assert.match(text, /"plainTextEmail":"Tavern"/);
});

for (const [what, email] of [
  ['as it is written', 'Tavern'],
  ['in lower case, as the web client sends it', 'tavern'],
] as const)
  test(`login, name ${what}, token as password: a session that works here`, async () => {
    const key = await deriveAccessKey(email, TOKEN);
    const answer = await call(`${stack.address}/user/login`, { body: JSON.stringify({ timeout: 1, key, email }) });
    assert.equal(answer.status, 201, answer.text);
    assert.equal(answer.headers['content-type'], 'application/json');
    const { accessToken } = JSON.parse(answer.text) as { accessToken: string };
    assert.match(accessToken, /^ey[\w-]+\.[\w-]+\.[\w-]+$/);
    const information = await ask('/user/information', { token: accessToken });
    assert.match(information.text, /"plainTextEmail":"Tavern"/);
    assert.equal((await stack.generate(generationBody(), { token: accessToken })).status, 200);
    const forged = accessToken.slice(0, -2) + (accessToken.endsWith('AA') ? 'BB' : 'AA');
    assert.equal((await ask('/user/information', { token: forged })).status, 401);
  });

test('login, the key in the other base64 alphabet is taken too', async () => {
  const key = (await deriveAccessKey('Tavern', TOKEN)).replaceAll('-', '+').replaceAll('_', '/');
  assert.match(key, /[+/]/, 'these two spell it differently');
  assert.equal((await call(`${stack.address}/user/login`, { body: JSON.stringify({ key }) })).status, 201);
});

test("login, a client of the database: a session that works here until the client's token is another", async () => {
  const { clients } = stack.service.storage;
  const { token } = await clients.add('Reading Room');
  const logIn = async (secret: string) => {
    const key = await deriveAccessKey('reading room', secret);
    const { status, text } = await call(`${stack.address}/user/login`, { body: JSON.stringify({ key }) });
    return { status, session: (JSON.parse(text) as { accessToken?: string }).accessToken };
  };
  await until(() => stack.service.clients.find(token) !== undefined);
  const { status, session = '' } = await logIn(token);
  assert.equal(status, 201);
  assert.match((await ask('/user/information', { token: session })).text, /"plainTextEmail":"Reading Room"/);
  assert.equal((await stack.generate(generationBody(), { token: session })).status, 200);
  assert.equal((await logIn(newClientToken())).status, 401);

  const rotated = await clients.rotate('Reading Room');
  await until(() => stack.service.clients.find(rotated.token) !== undefined);
  assert.equal((await ask('/user/information', { token: session })).status, 401);
  assert.equal((await logIn(token)).status, 401);
  assert.equal((await logIn(rotated.token)).status, 201);
});

for (const [what, body, status] of [
  ["somebody else's password", async () => ({ key: await deriveAccessKey('Tavern', `${TOKEN}2`) }), 401],
  ['a plain password', () => ({ key: TOKEN }), 401],
  ['no key', () => ({ email: 'Tavern' }), 400],
  ['a key that is a number', () => ({ key: 5 }), 400],
  ['no JSON', () => 'key=1', 400],
  ['nothing', () => '', 400],
] as const)
  test(`login, ${what}: ${status} in NovelAI's form`, async () => {
    const value = await body();
    const answer = await call(`${stack.address}/user/login`, {
      body: typeof value === 'string' ? value : JSON.stringify(value),
    });
    assert.equal(answer.status, status);
    assert.equal((JSON.parse(answer.text) as { statusCode: number }).statusCode, status);
    if (status === 401) assert.match(answer.text, /"message":"Unauthorized"/);
  });

test('private and account-changing endpoints, each method: 403 with the reason, nothing sent', async () => {
  const refused = ENDPOINTS.filter(({ answers }) => answers.by === 'refused');
  assert.ok(refused.length > 10);
  const before = stack.simulator.truth.totals().requests;
  for (const { path, methods, answers } of refused)
    for (const method of methods) {
      const answer = await ask(path.replace('*', 'stories/1'), {
        method,
        ...(method !== 'GET' && { body: '{"a":1}' }),
      });
      assert.equal(answer.status, 403, path);
      assert.equal(answer.headers['x-proxy-error'], 'policy_endpoint_refused');
      assert.deepEqual(JSON.parse(answer.text), { statusCode: 403, message: 'why' in answers ? answers.why : '' });
    }
  assert.equal(stack.simulator.truth.totals().requests, before);
});

test('unknown path, 404 names what there is; a refused method names what is allowed', async () => {
  for (const path of ['/ai/nothing?token=abc', '/nothing', '/user/objects', '/oa/v1/nothing']) {
    const answer = await ask(path, { method: 'POST' });
    assert.equal(answer.status, 404, path);
    const { message, details } = JSON.parse(answer.text) as { message: string; details: { available: string[] } };
    assert.ok(message.startsWith(`Not Found: there is no POST ${path.split('?')[0]} here`), message);
    assert.ok(details.available.includes('POST /ai/generate-image'));
    assert.ok(details.available.includes('GET /user/subscription'));
    assert.ok(!details.available.some((line) => line.includes('keystore')));
    assert.ok(!answer.text.includes('abc'), 'a query may hold a token');
  }
  const put = await ask('/user/subscription', { method: 'PUT' });
  assert.equal(put.status, 405);
  assert.equal(put.headers.allow, 'GET');
});

test('CORS, any page may ask and read, errors too', async () => {
  const origin = { origin: 'https://page.example' };
  for (const [answer, status] of [
    [await ask('/user/information', { headers: origin }), 200],
    [await ask('/user/information', { headers: origin, token: 'wrong' }), 401],
    [await ask('/ai/nothing', { headers: origin }), 404],
    [await stack.generate(generationBody(), { token: TOKEN, headers: origin }), 200],
  ] as const) {
    assert.equal(answer.status, status);
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.match(String(answer.headers['access-control-allow-headers']), /^Authorization, Content-Type/);
    assert.match(String(answer.headers['access-control-expose-headers']), /x-request-id/);
  }
  assert.equal((await ask('/user/information')).headers['access-control-allow-origin'], undefined, 'no page, no CORS');
});

test('CORS, the question before: 204 with the methods, without a token', async () => {
  const preflight = await call(`${stack.address}/ai/generate-image-stream`, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://page.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.body.length, 0);
  assert.equal(preflight.headers['access-control-allow-origin'], '*');
  assert.equal(preflight.headers['access-control-allow-methods'], 'POST');
  assert.equal(preflight.headers['access-control-max-age'], '600');
});

test('CORS, only the origins that are configured', async (t) => {
  const own = await startStack({ environment: { CORS_ORIGINS: 'https://mine.example, http://localhost:3000' } });
  const off = await startStack({ environment: { CORS_ORIGINS: 'off' } });
  t.after(async () => {
    await own.close();
    await off.close();
  });
  const allowed = async ({ address, token }: Stack, origin: string) =>
    (await call(`${address}/user/priority`, { method: 'GET', headers: { authorization: `Bearer ${token}`, origin } }))
      .headers;
  assert.equal((await allowed(own, 'https://mine.example'))['access-control-allow-origin'], 'https://mine.example');
  assert.equal((await allowed(own, 'http://localhost:3000'))['access-control-allow-origin'], 'http://localhost:3000');
  const foreign = await allowed(own, 'https://other.example');
  assert.equal(foreign['access-control-allow-origin'], undefined);
  assert.equal(foreign.vary, 'Origin');
  assert.equal((await allowed(off, 'https://mine.example'))['access-control-allow-origin'], undefined);
});
