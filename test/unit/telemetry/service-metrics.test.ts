// Tests of what is counted: numbers as prom-client would give them, series that nobody can multiply, and faults that stay inside.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as client from 'prom-client';
import type { Exposed } from '../../../src/telemetry/exposition.ts';
import { ServiceMetrics } from '../../../src/telemetry/service-metrics.ts';
import { stateGauges } from '../../../src/telemetry/state-gauges.ts';
import { TalliedCounter } from '../../../src/telemetry/tallied-counter.ts';
import { TalliedHistogram } from '../../../src/telemetry/tallied-histogram.ts';

function newMetrics(now = { ms: 0 }): ServiceMetrics {
  return new ServiceMetrics({
    endpoints: ['generate-image', 'upscale'],
    models: ['nai-diffusion-4-5-full'],
    version: '1.2.3',
    monotonicMs: () => now.ms,
  });
}

/** What one metric shows, without any other. */
function textOf(exposed: Exposed): Promise<string> {
  const registry = new client.Registry();
  exposed.expose({ client, registry });
  return registry.metrics();
}

/** Values by series, as `name{labels}`; only the service's own. */
function valuesIn(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => /^\w+/.test(line) && !/^(process|nodejs)_/.test(line));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

test("histogram, gives the very text that prom-client's own gives", async () => {
  const buckets = [0.1, 1, 10];
  for (const labelName of [undefined, 'slot']) {
    const theirs = new client.Registry();
    const shape = { name: 'wait_seconds', help: 'Waits.', buckets };
    const tallied = new TalliedHistogram({ ...shape, ...(labelName && { labelName }) });
    const plain = new client.Histogram({ ...shape, registers: [theirs], labelNames: labelName ? [labelName] : [] });
    for (const [index, seconds] of [0, 0.1, 0.10001, 1, 3, 10, 11, 99, -1].entries()) {
      const value = index % 2 === 0 ? 'image' : 'te"xt';
      tallied.tally(seconds, labelName && value);
      if (labelName) plain.observe({ [labelName]: value }, seconds);
      else plain.observe(seconds);
    }
    const text = await textOf(tallied);
    assert.equal(text, await theirs.metrics());
    assert.match(text, /wait_seconds_bucket\{le="\+Inf".*\} [59]/);
  }
});

test('histogram, what is no number changes nothing', async () => {
  const histogram = new TalliedHistogram({ name: 'x_seconds', help: 'x', buckets: [1] });
  histogram.tally(NaN);
  histogram.tally(Infinity);
  assert.equal(valuesIn(await textOf(histogram)).get('x_seconds_count'), 0);
});

test("counter, gives the very text that prom-client's own gives, at every scrape", async () => {
  const [ours, theirs] = [new client.Registry(), new client.Registry()];
  const shape = { name: 'things_total', help: 'Things.', labelNames: ['a', 'b'] };
  const tallied = new TalliedCounter(shape);
  tallied.expose({ client, registry: ours });
  const plain = new client.Counter({ ...shape, registers: [theirs] });
  for (let round = 0; round < 3; round += 1) {
    for (const [a, b, amount] of [['x', 'y', 1] as const, ['x', 'z\n', 2.5] as const, ['x', 'y', 3] as const]) {
      tallied.add([a, b], amount);
      plain.inc({ a, b }, amount);
    }
    assert.equal(await ours.metrics(), await theirs.metrics());
  }
});

test('counter, past its limit everything more is one series, and the sum stays right', async () => {
  const counter = new TalliedCounter({ name: 'c_total', help: 'c', labelNames: ['client'], mostSeries: 200 });
  for (let n = 0; n < 1000; n += 1) counter.add([`client-${n}`]);
  const values = valuesIn(await textOf(counter));
  assert.equal(values.size, 201);
  assert.equal(values.get('c_total{client="other"}'), 800);
  assert.equal(
    [...values.values()].reduce((sum, value) => sum + value),
    1000,
  );
});

