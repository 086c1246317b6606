// What the scheduler promises its callers, one behaviour at a time, on a clock the test winds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { FairSchedulerOptions, Job } from '../../../src/scheduler/fair-scheduler.ts';

export function createBench(options: Partial<FairSchedulerOptions> = {}) {
  const clock = { nowMs: 1_000 };
  const scheduler = new FairScheduler({ nowMs: () => clock.nowMs, maxQueued: 1_000, ...options });
  let count = 0;
  const submit = (clientId: string, job: Partial<Job> = {}) => {
    const jobId = job.jobId ?? `${clientId}-${++count}`;
    const submission = scheduler.submit({
      jobId,
      clientId,
      classKey: 'free',
      estimateMs: 5_000,
      band: 'interactive',
      deadlineMs: Number.POSITIVE_INFINITY,
      ...job,
    });
    return { jobId, submission };
  };
  return { clock, scheduler, submit };
}

const serveAll = { capability: 1, canServe: () => true };

test('dispatch, fills every idle slot and no more', () => {
  const { scheduler, submit } = createBench();
  scheduler.addSlot('a', serveAll);
  scheduler.addSlot('b', serveAll);
  for (let index = 0; index < 5; index += 1) submit('x');
  assert.deepEqual(
    scheduler.dispatch().map((each) => [each.jobId, each.slotId]),
    [
      ['x-1', 'a'],
      ['x-2', 'b'],
    ],
  );
  assert.deepEqual(scheduler.dispatch(), []);
});

test('forecast, gives position and both quantiles', () => {
  const { scheduler, submit } = createBench();
  scheduler.addSlot('a', serveAll);
  for (let index = 0; index < 5; index += 1) submit('x');
  scheduler.dispatch();
  const forecast = scheduler.forecast('x-5');
  assert.ok(forecast);
  assert.equal(forecast.position, 4);
  assert.ok(forecast.etaP50Ms > 15_000 && forecast.etaP50Ms < 25_000, String(forecast.etaP50Ms));
  assert.ok(forecast.etaP90Ms > forecast.etaP50Ms);
});
