// Checks sessions of clients: good ones are known again, and nothing else is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { signSession, verifySession } from '../../../src/dialects/native/session-tokens.ts';
import { readJwtExpiry } from '../../../src/novelai/jwt-expiry.ts';

const KEY = Buffer.from('made-up-key');
const NOW = 1_800_000_000;
const THIRTY_DAYS = 30 * 24 * 3600;
const keyOf = (name: string) => (name === 'bot' ? KEY : undefined);

test('session, known again until it ends', () => {
  const token = signSession('bot', KEY, NOW);
  assert.match(token, /^ey/);
  assert.equal(readJwtExpiry(token), NOW + THIRTY_DAYS);
  assert.equal(verifySession(token, keyOf, NOW), 'bot');
  assert.equal(verifySession(token, keyOf, NOW + THIRTY_DAYS - 1), 'bot');
  assert.equal(verifySession(token, keyOf, NOW + THIRTY_DAYS), undefined);
});

test('session, two of one second differ', () => {
  assert.notEqual(signSession('bot', KEY, NOW), signSession('bot', KEY, NOW));
});

test('session, of a client that is gone or has another key: unknown', () => {
  const token = signSession('bot', KEY, NOW);
  assert.equal(
    verifySession(token, () => undefined, NOW),
    undefined,
  );
  assert.equal(
    verifySession(token, () => Buffer.from('other'), NOW),
    undefined,
  );
});

test('session, any change of any character: unknown', () => {
  const token = signSession('bot', KEY, NOW);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: token.length - 1 }), fc.constantFrom('A', 'b', '7', '.', '_'), (at, by) => {
      fc.pre(token[at] !== by);
      const changed = token.slice(0, at) + by + token.slice(at + 1);
      // The last character of a signature holds bits that decoding drops.
      fc.pre(
        !Buffer.from(changed.split('.')[2] ?? '', 'base64url').equals(signature(token)) || at < token.lastIndexOf('.'),
      );
      assert.equal(verifySession(changed, keyOf, NOW), undefined);
    }),
  );
});

test('session, an unsigned token or another algorithm: unknown', () => {
  const claims = Buffer.from(JSON.stringify({ id: 'bot', exp: NOW + 100 })).toString('base64url');
  for (const header of ['{"alg":"none","typ":"JWT"}', '{"alg":"HS256","typ":"JWT"}'])
    for (const end of ['', Buffer.from('x').toString('base64url')])
      assert.equal(
        verifySession(`${Buffer.from(header).toString('base64url')}.${claims}.${end}`, keyOf, NOW),
        undefined,
      );
});

test('session, any text: never throws', () => {
  const beginning = signSession('bot', KEY, NOW).split('.')[0] ?? '';
  fc.assert(
    fc.property(fc.string(), fc.boolean(), (text, isAlike) => {
      assert.equal(verifySession(isAlike ? `${beginning}.${text}` : text, keyOf, NOW), undefined);
    }),
  );
});

function signature(token: string): Buffer {
  return Buffer.from(token.split('.')[2] ?? '', 'base64url');
}
