// Tells whether two requests ask for the same thing: one hash over everything that shapes the answer.
import { createHash, subtle, type Hash } from 'node:crypto';
import { isMultipart, readParts } from '../novelai/multipart-parts.ts';

export interface HashedRequest {
  /** Path and query as they go to NovelAI. */
  path: string;
  contentType: string | undefined;
  /** The same body with another `Accept` gets another answer: a zip or JSON (contract 3.1). */
  accept: string | undefined;
  body: Buffer | null;
}

/** Up to here the event loop does it in less than half a millisecond; beyond, Node's thread pool does. */
const LARGE_BODY_BYTES = 512 * 1024;

/**
 * Gives the SHA-256 of a request, hexadecimal. A form counts by its parts, since clients separate them by a new random boundary
 * each time they send it.
 */
export async function requestHash({ path, contentType, accept, body }: HashedRequest): Promise<string> {
  const hash = createHash('sha256');
  addText(hash, path);
  addText(hash, accept ?? '');
  if (body === null) return hash.digest('hex');
  for (const [name, content] of piecesOf(contentType, body)) {
    addText(hash, name);
    const isLarge = content.length > LARGE_BODY_BYTES;
    hash.update(isLarge ? new Uint8Array(await subtle.digest('SHA-256', content)) : content);
    addText(hash, String(content.length));
  }
  return hash.digest('hex');
}

function piecesOf(contentType: string | undefined, body: Buffer): Iterable<readonly [name: string, content: Buffer]> {
  if (contentType !== undefined && isMultipart(contentType))
    try {
      return readParts(contentType, body);
    } catch {
      // No proper form: NovelAI would refuse it, and as a mere run of bytes it has a hash too.
    }
  return [[contentType ?? '', body]];
}

/** With its length before it, so that no two lists of texts run together into the same bytes. */
function addText(hash: Hash, text: string): void {
  hash.update(`${Buffer.byteLength(text)}:${text}`);
}
