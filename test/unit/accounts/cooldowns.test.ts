// Tests of an account's pauses: they grow, are never shortened, and end with a success.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Cooldowns } from '../../../src/accounts/cooldowns.ts';

const plain = () => new Cooldowns(() => 0);

test('cooldowns, grow 1, 2, 4 ... 30 s from each refusal on', () => {
  const cooldowns = plain();
  let nowMs = 500;
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    cooldowns.grow('image', 'locked', nowMs);
    assert.equal(cooldowns.current('image', nowMs)?.untilMs, nowMs + seconds * 1000);
    nowMs += seconds * 1000;
    assert.equal(cooldowns.current('image', nowMs), undefined);
  }
});

test('cooldowns, jitter adds a fifth at most and never takes away', () => {
  const cooldowns = new Cooldowns(() => 0.999);
  cooldowns.grow('image', 'locked', 0);
  const untilMs = cooldowns.current('image', 0)!.untilMs;
  assert.ok(untilMs > 1000 && untilMs <= 1200);
});

test('cooldowns, Retry-After is a floor and no ceiling', () => {
  const cooldowns = plain();
  cooldowns.grow('image', 'locked', 0, 45_000);
  assert.equal(cooldowns.current('image', 0)?.untilMs, 45_000);
  for (let n = 0; n < 5; n += 1) cooldowns.grow('image', 'locked', 45_000, 10);
  assert.equal(cooldowns.current('image', 45_000)?.untilMs, 75_000);
});

test('cooldowns, image and text rest apart, the whole account together', () => {
  const cooldowns = plain();
  cooldowns.grow('image', 'locked', 0);
  assert.equal(cooldowns.current('text', 0), undefined);
  cooldowns.grow('account', 'blocked', 0, 5000);
  assert.equal(cooldowns.current('text', 0)?.why, 'blocked');
  assert.equal(cooldowns.current('image', 0)?.why, 'blocked', 'the longer one is told');
  cooldowns.grow('image', 'locked', 0, 9000);
  assert.equal(cooldowns.current('image', 0)?.why, 'locked');
});

test('cooldowns, a success ends the growth but not a pause that still runs', () => {
  const cooldowns = plain();
  for (let n = 0; n < 4; n += 1) cooldowns.grow('image', 'locked', 0);
  cooldowns.onSuccess('image', 100);
  assert.equal(cooldowns.current('image', 100)?.untilMs, 8000);
  cooldowns.grow('image', 'locked', 8000);
  assert.equal(cooldowns.current('image', 8000)?.untilMs, 9000);
});

test('cooldowns, a success of the other kind does not end the growth', () => {
  const cooldowns = plain();
  for (let n = 0; n < 3; n += 1) cooldowns.grow('image', 'locked', 0);
  cooldowns.onSuccess('text', 5000);
  cooldowns.grow('image', 'locked', 5000);
  assert.equal(cooldowns.current('image', 5000)?.untilMs, 13_000);
});

test('cooldowns, a rest counts as no failure', () => {
  const cooldowns = plain();
  for (let n = 0; n < 5; n += 1) cooldowns.restUntil('image', 'gap', 100);
  cooldowns.grow('image', 'locked', 200);
  assert.equal(cooldowns.current('image', 200)?.untilMs, 1200);
});

test('cooldowns, no sequence of events ever shortens a pause', () => {
  const scope = fc.constantFrom('image', 'text', 'account');
  const event = fc.oneof(
    fc.record({ kind: fc.constant('grow'), scope, ms: fc.nat(100_000) }),
    fc.record({ kind: fc.constant('rest'), scope, ms: fc.nat(100_000) }),
    fc.record({ kind: fc.constant('success'), scope: fc.constantFrom('image', 'text'), ms: fc.constant(0) }),
    fc.record({ kind: fc.constant('pass'), scope, ms: fc.nat(20_000) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const cooldowns = new Cooldowns(() => 0.5);
      let nowMs = 0;
      const promised = { image: 0, text: 0 };
      for (const next of events) {
        if (next.kind === 'grow') cooldowns.grow(next.scope, 'x', nowMs, next.ms);
        else if (next.kind === 'rest') cooldowns.restUntil(next.scope, 'x', nowMs + next.ms);
        else if (next.kind === 'success') cooldowns.onSuccess(next.scope, nowMs);
        else nowMs += next.ms;
        for (const kind of ['image', 'text'] as const) {
          const untilMs = cooldowns.current(kind, nowMs)?.untilMs ?? 0;
          assert.ok(promised[kind] <= nowMs || untilMs >= promised[kind], `${kind} was shortened by ${next.kind}`);
          promised[kind] = Math.max(promised[kind], untilMs);
        }
      }
    }),
  );
});
