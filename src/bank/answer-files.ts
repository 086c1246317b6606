// The bodies of kept answers: files named for their content, never more of them than the limit, not even for a moment.
import { randomUUID } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { singleFlight } from '../lib/single-flight.ts';

export interface AnswerFilesOptions {
  dir: string;
  /** All files together, those that are being written included. */
  limitBytes: number;
  /** Releases the file that is least worth keeping; gives false when there is none left to release. */
  evictOne: () => Promise<boolean>;
}

/** A file that is being written, and has no name in the store yet. */
export interface PartialFile {
  path: string;
  handle: FileHandle;
  /** Space that it has obtained. */
  obtainedBytes: number;
}

interface KeptFile {
  sizeBytes: number;
  /** Entries that refer to it. */
  references: number;
}

const PARTIAL_FOLDER = 'partial';
const CONTENT_NAME = /^[0-9a-f]{64}$/;

/**
 * Space is obtained before it is written to, and given back after it was freed: so the limit holds at every moment. Two answers
 * of the same content share one file, which goes with the last reference to it.
 */
export class AnswerFiles {
  readonly #dir: string;
  readonly #limitBytes: number;
  readonly #evictOne: () => Promise<boolean>;
  readonly #files: Map<string, KeptFile>;
  /** The last thing that was begun with each name: what touches one name is done one after the other. */
  readonly #busy = new Map<string, Promise<void>>();
  #keptBytes = 0;
  #partialBytes = 0;

  private constructor({ dir, limitBytes, evictOne }: AnswerFilesOptions, files: Map<string, KeptFile>) {
    this.#dir = dir;
    this.#limitBytes = limitBytes;
    this.#evictOne = singleFlight(evictOne);
    this.#files = files;
    for (const { sizeBytes } of files.values()) this.#keptBytes += sizeBytes;
  }

  /** Finds what is there from before, and removes what was left half-written. */
  static async open(options: AnswerFilesOptions): Promise<AnswerFiles> {
    const { dir } = options;
    await rm(join(dir, PARTIAL_FOLDER), { recursive: true, force: true });
    await mkdir(join(dir, PARTIAL_FOLDER), { recursive: true, mode: 0o700 });
    const files = new Map<string, KeptFile>();
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
      if (entry.isFile() && CONTENT_NAME.test(entry.name)) {
        const { size: sizeBytes } = await stat(join(entry.parentPath, entry.name));
        files.set(entry.name, { sizeBytes, references: 0 });
      }
    return new AnswerFiles(options, files);
  }

  /** Bytes of all files, and of the space obtained for those that are being written. */
  get usedBytes(): number {
    return this.#keptBytes + this.#partialBytes;
  }

  /** Adds a reference to a file that is there from before; gives false when there is none, or not of this size. */
  adopt(hash: string, sizeBytes: number): boolean {
    const file = this.#files.get(hash);
    if (file?.sizeBytes !== sizeBytes) return false;
    file.references += 1;
    return true;
  }

  /** To be called once all references are known: removes files that have none, and as many more as the limit asks. */
  async tidy(): Promise<void> {
    for (const [hash, { references }] of this.#files) if (references === 0) await this.#remove(hash);
    while (this.usedBytes > this.#limitBytes) if (!(await this.#evictOne())) return;
  }

  /** Makes sure that so much may be written, removing older files where needed; gives false when that is not possible. */
  async obtain(partial: PartialFile, sizeBytes: number): Promise<boolean> {
    for (;;) {
      // Nothing is sacrificed for what would not fit even so.
      if (this.#partialBytes + sizeBytes > this.#limitBytes) return false;
      if (this.usedBytes + sizeBytes <= this.#limitBytes) break;
      if (!(await this.#evictOne())) return false;
    }
    this.#partialBytes += sizeBytes;
    partial.obtainedBytes += sizeBytes;
    return true;
  }

  async create(): Promise<PartialFile> {
    const path = join(this.#dir, PARTIAL_FOLDER, randomUUID());
    return { path, handle: await open(path, 'wx', 0o600), obtainedBytes: 0 };
  }

  /**
   * Gives a whole file its name, once it is on the disk, and one reference. When one of this content is there already, that one
   * stays and gets the reference.
   */
  async keep(partial: PartialFile, hash: string): Promise<void> {
    await this.#alone(hash, async () => {
      const known = this.#files.get(hash);
      if (known) {
        known.references += 1;
        await this.discard(partial);
        return;
      }
      const path = this.#pathOf(hash);
      await partial.handle.datasync();
      await partial.handle.close();
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(partial.path, path);
      // Without it, the worst is a name that a power cut takes back; the next start notices.
      await syncFolder(dirname(path)).catch(() => undefined);
      const sizeBytes = partial.obtainedBytes;
      this.#files.set(hash, { sizeBytes, references: 1 });
      this.#keptBytes += sizeBytes;
      this.#partialBytes -= sizeBytes;
      partial.obtainedBytes = 0;
    });
  }

  async discard(partial: PartialFile): Promise<void> {
    await partial.handle.close().catch(() => undefined);
    await unlink(partial.path).catch(() => undefined);
    this.#partialBytes -= partial.obtainedBytes;
    partial.obtainedBytes = 0;
  }

  /** Takes a reference away, and with the last one the file. */
  async release(hash: string): Promise<void> {
    await this.#alone(hash, async () => {
      const file = this.#files.get(hash);
      if (!file) return;
      file.references -= 1;
      if (file.references === 0) await this.#remove(hash);
    });
  }

  read(hash: string): ReadStream {
    return createReadStream(this.#pathOf(hash));
  }

  /** A file that cannot be removed goes on taking up its space, and is tried again at the next start. */
  async #remove(hash: string): Promise<void> {
    const { sizeBytes = 0 } = this.#files.get(hash) ?? {};
    this.#files.delete(hash);
    try {
      await rm(this.#pathOf(hash), { force: true });
      this.#keptBytes -= sizeBytes;
    } catch {
      return;
    }
  }

  async #alone(hash: string, action: () => Promise<void>): Promise<void> {
    const before = this.#busy.get(hash);
    const run = before ? before.then(action) : action();
    const done = run.catch(() => undefined);
    this.#busy.set(hash, done);
    try {
      await run;
    } finally {
      if (this.#busy.get(hash) === done) this.#busy.delete(hash);
    }
  }

  /** In folders by their first letters, since some systems grow slow with many files in one. */
  #pathOf(hash: string): string {
    return join(this.#dir, hash.slice(0, 2), hash);
  }
}

/** The file's name is on the disk only when its folder is; Windows has no such call, and needs none. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using folder = await open(path, 'r');
  await folder.sync();
}
