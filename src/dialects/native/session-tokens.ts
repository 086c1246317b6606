// Session tokens as a login gives them: JWTs in NovelAI's form (contract 2.3), which some clients check for.
import { createHmac, randomInt, timingSafeEqual } from 'node:crypto';

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url');
/** As NovelAI's (contract 2.3). */
const LIFE_SECONDS = 30 * 24 * 3600;
/** Longer than any token made here; a hostile one is not even decoded. */
const LONGEST_TOKEN_CHARACTERS = 1024;
const NONCE_LIMIT = 2 ** 31;

/** Gives a session token for a client, good for 30 days. `key` is secret and the client's alone. */
export function signSession(clientName: string, key: Buffer, nowUnix: number): string {
  const claims = { exp: nowUnix + LIFE_SECONDS, iat: nowUnix, id: clientName, nc: randomInt(NONCE_LIMIT) };
  const unsigned = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${unsigned}.${signatureOf(unsigned, key).toString('base64url')}`;
}

/** Gives the name of the client whose session this is, or undefined for anything else, forged or over. */
export function verifySession(
  token: string,
  keyOf: (clientName: string) => Buffer | undefined,
  nowUnix: number,
): string | undefined {
  if (token.length > LONGEST_TOKEN_CHARACTERS || !token.startsWith(`${HEADER}.`)) return undefined;
  const end = token.lastIndexOf('.');
  const claims = readClaims(token.slice(HEADER.length + 1, end));
  const key = claims && keyOf(claims.id);
  if (!key) return undefined;
  const given = Buffer.from(token.slice(end + 1), 'base64url');
  const expected = signatureOf(token.slice(0, end), key);
  const isGenuine = given.length === expected.length && timingSafeEqual(given, expected);
  return isGenuine && nowUnix < claims.exp ? claims.id : undefined;
}

function readClaims(encoded: string): { id: string; exp: number } | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null || !('id' in claims) || !('exp' in claims)) return undefined;
    const { id, exp } = claims;
    return typeof id === 'string' && typeof exp === 'number' ? { id, exp } : undefined;
  } catch {
    return undefined;
  }
}

function signatureOf(unsigned: string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(unsigned).digest();
}
