// Tests the requests a client may make in a minute.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { RateLimits } from '../../../src/clients/rate-limits.ts';

function limitsAt(start = 0) {
  const clock = { nowMs: start, monotonicMs: () => clock.nowMs };
  return { clock, limits: new RateLimits({ clock }) };
}

test('rate limit, of 200 at once exactly the limit is let in', () => {
  const { limits } = limitsAt();
  const client = { id: 'a', requestsPerMinute: 10 };
  const answers = Array.from({ length: 200 }, () => limits.take(client));
  assert.equal(answers.filter((wait) => wait === undefined).length, 10);
  assert.ok(answers.slice(10).every((wait) => wait === 6000));
});

test('rate limit, clients do not share a bucket, and none means none', () => {
  const { limits } = limitsAt();
  assert.equal(limits.take({ id: 'a', requestsPerMinute: 1 }), undefined);
  assert.equal(limits.take({ id: 'b', requestsPerMinute: 1 }), undefined);
  assert.ok(limits.take({ id: 'a', requestsPerMinute: 1 }));
  for (let index = 0; index < 1000; index += 1)
    assert.equal(limits.take({ id: 'c', requestsPerMinute: null }), undefined);
});

test('rate limit, whoever waits as told is let in, and not a millisecond earlier', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 7000 }),
      fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 50 }),
      (rate, pauses) => {
        const { clock, limits } = limitsAt(1e6 / 3);
        const client = { id: 'a', requestsPerMinute: rate };
        for (const pause of pauses) {
          clock.nowMs += pause;
          limits.take(client);
        }
        let waitMs = limits.take(client);
        while (waitMs === undefined) waitMs = limits.take(client);
        if (waitMs > 1) {
          clock.nowMs += waitMs - 1;
          assert.notEqual(limits.take(client), undefined);
          clock.nowMs += 1;
        } else clock.nowMs += waitMs;
        assert.equal(limits.take(client), undefined);
      },
    ),
  );
});

test('rate limit, a raised limit counts from the next request on', () => {
  const { limits } = limitsAt();
  assert.equal(limits.take({ id: 'a', requestsPerMinute: 1 }), undefined);
  assert.ok(limits.take({ id: 'a', requestsPerMinute: 1 }));
  assert.ok((limits.take({ id: 'a', requestsPerMinute: 6000 }) ?? 0) <= 10, 'the bucket fills at the new pace');
});
