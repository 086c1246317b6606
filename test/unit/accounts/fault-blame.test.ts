// Tests of whose fault an "Internal Server Error" is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultBlame } from '../../../src/accounts/fault-blame.ts';

const SHAPE = 'me|generate-image|nai-diffusion-4-5-full';

function setUp() {
  const clock = { nowMs: 0 };
  return { clock, blame: new FaultBlame(() => clock.nowMs) };
}

function request(digest: string) {
  return { shape: SHAPE, digest };
}

test('blame, a 500 without any success elsewhere is taken for the request (I7)', () => {
  const { blame } = setUp();
  for (let n = 0; n < 20; n += 1) assert.equal(blame.isRequestsFault(request(`body ${n}`), 'a'), true);
});

test('blame, a 500 where another account has just succeeded counts against the account', () => {
  const { blame } = setUp();
  blame.onSuccess(SHAPE, 'b');
  for (let n = 0; n < 5; n += 1) assert.equal(blame.isRequestsFault(request(`body ${n}`), 'a'), false);
});

test('blame, the very body that failed on another account is at fault itself', () => {
  const { blame } = setUp();
  blame.onSuccess(SHAPE, 'b');
  for (let n = 0; n < 2; n += 1) assert.equal(blame.isRequestsFault(request('bad'), 'a'), false);
  assert.equal(blame.isRequestsFault(request('bad'), 'b'), true);
  assert.equal(blame.isRequestsFault(request('bad'), 'c'), true);
});

test("blame, the account's own success, one of another shape, and one of long ago do not count", () => {
  const { blame, clock } = setUp();
  blame.onSuccess(SHAPE, 'a');
  assert.equal(blame.isRequestsFault(request('1'), 'a'), true);
  blame.onSuccess('other shape', 'b');
  assert.equal(blame.isRequestsFault(request('2'), 'a'), true);
  blame.onSuccess(SHAPE, 'b');
  clock.nowMs = 60_000;
  assert.equal(blame.isRequestsFault(request('3'), 'a'), false);
  clock.nowMs = 60_001;
  assert.equal(blame.isRequestsFault(request('4'), 'a'), true);
});
