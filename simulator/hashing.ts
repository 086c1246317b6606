// SHA-256 of bodies for the truth log, computed once for each Buffer.
import { hash } from 'node:crypto';

const KNOWN = new WeakMap<Buffer, string>();

/** Gives the hex SHA-256; a Buffer that is asked for again, as cached pictures are, must not have changed. */
export function hashOf(bytes: Buffer): string {
  let hex = KNOWN.get(bytes);
  if (hex === undefined) {
    hex = hash('sha256', bytes);
    KNOWN.set(bytes, hex);
  }
  return hex;
}
