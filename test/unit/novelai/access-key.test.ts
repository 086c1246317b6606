// Checks the access key against vectors computed by two independent libraries (contract 2.2).
import assert from 'node:assert/strict';
import { argon2Sync } from 'node:crypto';
import { test } from 'node:test';
import { blake2b } from '@noble/hashes/blake2.js';
import { deriveAccessKey } from '../../../src/novelai/access-key.ts';

const VECTORS = [
  ['test@example.com', 'password123', '5TjO-5RT1mNI59hEHZXjBJZpp2yvC4L0LJUeIhRwkZHxgIHEutHp8EgOwvynvwLu'],
  ['bob@example.org', 'pässwörd-ünï', 'dd3y-uhhFZQ822IK-xF2O_mJAfL2LIe3HNERWkVOApKnqw1zl5ff3xfrPPb5jGNR'],
] as const;

for (const [email, password, key] of VECTORS) {
  test(`deriveAccessKey, gives the vector of ${email}`, async () => {
    assert.equal(await deriveAccessKey(email, password), key);
  });
}

test('deriveAccessKey, uses the e-mail as given', async () => {
  assert.notEqual(await deriveAccessKey('Test@example.com', 'password123'), VECTORS[0][2]);
});

test('deriveAccessKey, works for passwords shorter than six characters, empty ones and emoji', async () => {
  for (const password of ['abc', '', 'abcde\u{1f600}f']) {
    assert.match(await deriveAccessKey('a@example.com', password), /^[\w-]{64}$/);
  }
});

test('deriveAccessKey, cuts an emoji at the sixth UTF-16 unit as the browser does', async () => {
  const nonce = blake2b(Buffer.from('abcde\ufffda@example.comnovelai_data_access_key'), { dkLen: 16 });
  const message = Buffer.from('abcde\u{1f600}f');
  const raw = argon2Sync('argon2id', { message, nonce, passes: 2, memory: 1953, parallelism: 1, tagLength: 64 });
  assert.equal(await deriveAccessKey('a@example.com', 'abcde\u{1f600}f'), raw.toString('base64url').slice(0, 64));
});
