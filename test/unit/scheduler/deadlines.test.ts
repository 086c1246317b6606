// Deadlines on a clock that steps and a loop that blocks: nothing is thrown out that a free slot could still serve.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { FairSchedulerOptions } from '../../../src/scheduler/fair-scheduler.ts';
import { createUnderTest, serveAll } from './scheduler-under-test.ts';

test('expire, takes out what is due and nothing else', () => {
  const { clock, scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('x', { deadlineMs: clock.nowMs + 1_000 });
  startedJobs();
  submit('x', { deadlineMs: clock.nowMs + 10_000 });
  submit('y', { deadlineMs: clock.nowMs + 20_000 });
  submit('z');
  assert.equal(scheduler.nextDeadlineMs(), 11_000);
  clock.nowMs = 10_999;
  assert.deepEqual(scheduler.expire(), []);
  clock.nowMs = 11_000;
  assert.deepEqual(scheduler.expire(), ['x-2']);
  assert.equal(scheduler.nextDeadlineMs(), 21_000);
  clock.nowMs = 21_900;
  assert.deepEqual(scheduler.expire(), ['y-1'], 'a timer that is a little late expires');
  assert.equal(scheduler.nextDeadlineMs(), undefined);
  assert.equal(scheduler.stats.expired, 2);
  assert.equal(scheduler.release('a'), true, 'a running job has no deadline');
  assert.deepEqual(startedJobs(), ['z-1']);
});

type CreateScheduler = (options: FairSchedulerOptions) => FairScheduler;

/** 40 jobs of 1 s on four slots, the loop blocked for 60 s, then everything that piled up at once: how many expire? */
function expiredByBlock(createScheduler: CreateScheduler, first: 'timer' | 'answers'): string[] {
  let nowMs = 0;
  const scheduler = createScheduler({ nowMs: () => nowMs, maxQueued: 100 });
  const running: string[] = [];
  const expired: string[] = [];
  const dispatch = (): void => {
    for (const { slotId } of scheduler.dispatch()) {
      assert.ok(!running.includes(slotId), `two jobs on ${slotId}`);
      running.push(slotId);
    }
  };
  const answers = (): void => {
    for (const slotId of running.splice(0)) scheduler.release(slotId);
    dispatch();
  };
  const timer = (): void => {
    if ((scheduler.nextDeadlineMs() ?? Number.POSITIVE_INFINITY) <= nowMs) expired.push(...scheduler.expire());
  };
  for (const slotId of ['a', 'b', 'c', 'd']) scheduler.addSlot(slotId, serveAll);
  for (let job = 0; job < 40; job += 1) {
    const rest = { classKey: 'free', estimateMs: 1_000, band: 'interactive', deadlineMs: 30_000 + job * 100 } as const;
    assert.ok(scheduler.submit({ jobId: `job ${job}`, clientId: `client ${job % 3}`, ...rest }).isAccepted);
  }
  dispatch();
  nowMs += 60_000;
  if (first === 'timer') timer();
  for (let turn = 0; turn < 10; turn += 1) {
    answers();
    timer();
    nowMs += 1_000;
  }
  assert.equal(scheduler.stats.assigned + expired.length, 40, 'every job ended one way or the other');
  return expired;
}

/** Planted fault: deadlines are taken at their word, however long the loop was blocked. */
class ExpiresAtOnce extends FairScheduler {
  readonly #deadlines: [string, number][] = [];
  readonly #now: () => number;

  constructor(options: FairSchedulerOptions) {
    super(options);
    this.#now = options.nowMs;
  }

  override submit(job: Parameters<FairScheduler['submit']>[0]): ReturnType<FairScheduler['submit']> {
    this.#deadlines.push([job.jobId, job.deadlineMs]);
    return super.submit({ ...job, deadlineMs: Number.POSITIVE_INFINITY });
  }

  override nextDeadlineMs(): number {
    return 0;
  }

  override expire(): string[] {
    const due = this.#deadlines.filter(([, deadlineMs]) => deadlineMs <= this.#now());
    return due.flatMap(([jobId]) => (this.cancel(jobId) === 'queued' ? [jobId] : []));
  }
}

for (const first of ['timer', 'answers'] as const) {
  test(`a loop blocked for 60 s, no mass expiry and no double dispatch when the ${first} come first`, () => {
    assert.deepEqual(
      expiredByBlock((options) => new FairScheduler(options), first),
      [],
    );
  });

  test(`a loop blocked for 60 s, the check notices a scheduler that expires at once (${first} first)`, () => {
    assert.ok(expiredByBlock((options) => new ExpiresAtOnce(options), first).length > 20);
  });
}

test('a loop blocked for 60 s, jobs that nobody can serve still expire, by as much later', () => {
  const { clock, scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('x');
  startedJobs();
  submit('x', { deadlineMs: clock.nowMs + 10_000 });
  clock.nowMs += 60_000;
  assert.deepEqual(scheduler.expire(), []);
  const dueMs = scheduler.nextDeadlineMs() ?? 0;
  assert.equal(scheduler.stats.blockedMs, 61_000, 'the time since the last call, and a second to read the answers');
  assert.equal(dueMs, clock.nowMs + 11_000);
  clock.nowMs = dueMs;
  assert.deepEqual(scheduler.expire(), ['x-2']);
});

test('a job submitted after a block, keeps its own deadline', () => {
  const { clock, scheduler, submit, submitMany, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 2, { deadlineMs: clock.nowMs + 10_000 });
  startedJobs();
  clock.nowMs += 60_000;
  scheduler.expire();
  submit('y', { deadlineMs: clock.nowMs + 5_000 });
  assert.equal(scheduler.nextDeadlineMs(), clock.nowMs + 5_000);
  clock.nowMs += 5_000;
  assert.deepEqual(scheduler.expire(), ['y-1']);
});

test('a loop blocked twice, is granted its time each time', () => {
  const { clock, scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('x');
  startedJobs();
  for (const [round, clientId] of ['y', 'z'].entries()) {
    submit(clientId, { deadlineMs: clock.nowMs + 10_000 });
    clock.nowMs += 60_000;
    assert.deepEqual(scheduler.expire(), [], `block ${round + 1}`);
    clock.nowMs = scheduler.nextDeadlineMs() ?? 0;
    assert.deepEqual(scheduler.expire(), [`${clientId}-1`]);
  }
});

test('a caller that polls expire now and then, still expires jobs', () => {
  const { clock, scheduler, submit, startedJobs } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submit('x');
  startedJobs();
  for (let job = 0; job < 10; job += 1) submit(`client ${job}`, { deadlineMs: clock.nowMs + 20_000 + job });
  const expired: string[] = [];
  for (let poll = 0; poll < 3; poll += 1) {
    clock.nowMs += 30_000;
    expired.push(...scheduler.expire());
    scheduler.dispatch();
  }
  assert.equal(expired.length, 10, 'one poll late, and no more');
});

test('a clock that steps back, is held still', () => {
  const { clock, scheduler, submit, submitMany } = createUnderTest();
  scheduler.addSlot('a', serveAll);
  submitMany('x', 2, { deadlineMs: 50_000 });
  scheduler.dispatch();
  clock.nowMs -= 900;
  submit('y');
  assert.deepEqual(scheduler.expire(), []);
  scheduler.release('a');
  const [assignment] = scheduler.dispatch();
  assert.equal(assignment?.waitedMs, 0);
});
