// The steps of a generation as whoever watches sees them: each told to its trace channel, and the forecast held against the wait.
import {
  traceChannels,
  traced,
  type QueueMessage,
  type StepMessage,
  type UpstreamMessage,
} from '../telemetry/trace-channels.ts';
import { admit } from './admit.ts';
import { attempt, type Attempt } from './attempt.ts';
import { Booking } from './booking.ts';
import { conclude } from './conclude.ts';
import type { RelayedRequest } from './generation-request.ts';
import type { Passage } from './passage.ts';
import type { Lease } from './work-queue.ts';

/** A forecast plays the whole queue forward: not for the sake of a metric where the queue is long. */
const LONGEST_FORECAST_QUEUE = 1000;

/** {@link admit}, and the price set aside. */
export function admitted(passage: Passage): Promise<Booking | undefined> {
  return traced(
    traceChannels.admit,
    () => stepOf(passage),
    async () => {
      admit(passage);
      return await Booking.reserve(passage.request, passage.deps);
    },
  );
}

/** Waits for a first account. */
export function enterQueue(passage: Passage): Promise<Lease> {
  const { request, deps } = passage;
  return queued(passage, async () => {
    const entering = deps.queue.enter(request, deps.holdingTimes.estimateMs(request));
    const etaMs = sampleEtaMs(passage);
    const lease = await entering;
    if (etaMs !== undefined) deps.metrics?.etaError(etaMs - lease.waitedMs);
    return lease;
  });
}

/** Waits for another account. */
export function reenterQueue(passage: Passage, lease: Lease): Promise<Lease> {
  return queued(passage, () => passage.deps.queue.reenter(passage.request, lease));
}

/** {@link attempt}; NovelAI is told of the trace where a watcher asks for it. */
export function watchedAttempt(passage: Passage, lease: Lease, token: string): Promise<Attempt> {
  return traced(
    traceChannels.upstream,
    (): UpstreamMessage => ({ ...stepOf(passage), account: lease.account.name }),
    (message) => (message ? toldAttempt(message, passage, lease, token) : attempt(passage, lease, token)),
  );
}

async function toldAttempt(message: UpstreamMessage, passage: Passage, lease: Lease, token: string): Promise<Attempt> {
  const { traceparent } = message;
  const { request } = passage;
  const told: Passage =
    traceparent === undefined
      ? passage
      : { ...passage, request: { ...request, headers: { ...request.headers, traceparent } } };
  const last = await attempt(told, lease, token);
  message.baseUrl = last.baseUrl;
  message.status = last.status;
  message.failure = last.failure?.kind;
  message.wasSent = last.sentMs !== undefined;
  return last;
}

/** {@link conclude}. */
export function watchedConclude(passage: Passage, last: Attempt): Promise<void> {
  return traced(
    traceChannels.relay,
    () => stepOf(passage),
    () => conclude(passage, last),
  );
}

function queued(passage: Passage, wait: () => Promise<Lease>): Promise<Lease> {
  return traced(
    traceChannels.queue,
    (): QueueMessage => ({ ...stepOf(passage), slot: passage.request.slot }),
    (message) => (message ? toldLease(message, wait()) : wait()),
  );
}

async function toldLease(message: QueueMessage, waiting: Promise<Lease>): Promise<Lease> {
  const lease = await waiting;
  message.account = lease.account.name;
  return lease;
}

/** Expected wait of a request that has just come to wait, for one request a second at most. */
function sampleEtaMs({ request, deps }: Passage): number | undefined {
  const { metrics, queue, clock } = deps;
  const nowMs = clock.monotonicMs();
  if (metrics?.isEtaSampleDue(nowMs) !== true) return undefined;
  const { queued: waiting } = queue.stats(request.slot);
  if (waiting === 0 || waiting > LONGEST_FORECAST_QUEUE) return undefined;
  const forecast = queue.forecast(request);
  if (!forecast || !Number.isFinite(forecast.etaP50Ms)) return undefined;
  metrics.etaSampled(nowMs);
  return forecast.etaP50Ms;
}

function stepOf({ request }: { request: RelayedRequest }): StepMessage {
  return { requestId: request.id, endpoint: request.endpointId, model: request.facts.model };
}
