// Reads the header by which a client says that two requests are one.

const LONGEST_KEY = 255;

/** Gives the key of an `Idempotency-Key` header, undefined when there is none, or one sentence on what is wrong with it (400). */
export function readIdempotencyKey(
  header: string | string[] | undefined,
): { key: string | undefined; fault?: undefined } | { fault: string } {
  if (header === undefined) return { key: undefined };
  const key = typeof header === 'string' ? header.trim() : '';
  if (key === '' || key.length > LONGEST_KEY || !/^[\x20-\x7e]+$/.test(key))
    return { fault: `Idempotency-Key: expected one key of 1 to ${LONGEST_KEY} printable ASCII characters.` };
  return { key };
}
