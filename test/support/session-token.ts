// Made-up session tokens with the expiry a test wants.

let made = 0;

/** Gives a JWT that ends at `expiresAtMs` (wall clock); none is like another. */
export function sessionToken(expiresAtMs: number | undefined): string {
  made += 1;
  const claims = { iat: 1, id: `made-up-${made}`, ...(expiresAtMs !== undefined && { exp: expiresAtMs / 1000 }) };
  const part = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url');
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}
