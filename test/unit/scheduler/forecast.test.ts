// Forecasts: the right order, honest quantiles, and no touch on the real queue.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFlood, runForecasts } from '../../../bench/scheduler-scenarios.ts';
import { ForecastCalibration } from '../../../src/scheduler/forecast-calibration.ts';
import { HoldingSpread } from '../../../src/scheduler/holding-spread.ts';
import { Overtaking } from '../../../src/scheduler/overtaking.ts';
import { createSeededRandom } from '../../../src/scheduler/seeded-random.ts';
import { createUnderTest, serveAll } from './scheduler-under-test.ts';

test('forecast, gives the order in which jobs really start', () => {
  const { clock, scheduler, submitMany } = createUnderTest();
  for (const slot of ['a', 'b', 'c']) scheduler.addSlot(slot, serveAll);
  scheduler.setClient('y', { weight: 2, maxQueued: 100, maxInFlight: 100 });
  submitMany('x', 12);
  submitMany('y', 12);
  submitMany('z', 6, { band: 'batch' });
  scheduler.dispatch();
  const forecasts = scheduler.forecastAll();
  const expected = [...forecasts].toSorted((a, b) => a[1].position - b[1].position).map(([jobId]) => jobId);
  const order: string[] = [];
  while (scheduler.stats.queued > 0) {
    clock.nowMs += 5_000;
    for (const slot of ['a', 'b', 'c']) scheduler.release(slot, { heldMs: 5_000 });
    order.push(...scheduler.dispatch().map(({ jobId }) => jobId));
  }
  assert.equal(expected.length, 27);
  assert.deepEqual(order, expected);
});

test('forecast, counts down and is made at most once a second', () => {
  const { clock, scheduler, submitMany, submit } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 5);
  scheduler.dispatch();
  const first = scheduler.forecast('x-5');
  assert.equal(first?.position, 4);
  assert.ok((first?.etaP50Ms ?? 0) > 15_000 && (first?.etaP50Ms ?? 0) < 25_000, String(first?.etaP50Ms));
  assert.ok((first?.etaP90Ms ?? 0) > (first?.etaP50Ms ?? 0));
  clock.nowMs += 500;
  assert.equal(scheduler.forecast('x-5')?.etaP50Ms, (first?.etaP50Ms ?? 0) - 500);
  submit('y');
  const rough = scheduler.forecast('y-1');
  assert.ok(rough !== undefined && rough.etaP90Ms >= rough.etaP50Ms, 'a job younger than the picture gets a rough one');
  clock.nowMs += 500;
  assert.equal(scheduler.forecast('y-1')?.position, 1);
  assert.equal(scheduler.forecast('x-5')?.position, 5);
  assert.equal(scheduler.forecast('x-1'), undefined, 'a running job has none');
});

