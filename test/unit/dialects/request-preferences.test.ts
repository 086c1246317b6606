// How a client says how its request is to be queued.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPreferences } from '../../../src/dialects/request-preferences.ts';
import { ProxyError } from '../../../src/lib/proxy-error.ts';

const NOW_WALL_MS = Date.parse('2030-01-01T00:00:00Z');
const clock = { wallMs: () => NOW_WALL_MS, monotonicMs: () => 5000, after: () => () => undefined };
const read = (headers: Record<string, string>, band: 'interactive' | 'batch' = 'interactive') =>
  readPreferences(headers, { band, queueTimeoutMs: 600_000, receivedMs: 5000 }, clock);

test('preferences, without headers the defaults hold', () => {
  assert.deepEqual(read({}), { band: 'interactive', deadlineMs: 605_000 });
});

test('preferences, each header is read, and the earliest limit holds', () => {
  assert.equal(read({ 'x-priority': 'batch' }).band, 'batch');
  assert.equal(read({ 'x-queue-timeout': '90s' }).deadlineMs, 95_000);
  assert.equal(read({ 'x-deadline': '2030-01-01T00:00:30Z' }).deadlineMs, 35_000);
  assert.equal(read({ 'x-deadline': String(NOW_WALL_MS / 1000 + 30) }).deadlineMs, 35_000);
  assert.equal(read({ 'x-deadline': '2030-01-01T00:00:30Z', 'x-queue-timeout': '10s' }).deadlineMs, 15_000);
  assert.equal(read({ 'x-queue-timeout': '2d' }).deadlineMs, 605_000, 'never longer than the service allows');
});

test('preferences, a request is never more urgent than its client', () => {
  assert.equal(read({ 'x-priority': 'interactive' }, 'batch').band, 'batch');
});

for (const [name, value, expected] of [
  ['x-priority', 'urgent', /x-priority cannot be used: expected interactive or batch, got "urgent"/],
  ['x-queue-timeout', 'soon', /x-queue-timeout .* expected a time above zero/],
  ['x-queue-timeout', '0s', /x-queue-timeout/],
  ['x-deadline', '2029-12-31T23:59:59Z', /x-deadline .* expected a time after 2030-01-01/],
  ['x-deadline', 'tomorrow', /x-deadline .* expected a time such as/],
  ['x-deadline', '', /x-deadline/],
] as const)
  test(`preferences, ${name}: "${value}" is refused by name`, () => {
    assert.throws(
      () => read({ [name]: value }),
      (error) => error instanceof ProxyError && error.code === 'client_invalid_field' && expected.test(error.message),
    );
  });
