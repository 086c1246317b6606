// Tests of the last guard before a line leaves the process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hideSecrets, registerSecret } from '../../../src/telemetry/hide-secrets.ts';

const PERSISTENT = `pst-${'Ab3'.repeat(21)}x`;
const JWT = `eyJhbGciOiJIUzI1NiJ9.${Buffer.from('{"exp":1,"id":"made-up"}').toString('base64url')}.c2lnbmF0dXJl-_`;

test('shapes, persistent tokens and session tokens are hidden wherever they stand', () => {
  for (const token of [PERSISTENT, JWT])
    for (const line of [token, `token=${token}`, `{"a":"${token}"}`, `x ${token}, ${token}.`, `\\n${token}\\n`]) {
      const safe = hideSecrets(line);
      assert.ok(!safe.includes(token) && safe.includes('[hidden]'), safe);
      assert.ok(!safe.includes(token.slice(8, 24)), safe);
    }
});

test('shapes, what only begins alike stays readable', () => {
  for (const line of ['pst-short', 'they said: keys. are. here', 'image.novelai.net', 'bearer', '{"status":200}'])
    assert.equal(hideSecrets(line), line);
});

test('bearer, whatever follows the word is hidden in either case, up to the end of its JSON string', () => {
  assert.equal(hideSecrets('{"authorization":"Bearer abc.def","n":1}'), '{"authorization":"Bearer [hidden]","n":1}');
  assert.equal(hideSecrets('bearer  123456'), 'bearer [hidden]');
});

test('addresses, user names and passwords are hidden and the host stays', () => {
  for (const login of ['owner:made-up-pw', 'owner:', 'only-a-key', 'owner:p@ss:w', 'o%40x:y'])
    assert.equal(
      hideSecrets(`via socks5://${login}@proxy.example:1080/x`),
      'via socks5://[hidden]@proxy.example:1080/x',
    );
  const plain = 'see https://example.org/mail?to=a@b.example';
  assert.equal(hideSecrets(plain), plain);
});

test('registered secrets, are hidden also as JSON writes them', () => {
  const secret = 'p"ä\\ss\nword';
  registerSecret(secret);
  const safe = hideSecrets(JSON.stringify({ message: `login with ${secret} failed` }));
  assert.deepEqual(JSON.parse(safe), { message: 'login with [hidden] failed' });
});

test('registered secrets, very short ones are left alone rather than garbling every line', () => {
  registerSecret('me');
  registerSecret('');
  assert.equal(hideSecrets('some message'), 'some message');
});

test('registered secrets, one that holds another leaves no rest of it, in whatever order they came', () => {
  registerSecret('winter-made-up');
  registerSecret('winter-made-up-2026');
  registerSecret('the-winter-made-up-2026');
  for (const line of ['a winter-made-up-2026 b', 'a the-winter-made-up-2026 b', 'a winter-made-up b'])
    assert.equal(hideSecrets(line), 'a [hidden] b');
});

test('registered secrets, any text in any line is gone afterwards', () => {
  const around = fc.string({ maxLength: 20 });
  const secrets = fc.string({ minLength: 6, maxLength: 40, unit: 'grapheme' });
  fc.assert(
    fc.property(secrets, around, around, (secret, before, after) => {
      // A secret that is part of the mask itself cannot be told from it.
      fc.pre(!'[hidden]'.includes(JSON.stringify(secret).slice(1, -1)));
      registerSecret(secret);
      const line = JSON.stringify({ text: `${before}${secret}${after}` });
      const safe = hideSecrets(line);
      assert.ok(!safe.includes(JSON.stringify(secret).slice(1, -1)), safe);
    }),
    { numRuns: 60 },
  );
});

test('hiding, a line stays valid JSON', () => {
  const line = JSON.stringify({ a: `Bearer ${JWT}`, b: PERSISTENT, c: 'https://u:p@h.example', d: 1 });
  assert.equal((JSON.parse(hideSecrets(line)) as { d: number }).d, 1);
});
