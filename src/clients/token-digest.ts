// The form in which client tokens are kept: a digest, from which nobody can get the token back.
import { hash } from 'node:crypto';

/**
 * Gives the SHA-256 of a token, hexadecimal. A slow, salted password hash would add nothing: a token of this service is 64
 * random letters and digits (381 bits), which no list and no machine can guess, however fast each guess is. A fast digest keeps
 * the look-up of every request at a few microseconds.
 */
export function tokenDigest(token: string): string {
  return hash('sha256', token, 'hex');
}
