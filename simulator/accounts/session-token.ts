// Session tokens as NovelAI's login gives them: JWTs signed with HS256 (contract 2.3).
import { createHmac, timingSafeEqual } from 'node:crypto';

/** The claims of a session token, in the order NovelAI writes them. Times are Unix seconds. */
export interface SessionClaims {
  readonly exp: number;
  readonly iat: number;
  /** The account's id. */
  readonly id: string;
  /** What makes two tokens of one second differ; here a serial number, by which older tokens can be called in. */
  readonly nc: number;
}

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url');

/** Gives the token for `claims`. */
export function signSessionToken(claims: SessionClaims, key: string): string {
  const { exp, iat, id, nc } = claims;
  const unsigned = `${HEADER}.${Buffer.from(JSON.stringify({ exp, iat, id, nc })).toString('base64url')}`;
  return `${unsigned}.${signatureOf(unsigned, key)}`;
}

/** Gives the claims of a token signed with `key`, or undefined for any other text. Does not look at `exp`. */
export function verifySessionToken(token: string, key: string): SessionClaims | undefined {
  const end = token.lastIndexOf('.');
  const unsigned = token.slice(0, end);
  if (end < 0 || !unsigned.startsWith(`${HEADER}.`)) return undefined;
  const given = Buffer.from(token.slice(end + 1));
  const expected = Buffer.from(signatureOf(unsigned, key));
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return JSON.parse(Buffer.from(unsigned.slice(HEADER.length + 1), 'base64url').toString()) as SessionClaims;
}

function signatureOf(unsigned: string, key: string): string {
  return createHmac('sha256', key).update(unsigned).digest('base64url');
}
