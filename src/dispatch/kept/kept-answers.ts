// Paid answers that can be used again, kept as files: a vibe encoded once need not be paid for twice.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';

/** An answer of NovelAI's, as far as a client sees it. */
export interface KeptAnswer {
  headers: Record<string, string>;
  body: Buffer;
}

export interface KeptAnswersOptions {
  /** Folder of the files; made when first needed. */
  dir: string;
  /** The most all files together may take; the longest unused go first. */
  limitBytes: number;
}

const SUFFIX = '.answer';
const LINE_FEED = 0x0a;
/** A file is one line of JSON, then the body. */
interface FileHead {
  headers: Record<string, string>;
  sha256: string;
}

/**
 * Finds answers by a key of hex digits. The order of use lives in the files' times, and so outlasts a restart. What cannot be read,
 * or is not what was written, counts as not there; what cannot be written is not kept. Neither ever fails a request.
 */
export class KeptAnswers {
  readonly #dir: string;
  /** Sizes in bytes by key, in the order of use. */
  readonly #sizes: LRUCache<string, number>;
  /** On their way to the disk; given out from here meanwhile. */
  readonly #unwritten = new Map<string, { answer: KeptAnswer; written: Promise<void> }>();

  constructor({ dir, limitBytes }: KeptAnswersOptions) {
    this.#dir = dir;
    this.#sizes = new LRUCache({
      maxSize: limitBytes,
      sizeCalculation: (sizeBytes) => sizeBytes,
      dispose: (_sizeBytes, key, reason) => {
        if (reason !== 'set') void rm(this.#pathOf(key), { force: true }).catch(() => undefined);
      },
    });
  }

  get entries(): number {
    return this.#sizes.size;
  }

  get sizeBytes(): number {
    return this.#sizes.calculatedSize;
  }

  /** Learns what an earlier run has left. Never throws. */
  async open(): Promise<void> {
    const names = await readdir(this.#dir).catch(() => []);
    const found: { key: string; sizeBytes: number; usedMs: number }[] = [];
    for (const name of names) {
      const path = join(this.#dir, name);
      const key = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : undefined;
      const file = await stat(path).catch(() => undefined);
      // Anything else here is a file that was being written when the process ended.
      if (key === undefined || !file?.size) await rm(path, { force: true }).catch(() => undefined);
      else found.push({ key, sizeBytes: file.size, usedMs: file.mtimeMs });
    }
    for (const { key, sizeBytes } of found.toSorted((a, b) => a.usedMs - b.usedMs)) this.#sizes.set(key, sizeBytes);
  }

  async get(key: string): Promise<KeptAnswer | undefined> {
    const unwritten = this.#unwritten.get(key);
    if (unwritten) return unwritten.answer;
    if (this.#sizes.get(key) === undefined) return undefined;
    const path = this.#pathOf(key);
    const answer = await readFile(path).then(parseFile, () => undefined);
    if (answer === undefined) {
      this.#sizes.delete(key);
      return undefined;
    }
    const now = new Date();
    void utimes(path, now, now).catch(() => undefined);
    return answer;
  }

  /** Keeps an answer: `get` finds it from now on. Resolves when it is on disk, or cannot be put there. */
  put(key: string, answer: KeptAnswer): Promise<void> {
    const written = this.#write(key, answer).finally(() => this.#unwritten.delete(key));
    this.#unwritten.set(key, { answer, written });
    return written;
  }

  /** Resolves when everything is on disk. */
  async close(): Promise<void> {
    await Promise.all([...this.#unwritten.values()].map(({ written }) => written));
  }

  async #write(key: string, { headers, body }: KeptAnswer): Promise<void> {
    const head: FileHead = { headers, sha256: sha256(body) };
    const file = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), body]);
    if (file.length > this.#sizes.maxSize) return;
    // Written aside and moved into place, so that there is never half an answer under a key.
    const partial = join(this.#dir, `${key}.partial`);
    try {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      await writeFile(partial, file, { mode: 0o600 });
      await rename(partial, this.#pathOf(key));
      this.#sizes.set(key, file.length);
    } catch {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  #pathOf(key: string): string {
    return join(this.#dir, key + SUFFIX);
  }
}

function parseFile(file: Buffer): KeptAnswer | undefined {
  const end = file.indexOf(LINE_FEED);
  try {
    const head = JSON.parse(file.toString('utf8', 0, end)) as Partial<FileHead>;
    const body = file.subarray(end + 1);
    return head.headers && head.sha256 === sha256(body) ? { headers: head.headers, body } : undefined;
  } catch {
    return undefined;
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
