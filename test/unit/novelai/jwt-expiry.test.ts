// Checks that the expiry of session tokens is read, and that nothing else makes the reader fail.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readJwtExpiry } from '../../../src/novelai/jwt-expiry.ts';

function jwt(claims: unknown): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}

test('readJwtExpiry, gives the exp claim in seconds', () => {
  assert.equal(readJwtExpiry(jwt({ exp: 1_793_000_000, iat: 1, id: 'a', nc: 'b' })), 1_793_000_000);
  assert.equal(readJwtExpiry(jwt({ exp: 1_793_000_000.5 })), 1_793_000_000.5);
});

test('readJwtExpiry, gives undefined for persistent tokens, garbage and useless claims', () => {
  const persistent = `pst-${'a'.repeat(64)}`;
  const useless = [{}, null, [], 'x', { exp: '1793000000' }, { exp: null }, { exp: -1 }, { exp: 0 }].map((claims) =>
    jwt(claims),
  );
  for (const token of [persistent, '', '.', '..', 'a.b', 'a.b.c', 'a.b.c.d', `${jwt({ exp: 1 })}.x`, ...useless]) {
    assert.equal(readJwtExpiry(token), undefined, token);
  }
  assert.equal(readJwtExpiry(jwt({ exp: 1_793_000_000, padding: 'x'.repeat(20_000) })), undefined);
});

test('readJwtExpiry, never throws', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void readJwtExpiry(`a.${text}.b`)));
  fc.assert(
    fc.property(fc.json(), (json) => {
      const expiry = readJwtExpiry(jwt(JSON.parse(json)));
      assert.ok(expiry === undefined || expiry > 0);
    }),
  );
});
