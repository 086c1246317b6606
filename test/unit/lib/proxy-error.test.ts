// Tests of the service's own errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError } from '../../../src/lib/proxy-error.ts';

test('proxy error, takes status and sentence from its row and keeps what it is given', () => {
  const cause = new Error('deep');
  const error = new ProxyError('proxy_queue_full', { retryAfterMs: 1500, cause });
  assert.equal(error.status, 503);
  assert.equal(error.isRetryable, true);
  assert.equal(error.message, 'The queue is full.');
  assert.equal(error.retryAfterMs, 1500);
  assert.equal(error.cause, cause);
  assert.equal(new ProxyError('client_unauthorized', { message: 'Other words' }).message, 'Other words');
});

test('proxy error, what may have been carried out is never called worth a retry (I2)', () => {
  for (const code of ['upstream_timeout', 'upstream_broken'] as const)
    assert.equal(new ProxyError(code).isRetryable, false, code);
});
