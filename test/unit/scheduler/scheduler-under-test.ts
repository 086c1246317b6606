// A scheduler on a clock the test winds, with short ways to submit.

import { FairScheduler } from '../../../src/scheduler/fair-scheduler.ts';
import type { FairSchedulerOptions, Job, Submission } from '../../../src/scheduler/fair-scheduler.ts';

export const serveAll = { capability: 1, canServe: () => true };
export const unlimited = { weight: 1, maxQueued: Number.POSITIVE_INFINITY, maxInFlight: Number.POSITIVE_INFINITY };

export interface UnderTest {
  clock: { nowMs: number };
  scheduler: FairScheduler;
  /** Submits a job named `client-number` (or as told) and gives the scheduler's answer. */
  submit: (clientId: string, job?: Partial<Job>) => Submission;
  /** Submits `count` jobs. */
  submitMany: (clientId: string, count: number, job?: Partial<Job>) => void;
  /** Dispatches and gives the names of the jobs that started. */
  startedJobs: () => string[];
}

export function createUnderTest(options: Partial<FairSchedulerOptions> = {}): UnderTest {
  const clock = { nowMs: 1_000 };
  const scheduler = new FairScheduler({ nowMs: () => clock.nowMs, maxQueued: 100_000, ...options });
  const counts = new Map<string, number>();
  const submit = (clientId: string, job: Partial<Job> = {}): Submission => {
    const count = (counts.get(clientId) ?? 0) + 1;
    counts.set(clientId, count);
    return scheduler.submit({
      jobId: `${clientId}-${count}`,
      clientId,
      classKey: 'free',
      estimateMs: 5_000,
      band: 'interactive',
      deadlineMs: Number.POSITIVE_INFINITY,
      ...job,
    });
  };
  return {
    clock,
    scheduler,
    submit,
    submitMany: (clientId, count, job) => {
      for (let index = 0; index < count; index += 1) submit(clientId, job);
    },
    startedJobs: () => scheduler.dispatch().map((assignment) => assignment.jobId),
  };
}
