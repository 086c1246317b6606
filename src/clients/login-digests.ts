// What is kept of a client's token so that the client can also log in with it, as NovelAI's own programs do.
import { hash } from 'node:crypto';
import { deriveAccessKey } from '../novelai/access-key.ts';

/** Gives the digest under which an access key (contract 2.2) is kept and found: nobody gets the key back from it. */
export function loginDigest(accessKey: string): string {
  return hash('sha256', accessKey, 'base64');
}

/**
 * Gives the digests of the access keys that a program may send for this name and token. Some send the e-mail address as typed,
 * some in lower case (contract 2.2, "E-mail case"). Takes some 10 ms for each, off the event loop.
 */
export async function loginDigestsOf(name: string, token: string): Promise<string[]> {
  const spellings = [...new Set([name, name.toLowerCase()])];
  return Promise.all(spellings.map(async (email) => loginDigest(await deriveAccessKey(email, token))));
}
