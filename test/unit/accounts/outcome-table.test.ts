// Tests of the table of design section 5: one for each row.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ruleOnAnswer, ruleOnFailure, type Ruling } from '../../../src/accounts/outcome-table.ts';
import type { ExchangeFailure, FailureKind } from '../../../src/upstream/exchange-failure.ts';

function answer(status: number, isHtml = false): Ruling {
  return ruleOnAnswer({ status, isHtml });
}

function failure(kind: FailureKind, wasSent: boolean, hasHead = false): Ruling {
  return ruleOnFailure({ kind, wasSent, hasHead, code: 'X' } satisfies ExchangeFailure);
}

test('table, 2xx: the account works and the answer passes', () => {
  for (const status of [200, 201, 204]) assert.deepEqual(answer(status), { account: 'success', action: 'pass' });
});

test('table, 401 and 403 with JSON: the token is refused, once more with a new one', () => {
  for (const ruling of [answer(401), answer(401, true), answer(403)])
    assert.deepEqual(ruling, { account: 'token_refused', action: 'renew_token' });
});

test('table, 403 with a web page: the account is blocked, another one', () => {
  assert.deepEqual(answer(403, true), { account: 'blocked', action: 'other_account' });
});

test('table, 402: the account cannot pay, another one', () => {
  assert.deepEqual(answer(402), { account: 'cannot_pay', action: 'other_account' });
});

test('table, 409 and 429: the account is locked, the request keeps its place', () => {
  for (const ruling of [answer(409), answer(429), answer(429, true)])
    assert.deepEqual(ruling, { account: 'locked', action: 'wait_again' });
});

test("table, other 4xx: the request's own fault never counts against the account (I7)", () => {
  for (const status of [400, 404, 405, 408, 411, 413, 415, 422, 431, 451, 499])
    assert.deepEqual(answer(status), { account: 'untouched', action: 'pass' }, `${status}`);
});

test('table, 5xx: the account is suspect, the answer passes and is not sent again (I2)', () => {
  for (const status of [500, 502, 503, 504, 520, 524])
    for (const isHtml of [false, true])
      assert.deepEqual(answer(status, isHtml), { account: 'suspect', action: 'pass' }, `${status}`);
});

test('table, a timeout or reset after the request was sent: suspect, and never sent again (I2)', () => {
  const kinds: FailureKind[] = ['reset', 'first_byte_timeout', 'idle_timeout', 'total_timeout'];
  for (const kind of kinds)
    for (const hasHead of [false, true])
      assert.deepEqual(failure(kind, true, hasHead), { account: 'suspect', action: 'fail' }, kind);
});

test('table, no connection: nothing reached NovelAI, another host', () => {
  for (const kind of ['refused', 'dns', 'tls', 'connect_timeout', 'total_timeout'] as FailureKind[])
    assert.deepEqual(failure(kind, false), { account: 'unreached', action: 'other_host' }, kind);
});

test('table, an end from this side tells nothing of the account', () => {
  for (const kind of ['aborted', 'body_lost'] as const)
    for (const wasSent of [false, true])
      assert.deepEqual(failure(kind, wasSent), { account: 'untouched', action: 'fail' }, kind);
});

test('table, nothing that may have been charged is ever ruled to be sent again (I2)', () => {
  const resending = new Set(['renew_token', 'other_account', 'wait_again', 'other_host']);
  const provenFree = new Set([401, 402, 403, 409, 429]);
  for (let status = 200; status < 600; status += 1)
    for (const isHtml of [false, true])
      if (resending.has(answer(status, isHtml).action)) assert.ok(provenFree.has(status), `${status}`);
  const kinds = 'refused dns tls connect_timeout first_byte_timeout idle_timeout total_timeout reset aborted';
  for (const kind of kinds.split(' ') as FailureKind[]) assert.ok(!resending.has(failure(kind, true).action), kind);
});
