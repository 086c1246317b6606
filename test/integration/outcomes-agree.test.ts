// Every request has one outcome, and the metrics, the log and the ledger agree on it: mixed work under faults, leavers and
// refusals of every kind, counted afterwards in all three. OUTCOME_REQUESTS=10000 makes it long.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { SeededRandom } from '../../simulator/random.ts';
import { ENDPOINTS } from '../../src/novelai/endpoints.ts';
import { call, type CallOptions } from '../support/http-client.ts';
import { MixedWork } from '../support/mixed-work.ts';
import { countBy, readLedger, sum } from '../support/money-audit.ts';
import { scrape } from '../support/scrape.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const REQUESTS = Number(process.env['OUTCOME_REQUESTS'] ?? 300);
const OPEN_AT_ONCE = 24;
const LEAVER_SHARE = 0.05;
/** Each kind of fault strikes this share of the requests. */
const FAULT_SHARE = 0.02;

interface Line {
  requestId: string;
  outcome: string;
  endpoint: string;
  account?: string;
  status?: number;
  cache?: string;
  replayed?: string;
  chargedAnlas?: number;
}

interface Errand extends CallOptions {
  path: string;
}

test('outcomes, metrics, log and ledger count the same, one for each request', { timeout: 900_000 }, async (t) => {
  const stack = await startStack({
    accounts: REQUESTS > 1000 ? 16 : 6,
    clients: 3,
    simulator: { fixedLatencyMs: 8, cannedAnswerBytes: 3000, truthLimit: REQUESTS * 4 + 1000 },
    eachAccount: (account, index) => ({ ...account, tier: index % 2 === 0 ? 3 : 1, fixedAnlas: REQUESTS * 30 }),
    environment: {
      LOG_MAX_SIZE: '1gb',
      FIRST_BYTE_TIMEOUT: '400ms',
      IDLE_TIMEOUT: '400ms',
      UPSTREAM_TIMEOUT: '800ms',
      DRAIN_TIMEOUT: '300ms',
      BODY_LIMIT: '256k',
    },
  });
  t.after(() => stack.close());
  planFaults(stack);
  const errands = await newErrands(stack);
  const { sent, left } = await run(stack, errands);
  const dataDir = join(stack.dir, 'data');

  // Who left may still be at NovelAI, and who left at once may never have been seen.
  await stack.settled();
  await until(() => linesOf(stack).length >= sent - left);
  await until(() => stack.service.storage.ledger.owedCount === 0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const metrics = await scrape(stack.address);
  const lines = linesOf(stack);
  const { attempts } = await readLedger(dataDir);

  const counted = metrics.by('novelai_proxy_requests_total', 'outcome');
  const logged = countBy(lines, ({ outcome }) => outcome);
  const booked = countBy(attempts, ({ outcome }) => outcome ?? 'open');
  const admitted = countBy(lines.filter(mustBeBooked), ({ outcome }) => outcome);
  for (const row of table({ counted, logged, admitted, booked })) t.diagnostic(row);

  assert.deepEqual(counted, logged, 'metrics and log');
  assert.ok(lines.length >= sent - left && lines.length <= sent, `${lines.length} lines for ${sent} requests`);
  assert.equal(new Set(lines.map(({ requestId }) => requestId)).size, lines.length, 'one line for each request');
  compareWithLedger(lines, attempts);
  const charged = sum(lines.map(({ chargedAnlas }) => chargedAnlas ?? 0));
  assert.equal(metrics.sum('novelai_proxy_anlas_charged_total'), charged, 'Anlas in metrics and log');
  // A run that did nothing shows nothing.
  assert.ok((logged['succeeded'] ?? 0) > REQUESTS / 4, 'many succeeded');
  assert.ok(charged > REQUESTS, 'something was paid');
  const missing = EXPECTED.filter((outcome) => !logged[outcome]);
  assert.deepEqual(missing, [], 'every outcome that can be provoked occurred');
});

/** Those that need no broken database, and that the ledger does not find out later. */
const EXPECTED = [
  'succeeded',
  'cancelled_queued',
  'expired_queued',
  'refused_auth',
  'refused_rate',
  'refused_budget',
  'refused_policy',
  'refused_invalid',
  'refused_capacity',
  'impossible',
  'failed_client',
  'failed_upstream_free',
  'unknown',
];

function linesOf({ logDir }: Stack): Line[] {
  return readFileSync(join(logDir, 'app.log'), 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('"msg":"request"}'))
    .map((line) => JSON.parse(line) as Line);
}

const HAS_SLOT = new Set<string>(ENDPOINTS.filter(({ slot }) => slot !== 'none').map(({ id }) => id));

/** Whatever was given an account was admitted; so was what ended in the queue. Answers from a store need no second entry. */
function mustBeBooked({ endpoint, account, outcome, cache, replayed }: Line): boolean {
  if (!HAS_SLOT.has(endpoint) || cache !== undefined || replayed !== undefined) return false;
  return account !== undefined || outcome === 'expired_queued';
}

function compareWithLedger(lines: readonly Line[], attempts: readonly { id: string; outcome: string | null }[]): void {
  const outcomes = new Map(lines.map(({ requestId, outcome }) => [requestId, outcome]));
  const differing = attempts.filter(({ id, outcome }) => outcomes.get(id) !== outcome);
  assert.deepEqual(
    differing.map(({ id, outcome }) => ({ id, ledger: outcome, log: outcomes.get(id) })),
    [],
    'what the ledger says, the log says',
  );
  const ids = new Set(attempts.map(({ id }) => id));
  assert.equal(ids.size, attempts.length, 'one row for each request');
  assert.deepEqual(
    lines.filter((line) => mustBeBooked(line) && !ids.has(line.requestId)),
    [],
    'what was admitted is in the ledger',
  );
}

function table(columns: Record<string, Record<string, number>>): string[] {
  const outcomes = [...new Set(Object.values(columns).flatMap((column) => Object.keys(column)))].toSorted();
  const cells = (row: readonly (string | number)[]) =>
    row.map((cell, index) => (index === 0 ? String(cell).padEnd(24) : String(cell).padStart(10))).join('');
  const totals = Object.values(columns).map((column) => sum(Object.values(column)));
  return [
    cells(['outcome', ...Object.keys(columns)]),
    ...outcomes.map((outcome) => cells([outcome, ...Object.values(columns).map((column) => column[outcome] ?? 0)])),
    cells(['all', ...totals]),
  ];
}

function planFaults({ simulator: { faults } }: Stack): void {
  const add = (fault: Omit<Parameters<typeof faults.add>[0], 'path' | 'probability'>) =>
    faults.add({ path: '/ai/', probability: FAULT_SHARE, ...fault });
  for (const isCharged of [true, false]) {
    add({ isCharged, kind: 'reset-before-headers' });
    add({ isCharged, kind: 'truncate' });
    add({ isCharged, kind: 'hang' });
    add({ isCharged, kind: 'status', status: 500 });
  }
  add({ kind: 'status', status: 429 });
  add({ kind: 'status', status: 401 });
  add({ kind: 'status', status: 400 });
}

/** Gives the errands one after the other: two of three are work of every kind, the others end before they reach NovelAI. */
async function newErrands(stack: Stack): Promise<(index: number) => Promise<Errand>> {
  const { clients } = stack.service.storage;
  const issue = async (name: string, settings: object) => (await clients.add(name, settings)).token;
  const frugal = await issue('frugal', { freeOnly: 'reject' });
  const poor = await issue('poor', { anlasPerDay: 1 });
  const slow = await issue('slow', { requestsPerMinute: 1 });
  const narrow = await issue('narrow', { endpoints: ['upscale'] });
  const alone = await issue('alone', { maxQueued: 0 });
  await until(() => stack.service.clients.find(alone) !== undefined);
  const work = new MixedWork(REQUESTS);
  const dear = { width: 1472, height: 1472 };
  const picture = (n: number, token: string, parameters = {}, headers = {}): Errand => ({
    path: '/ai/generate-image',
    body: generationBody({ prompt: `errand ${n}`, parameters }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
  });
  const others: ((n: number) => Errand)[] = [
    (n) => picture(n, `made-up-${n}`),
    (n) => ({ ...picture(n, stack.token), body: '{' }),
    (n) => ({ ...picture(n, stack.token), path: `/ai/made-up-${n}` }),
    (n) => ({ ...picture(n, stack.token), path: '/user/delete' }),
    (n) => picture(n, stack.token, { width: 4096, height: 4096, steps: 50 }),
    (n) => picture(n, frugal, dear),
    (n) => picture(n, poor, dear),
    (n) => picture(n, slow),
    (n) => picture(n, narrow),
    (n) => picture(n, alone),
    (n) => picture(n, stack.token, {}, { 'x-queue-timeout': '1ms' }),
    (n) => ({ ...picture(n, stack.token), body: Buffer.alloc(300_000) }),
    // The same key for the same body: one of them is made, the others get its answer.
    (n) => picture(n - (n % 900), stack.token, dear, { 'idempotency-key': `key-${Math.floor(n / 900)}` }),
    (n) => ({ ...picture(n, stack.token), method: 'GET', path: '/user/subscription', body: '' }),
    (n) => ({
      ...picture(n, stack.token),
      method: 'GET',
      path: `/ai/generate-image/suggest-tags?model=nai-diffusion-3&prompt=${n % 7}`,
      body: '',
    }),
  ];
  return async (index) => {
    if (index % 3 === 2) {
      const make = others[Math.floor(index / 3) % others.length] ?? (() => picture(index, stack.token));
      return make(index);
    }
    const { path, headers, body } = await work.make(index);
    return {
      path,
      body,
      headers: { authorization: `Bearer ${stack.tokens[index % stack.tokens.length]}`, ...headers },
    };
  };
}

/** Sends everything; gives how many requests there were and how many of their clients left early. */
async function run(
  stack: Stack,
  errandOf: (index: number) => Promise<Errand>,
): Promise<{ sent: number; left: number }> {
  const random = new SeededRandom(REQUESTS + 1);
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  let sent = 0;
  let left = 0;
  async function client(): Promise<void> {
    while (sent < REQUESTS) {
      const index = sent;
      sent += 1;
      const { path, ...options } = await errandOf(index);
      const isLeaver = random.next() < LEAVER_SHARE;
      if (isLeaver) left += 1;
      await call(stack.address + path, {
        ...options,
        agent,
        onRequest: (outgoing) => {
          if (isLeaver) setTimeout(() => outgoing.destroy(), 2 + random.next() * 60);
        },
      }).catch(() => undefined);
    }
  }
  await Promise.all(Array.from({ length: OPEN_AT_ONCE }, client));
  agent.destroy();
  return { sent, left };
}
