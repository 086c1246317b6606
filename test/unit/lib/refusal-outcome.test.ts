// Tests of the outcomes of the service's own errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOfRefusal } from '../../../src/lib/refusal-outcome.ts';

test('outcomes, each error has the one its cause asks for', () => {
  const expected = {
    client_unauthorized: 'refused_auth',
    client_rate_limited: 'refused_rate',
    client_invalid_body: 'refused_invalid',
    client_unknown_path: 'refused_invalid',
    client_left: 'cancelled_queued',
    policy_scope: 'refused_policy',
    policy_free_only: 'refused_policy',
    policy_endpoint_refused: 'refused_policy',
    policy_budget: 'refused_budget',
    policy_impossible: 'impossible',
    upstream_no_account: 'refused_capacity',
    upstream_unreachable: 'failed_upstream_free',
    proxy_queue_full: 'refused_capacity',
    proxy_queue_timeout: 'expired_queued',
    proxy_stopping: 'refused_capacity',
    proxy_internal: 'failed_gateway',
    proxy_ledger_unavailable: 'failed_gateway',
  } as const;
  for (const [code, outcome] of Object.entries(expected))
    assert.equal(outcomeOfRefusal(code as keyof typeof expected), outcome, code);
});
