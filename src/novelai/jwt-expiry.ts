// Reads when a session token ends, so that it can be renewed before NovelAI refuses it.

/** Longer than any session token; keeps a hostile one from being decoded at length. */
const LONGEST_TOKEN_CHARACTERS = 16_384;

/**
 * Gives the `exp` claim of a session JWT in Unix seconds (contract 2.3), or undefined for a persistent `pst-` token, a JWT
 * without a usable `exp`, or anything else. The signature is not checked: only NovelAI can, and does.
 */
export function readJwtExpiry(token: string): number | undefined {
  if (token.length > LONGEST_TOKEN_CHARACTERS) return undefined;
  const [header, claims, signature, ...rest] = token.split('.');
  if (header === undefined || claims === undefined || signature === undefined || rest.length > 0) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null || !('exp' in parsed)) return undefined;
    const { exp } = parsed;
    return typeof exp === 'number' && Number.isFinite(exp) && exp > 0 ? exp : undefined;
  } catch {
    return undefined;
  }
}