test('series, a hundred thousand made-up endpoints, models and clients add no more than a few', async () => {
  const metrics = newMetrics();
  const end = (endpoint: string, client: string) => {
    metrics.requestEnded({
      dialect: 'native',
      endpoint,
      client,
      outcome: 'refused_auth',
      totalMs: 1,
      chargedAnlas: 1,
      savedAnlas: 1,
    });
    metrics.exchangeEnded({ status: 200, durationMs: 1, isGeneration: true, model: endpoint });
  };
  for (let n = 0; n < 300; n += 1) end(`/made/up/${n}`, `client-${n}`);
  const before = valuesIn((await metrics.read()).text).size;
  for (let n = 300; n < 100_000; n += 1) end(`/made/up/${n}`, `client-${n}`);
  const values = valuesIn((await metrics.read()).text);
  assert.equal(values.size, before);
  assert.equal(
    values.get('novelai_proxy_requests_total{dialect="native",endpoint="unknown",outcome="refused_auth"}'),
    100_000,
  );
});

test('use, an account is busy from its first slot taken to its last given back, whatever runs side by side', () => {
  const now = { ms: 1000 };
  const metrics = newMetrics(now);
  assert.deepEqual(metrics.useOf('acc'), { isBusy: false, busyMs: 0 });
  metrics.slotTaken('acc');
  now.ms = 1500;
  metrics.slotTaken('acc');
  now.ms = 2000;
  metrics.slotFreed('acc');
  assert.deepEqual(metrics.useOf('acc'), { isBusy: true, busyMs: 1000 });
  now.ms = 4000;
  metrics.slotFreed('acc');
  metrics.slotFreed('acc');
  now.ms = 9000;
  assert.deepEqual(metrics.useOf('acc'), { isBusy: false, busyMs: 3000 });
});

test('gauges, an account that is gone leaves no series behind, and a busy one is shown as such', async () => {
  const metrics = newMetrics();
  let accounts = [
    { name: 'one', state: 'ready', anlas: 5, allowancePercent: 99 },
    { name: 'two', state: 'cooling' },
  ];
  const gauges = stateGauges(metrics, {
    slots: () => [{ slot: 'image', waiting: 3, running: 1 }],
    accounts: () => accounts,
    ledgerOwed: () => 0,
    bank: () => ({ usedBytes: 10, answers: 1 }),
    droppedLogLines: () => 7,
  });
  metrics.show(gauges);
  metrics.slotTaken('one');
  const first = valuesIn((await metrics.read()).text);
  const stateOf = (account: string, state: string) =>
    first.get(`novelai_proxy_account_state{account="${account}",state="${state}"}`);
  assert.deepEqual(
    [stateOf('one', 'busy'), stateOf('one', 'ready'), stateOf('two', 'cooling'), stateOf('two', 'busy')],
    [1, 0, 1, 0],
  );
  assert.equal(first.get('novelai_proxy_account_anlas{account="two"}'), undefined);
  assert.equal(first.get('novelai_proxy_log_lines_dropped_total'), 7);
  accounts = accounts.slice(0, 1);
  const { text } = await metrics.read();
  assert.ok(text.includes('account="one"') && !text.includes('account="two"'));
});

test('faults, inside the metrics reach nobody', (context) => {
  const metrics = newMetrics();
  context.mock.method(TalliedCounter.prototype, 'add', () => assert.fail('planted'));
  context.mock.method(TalliedHistogram.prototype, 'tally', () => assert.fail('planted'));
  metrics.requestEnded({ dialect: 'native', endpoint: undefined, outcome: 'succeeded', totalMs: 1 });
  metrics.exchangeEnded({ durationMs: 1, isGeneration: true });
  metrics.dispatchGap(1);
  metrics.etaError(1);
  metrics.ledgerWritten(1);
  metrics.accountLoggedIn('a', 'ok');
  metrics.accountCooled('a', 'locked');
});
