// Finds the token in an Authorization header, however a client spells it.

/**
 * Gives the token of `Bearer TOKEN`, of any other single scheme word before it, or of a header that is the bare token: clients
 * of the service this one replaces send all three. Undefined when there is no such token.
 */
export function readAuthorization(header: string | undefined): string | undefined {
  const words = header?.trim().split(/\s+/) ?? [];
  if (words.length === 0 || words.length > 2) return undefined;
  return words[words.length - 1] || undefined;
}
