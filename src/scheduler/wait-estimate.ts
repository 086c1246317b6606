// Rough waits in O(1), as if slot time flowed to all waiting clients at once by their weights. For refusals and Retry-After;
// what people see comes from the forecast, which plays the dispatcher forward.

import type { FairQueue } from './fair-queue.ts';
import { isUsable } from './slot-table.ts';

/** Waiting work and who waits, as far as it matters to a flow. */
export interface Backlog {
  workMs: number;
  activeWeight: number;
}

/**
 * How long a job waits behind `ownWorkMs` of its client's own work. That work flows at the client's share of the slots, and
 * it never waits longer than all waiting work takes together. Known to leave out: what runs now, later arrivals.
 */
export function flowMs(
  { workMs, activeWeight }: Backlog,
  { ownWorkMs, weight, slotCount }: { ownWorkMs: number; weight: number; slotCount: number },
): number {
  return Math.min((ownWorkMs * Math.max(activeWeight, weight)) / weight, workMs) / slotCount;
}

/** How long one more job of this client waits behind `ownWorkMs` of the client's own (default: all it has queued). */
export function estimateWaitMs(
  queue: FairQueue,
  clientId: string,
  classKey: string,
  ownWorkMs: number = queue.client(clientId)?.queuedWorkMs ?? 0,
): number {
  const { weight } = queue.policyOf(clientId);
  const isWaiting = (queue.client(clientId)?.queued ?? 0) > 0;
  const activeWeight = queue.activeWeight + (isWaiting ? 0 : weight);
  const slotCount = countUsableSlots(queue, classKey);
  return flowMs({ workMs: queue.queuedWorkMs, activeWeight }, { ownWorkMs, weight, slotCount });
}

/** Time between two starts: of this client's jobs, or without a client of anybody's. */
export function estimateTurnMs(queue: FairQueue, classKey: string, clientId?: string): number {
  if (queue.queued === 0) return 0;
  const client = clientId === undefined ? undefined : queue.client(clientId);
  if (client !== undefined && client.queued > 0) {
    return estimateWaitMs(queue, client.clientId, classKey, client.queuedWorkMs / client.queued);
  }
  return queue.queuedWorkMs / queue.queued / countUsableSlots(queue, classKey);
}

/** The client's queued work that is due no later than `deadlineMs` (deadline time). Looks through all its jobs. */
export function workDueBeforeMs(queue: FairQueue, clientId: string, deadlineMs: number): number {
  let workMs = 0;
  for (const lane of queue.client(clientId)?.lanes ?? []) {
    for (const job of lane.jobs.items) if (job.deadlineMs <= deadlineMs) workMs += job.estimateMs;
  }
  return workMs;
}

/** Slots of the class that work or could; all of them when none does, so that a short outage does not look like for ever. */
export function countUsableSlots(queue: FairQueue, classKey: string): number {
  const slots = queue.slotsServing(classKey);
  const usable = slots.filter(isUsable).length;
  return Math.max(1, usable === 0 ? slots.length : usable);
}
