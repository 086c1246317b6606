// What a client may say in headers about how its request is to be queued, in every dialect.
import type { IncomingHttpHeaders } from 'node:http';
import { BANDS } from '../clients/client.ts';
import type { Clock } from '../lib/clock.ts';
import { ProxyError } from '../lib/proxy-error.ts';
import { parseDurationMs } from '../lib/units.ts';
import type { Band } from '../scheduler/fair-scheduler.ts';

export interface QueuePreferences {
  band: Band;
  /** Latest time at which the request may leave the queue; monotonic milliseconds. */
  deadlineMs: number;
}

export interface PreferenceDefaults {
  /** The client's own band: a request may be less urgent than its client, never more. */
  band: Band;
  /** How long a request may wait at most. */
  queueTimeoutMs: number;
  receivedMs: number;
}

/**
 * Reads `x-priority` (interactive or batch), `x-queue-timeout` (a time such as 90s) and `x-deadline` (RFC 3339, or Unix seconds).
 * The service's own limit on waiting is never exceeded.
 * @throws {ProxyError} client_invalid_field, naming the header, what was expected and what was given.
 */
export function readPreferences(
  headers: IncomingHttpHeaders,
  defaults: PreferenceDefaults,
  clock: Clock,
): QueuePreferences {
  const latestMs = defaults.receivedMs + defaults.queueTimeoutMs;
  const timeoutMs = readTimeout(headers['x-queue-timeout']);
  const leftMs = readDeadline(headers['x-deadline'], clock.wallMs());
  return {
    band: readBand(headers['x-priority'], defaults.band),
    deadlineMs: Math.min(
      latestMs,
      defaults.receivedMs + (timeoutMs ?? Infinity),
      clock.monotonicMs() + (leftMs ?? Infinity),
    ),
  };
}

function readBand(header: string | string[] | undefined, clientBand: Band): Band {
  if (header === undefined) return clientBand;
  const band = BANDS.find((known) => known === header);
  if (band === undefined) throw invalid('x-priority', BANDS.join(' or '), header);
  return clientBand === 'batch' ? 'batch' : band;
}

function readTimeout(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const timeoutMs = parseDurationMs(String(header));
  if (!timeoutMs) throw invalid('x-queue-timeout', 'a time above zero such as 90s or 5m', header);
  return timeoutMs;
}

/** Gives how long it is until the deadline, milliseconds. */
function readDeadline(header: string | string[] | undefined, wallMs: number): number | undefined {
  if (header === undefined) return undefined;
  const text = String(header).trim();
  const deadlineMs = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isFinite(deadlineMs))
    throw invalid('x-deadline', 'a time such as 2030-01-31T12:00:00Z, or Unix seconds', header);
  if (deadlineMs <= wallMs) throw invalid('x-deadline', `a time after ${new Date(wallMs).toISOString()}`, header);
  return deadlineMs - wallMs;
}

function invalid(field: string, expected: string, given: string | string[]): ProxyError {
  return new ProxyError('client_invalid_field', {
    message: `The header ${field} cannot be used: expected ${expected}, got "${String(given).slice(0, 100)}".`,
  });
}