test('forecast, knows when a slot comes back and when none is in sight', () => {
  const { clock, scheduler, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  scheduler.updateSlot('a', { isAvailable: false });
  submitMany('x', 2);
  scheduler.dispatch();
  assert.equal(scheduler.forecast('x-1')?.etaP50Ms, Number.POSITIVE_INFINITY);
  scheduler.updateSlot('a', { isAvailable: false, availableAtMs: clock.nowMs + 40_000 });
  clock.nowMs += 1_000;
  const etaMs = scheduler.forecast('x-1')?.etaP50Ms ?? 0;
  assert.ok(Math.abs(etaMs - 39_000) < 1_000, String(etaMs));
});

test('forecast, deeper than it plays, goes on from there in order', () => {
  const { scheduler, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  scheduler.addSlot('b', serveAll);
  submitMany('x', 3_000);
  submitMany('y', 10);
  scheduler.dispatch();
  const etas = [500, 900, 1_500, 2_000, 2_999].map((number) => scheduler.forecast(`x-${number}`));
  for (const [index, forecast] of etas.entries()) {
    const before = etas[index - 1];
    if (before === undefined || forecast === undefined) continue;
    assert.ok(forecast.position > before.position && forecast.etaP50Ms > before.etaP50Ms, JSON.stringify(etas));
  }
  const lastMs = etas.at(-1)?.etaP50Ms ?? 0;
  assert.ok(Math.abs(lastMs / (3_000 * 2_500) - 1) < 0.15, `${lastMs} for 3,000 jobs of 5 s on two slots`);
});

test('forecast, asking changes nothing of what happens', () => {
  const orders = [false, true].map((asks) => {
    const { clock, scheduler, submitMany } = createUnderTest();
    for (const slot of ['a', 'b']) scheduler.addSlot(slot, serveAll);
    const random = createSeededRandom(3);
    const order: string[] = [];
    for (let round = 0; round < 60; round += 1) {
      submitMany(`client ${Math.floor(random() * 5)}`, 2, { estimateMs: 1_000 + random() * 5_000 });
      if (asks) scheduler.forecastAll();
      for (const { jobId, slotId } of scheduler.dispatch()) order.push(`${jobId} on ${slotId}`);
      clock.nowMs += 2_000;
      scheduler.release(random() < 0.5 ? 'a' : 'b');
    }
    return order;
  });
  assert.ok((orders[0]?.length ?? 0) > 50);
  assert.deepEqual(orders[0], orders[1]);
});

test('calibration, comes to rest where nine of ten waits are within the p90', () => {
  const calibration = new ForecastCalibration();
  const random = createSeededRandom(4);
  let within = 0;
  for (let job = 0; job < 4_000; job += 1) {
    const actualMs = 30_000 * (1 + random());
    const { etaP50Ms, etaP90Ms } = calibration.apply(30_000, 33_000);
    if (job >= 2_000 && actualMs <= etaP90Ms) within += 1;
    assert.ok(etaP90Ms >= etaP50Ms);
    calibration.observe({ depth: calibration.depthOf(30_000), p50Ms: 30_000, p90Ms: 33_000 }, actualMs);
  }
  assert.ok(Math.abs(within / 2_000 - 0.9) < 0.03, `${within} of 2000`);
});

test('forecast, learns that jobs take longer than estimated', () => {
  const { clock, scheduler, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 80);
  scheduler.dispatch();
  const before = scheduler.forecast('x-80')?.etaP50Ms ?? 0;
  for (let job = 0; job < 60; job += 1) {
    clock.nowMs += 15_000;
    scheduler.release('a');
    scheduler.dispatch();
  }
  const after = scheduler.forecast('x-80')?.etaP50Ms ?? 0;
  assert.ok(before < 80 * 6_000, `80 jobs before it: ${before}`);
  assert.ok(Math.abs(after / (19 * 15_000) - 1) < 0.2, `19 jobs of 15 s before it: ${after}`);
});

test('forecast, that takes long is made less often', () => {
  let nowMs = 0;
  const { scheduler, submitMany } = createUnderTest({ nowMs: () => (nowMs += 100) });
  scheduler.addSlot('a', serveAll);
  submitMany('x', 20);
  scheduler.dispatch();
  const read = () => (scheduler.forecast('x-20')?.etaP50Ms ?? 0) + nowMs;
  const first = read();
  nowMs += 1_200;
  assert.ok(Math.abs(read() - first) <= 100, 'the same picture, although a second has passed');
  nowMs += 10_000;
  assert.notEqual(Math.round(read()), Math.round(first));
});

test('calibration, follows up few forecasts of each depth', () => {
  const calibration = new ForecastCalibration();
  assert.deepEqual(calibration.takeDue(new Set([0, 3]), 0), [0, 3]);
  assert.deepEqual(calibration.takeDue(new Set([0, 3, 4]), 2_000), [0, 4]);
  assert.deepEqual(calibration.takeDue(new Set([3]), 59_999), []);
  assert.deepEqual(calibration.takeDue(new Set([3]), 60_000), [3]);
});

test('spread, learns how far holding times stray and how long the rest of one is', () => {
  const spread = new HoldingSpread();
  assert.ok(Math.abs(spread.sampler().meanRatio - 1) < 1e-9, 'before anything was seen the estimate is believed');
  for (let job = 0; job < 200; job += 1) spread.observe(1_000, 2_000 + (job % 10) * 200);
  const sampler = spread.sampler();
  assert.ok(Math.abs(sampler.meanRatio - 2.9) < 0.01, String(sampler.meanRatio));
  assert.equal(sampler.drawMs(10_000, 0), 20_000);
  assert.equal(sampler.drawMs(10_000, 0.999), 38_000);
  assert.equal(Math.round(sampler.drawRestMs(10_000, 35_000, 0)), 1_000, 'after 35 s only 36 and 38 s are left');
  assert.equal(sampler.drawRestMs(10_000, 50_000, 0.5), 1_000, 'past all that was seen: a tenth more');
});

test('overtaking, stretches a wait by the part that later arrivals take, and fades', () => {
  const overtaking = new Overtaking();
  assert.equal(overtaking.stretch(4, 0), 1);
  for (let atMs = 0; atMs <= 3_600_000; atMs += 10_000) overtaking.observeArrival(20_000, atMs);
  const stretch = overtaking.stretch(4, 3_600_000);
  assert.ok(Math.abs(stretch - 2) < 0.1, `2 of 4 slots go to arrivals: ${stretch}`);
  assert.ok(overtaking.stretch(4, 7_200_000) < 1.01);
  assert.ok(overtaking.stretch(1, 3_600_000) < 5.1, 'never without end');
});

test('forecast against the truth, p50 within a quarter and p90 kept in 85 to 95 of 100 (reduced bench d)', () => {
  const result = runForecasts({
    name: 'reduced',
    slotCount: 4,
    hours: 5,
    seed: 2,
    batchClients: 4,
    batchSize: 40,
    batchEveryMs: 1_800_000,
    singleClients: 12,
    singleEveryMs: 240_000,
  });
  assert.ok(result.forecasts > 2_000, `only ${result.forecasts} forecasts were judged`);
  assert.ok(result.medianError < 0.25, `off by ${result.medianError}`);
  assert.ok(Math.abs(result.medianRatio - 1) < 0.1, `biased by ${result.medianRatio}`);
  assert.ok(result.coverageP90 > 0.85 && result.coverageP90 < 0.95, `${result.coverageP90} were within the p90`);
});

test('flood, light clients wait seconds where first come first served gives hours (reduced bench b)', () => {
  const options = { slotCount: 2, lightClients: 20, lightEveryMs: 240_000, hours: 6, seed: 3 };
  const fair = runFlood(options, 'fair');
  const fifo = runFlood(options, 'fifo');
  assert.ok(fair.load > 1 && fair.lightWaitsMs.length > 1_000, 'the flood is real');
  assert.ok(fair.p99Ms <= 36_000, `p99 ${fair.p99Ms}`);
  assert.ok(fifo.p99Ms > 3_600_000, `first come first served: p99 ${fifo.p99Ms}`);
});
