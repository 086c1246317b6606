// Which outcome a request has that ended with one of the service's own errors.
import type { Outcome } from './outcome.ts';
import type { ProxyErrorCode } from './proxy-error.ts';

const OUTCOMES: Partial<Record<ProxyErrorCode, Outcome>> = {
  client_unauthorized: 'refused_auth',
  client_left: 'cancelled_queued',
  client_queue_full: 'refused_capacity',
  client_rate_limited: 'refused_rate',
  policy_budget: 'refused_budget',
  policy_impossible: 'impossible',
  upstream_not_enough_anlas: 'impossible',
  upstream_no_account: 'refused_capacity',
  proxy_queue_full: 'refused_capacity',
  proxy_queue_timeout: 'expired_queued',
  proxy_stopping: 'refused_capacity',
};
const OUTCOMES_BY_FAULT: readonly (readonly [prefix: string, outcome: Outcome])[] = [
  ['client_', 'refused_invalid'],
  ['policy_', 'refused_policy'],
  ['upstream_', 'failed_upstream_free'],
];

/** Gives the outcome; for codes without one of their own, by who is at fault. */
export function outcomeOfRefusal(code: ProxyErrorCode): Outcome {
  return OUTCOMES[code] ?? OUTCOMES_BY_FAULT.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 'failed_gateway';
}
