// Tests of the kinds of failure: each error code to the kind that leads to the right action.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyLost, classifyFailure, ExchangeAborted } from '../../../src/upstream/exchange-failure.ts';

const UNSENT = { wasSent: false, hasHead: false };
const SENT = { wasSent: true, hasHead: false };

function coded(code: string): Error {
  return Object.assign(new Error('made up'), { code });
}

test('failure, each code before the request was sent has its kind', () => {
  const kinds: Record<string, string> = {
    ECONNREFUSED: 'refused',
    EHOSTUNREACH: 'refused',
    ENETUNREACH: 'refused',
    EADDRNOTAVAIL: 'refused',
    ENOTFOUND: 'dns',
    EAI_AGAIN: 'dns',
    UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
    ETIMEDOUT: 'connect_timeout',
    ERR_TLS_CERT_ALTNAME_INVALID: 'tls',
    ERR_SSL_WRONG_VERSION_NUMBER: 'tls',
    CERT_HAS_EXPIRED: 'tls',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
    EPROTO: 'tls',
    ECONNRESET: 'refused',
    SOMETHING_NEW: 'refused',
  };
  for (const [code, kind] of Object.entries(kinds))
    assert.deepEqual(classifyFailure(coded(code), UNSENT), { kind, wasSent: false, hasHead: false, code }, code);
});

test('failure, once something was sent every error of the way is the most careful kind (I2)', () => {
  for (const code of ['ECONNREFUSED', 'ETIMEDOUT', 'ENOTFOUND', 'CERT_HAS_EXPIRED', 'ECONNRESET', 'SOMETHING_NEW'])
    assert.deepEqual(classifyFailure(coded(code), SENT), { kind: 'reset', wasSent: true, hasHead: false, code }, code);
});

test('failure, an end from this side keeps its own kind, sent or not', () => {
  for (const kind of ['connect_timeout', 'first_byte_timeout', 'idle_timeout', 'total_timeout', 'aborted'] as const)
    for (const state of [UNSENT, SENT, { wasSent: true, hasHead: true }])
      assert.deepEqual(classifyFailure(new ExchangeAborted(kind), state), { kind, ...state, code: kind });
});

test('failure, of several addresses of one host the first tells the kind', () => {
  const error = new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]);
  assert.equal(classifyFailure(error, UNSENT).code, 'ECONNREFUSED');
  assert.equal(classifyFailure(new AggregateError([]), UNSENT).kind, 'refused');
});

test('failure, whatever is thrown has a code for the log', () => {
  for (const [error, code] of [
    [new TypeError('x'), 'TypeError'],
    ['text', 'UNKNOWN'],
    [undefined, 'UNKNOWN'],
    [Object.assign(new Error('x'), { code: 7 }), 'Error'],
  ] as const)
    assert.equal(classifyFailure(error, UNSENT).code, code);
});

test('failure, a body that could not be read to its end never reached NovelAI as a request (I2)', () => {
  const failure = classifyFailure(new BodyLost(coded('EIO')), SENT);
  assert.deepEqual(failure, { kind: 'body_lost', wasSent: false, hasHead: false, code: 'EIO' });
});
