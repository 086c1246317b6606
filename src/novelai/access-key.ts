// Derives the access key NovelAI's login takes instead of a password.
import { argon2 } from 'node:crypto';
import { blake2b } from '@noble/hashes/blake2.js';

const DOMAIN = 'novelai_data_access_key';
const SALT_BYTES = 16;
const KEY_CHARACTERS = 64;

/** Argon2id v1.3; libsodium's memory limit of 2,000,000 bytes is 1953 whole KiB (contract 2.2). */
const ARGON2 = { passes: 2, memory: 1953, parallelism: 1, tagLength: 64 };

/**
 * Gives the 64-character key that `POST /user/login` expects as `key` (contract 2.2). Takes about 10 ms, off the event loop.
 *
 * The e-mail is used as given: trimming and lower-casing is the web client's habit, and an account may have been made with
 * another spelling. "The first six characters" of the password are UTF-16 units, because the key NovelAI stores was computed by
 * the web client's `substring(0, 6)` at sign-up; Python clients, which count code points, differ only where an emoji sits there
 * (and a surrogate cut in half becomes U+FFFD, in the browser as here).
 */
export async function deriveAccessKey(email: string, password: string): Promise<string> {
  const salt = blake2b(Buffer.from(password.slice(0, 6) + email + DOMAIN, 'utf8'), { dkLen: SALT_BYTES });
  const raw = await hashArgon2id(Buffer.from(password, 'utf8'), salt);
  return raw.toString('base64url').slice(0, KEY_CHARACTERS);
}

function hashArgon2id(message: Uint8Array, nonce: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2('argon2id', { ...ARGON2, message, nonce }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
