// Holds what NovelAI has sent and a slow client has not taken yet: in memory first, then in a file. So a slow reader never
// holds an account: the upstream exchange ends at NovelAI's pace, and the client reads on from here.
import type { FileHandle } from 'node:fs/promises';
import type { Budget } from '../lib/budget.ts';
import { openNamelessFile, writeWhole } from '../lib/nameless-file.ts';

export interface ReadAheadOptions {
  /** Memory for all read-aheads together. */
  memory: Budget;
  /** Disk for all read-aheads together. */
  disk: Budget;
  /** Folder of the spool files; made when first needed. */
  dir: string;
  /** Called when `push` had given false and there is room again. */
  onRoom: () => void;
}

/** So much may wait for the disk before NovelAI is asked to pause. */
const UNWRITTEN_LIMIT_BYTES = 512 * 1024;
const FILE_READ_BYTES = 64 * 1024;

/**
 * A first-in-first-out store of bytes with one writer and one reader. Order in it: `#memory`, then the file, then
 * `#unwritten`. Chunks go to memory only while nothing newer is on its way to the file, which keeps them in order.
 */
export class ReadAhead {
  readonly #options: ReadAheadOptions;
  readonly #memory: Buffer[] = [];
  readonly #unwritten: Buffer[] = [];
  #unwrittenBytes = 0;
  #file: FileHandle | undefined;
  #readAt = 0;
  #writeAt = 0;
  #diskTakenBytes = 0;
  #isWriting = false;
  /** The disk failed or is full: from then on back-pressure does the file's work. */
  #isFileBroken = false;
  #hasEnded = false;
  #isDiscarded = false;
  #isPausing = false;
  #wakeReader: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ReadAheadOptions) {
    this.#options = options;
  }

  /** True when everything pushed has been taken. */
  get isEmpty(): boolean {
    return this.#memory.length === 0 && !this.#isSpooling;
  }

  get #isSpooling(): boolean {
    return this.#unwritten.length > 0 || this.#isWriting || this.#readAt < this.#writeAt;
  }

  /** Adds bytes. Gives false when NovelAI should pause until `onRoom`. */
  push(chunk: Buffer): boolean {
    if (this.#isDiscarded) return true;
    if (!this.#isSpooling && this.#options.memory.tryTake(chunk.length)) {
      this.#memory.push(chunk);
      this.#wake();
      return true;
    }
    this.#unwritten.push(chunk);
    this.#unwrittenBytes += chunk.length;
    if (this.#isFileBroken) this.#wake();
    else if (!this.#isWriting) void this.#writeOut();
    // Once asked for, a pause lasts until `onRoom`, whatever still comes: nobody else would end it.
    if (this.#isFileBroken || this.#unwrittenBytes > UNWRITTEN_LIMIT_BYTES) this.#isPausing = true;
    return !this.#isPausing;
  }

  /** No more bytes will come. */
  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  /** Gives the next bytes, or undefined after the last. One caller at a time. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const chunk = this.#memory.shift();
      if (chunk) {
        this.#options.memory.giveBack(chunk.length);
        return chunk;
      }
      if (this.#readAt < this.#writeAt) return this.#readFile();
      if (!this.#isWriting && this.#unwritten.length > 0) return this.#takeUnwritten();
      if ((this.#hasEnded && !this.#isSpooling) || this.#isDiscarded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  /** Drops everything held and whatever still comes, and frees memory and file. */
  discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    for (const { length } of this.#memory) this.#options.memory.giveBack(length);
    this.#memory.length = 0;
    this.#unwritten.length = 0;
    this.#unwrittenBytes = 0;
    this.#readAt = this.#writeAt;
    if (!this.#isWriting) void this.#closeFile();
    this.#wake();
    this.#tellRoom();
  }

  async #writeOut(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#unwritten[0] && !this.#isFileBroken) {
        const chunk = this.#unwritten[0];
        await this.#writeChunk(chunk);
        if (this.#isDiscarded) break;
        this.#writeAt += chunk.length;
        this.#unwritten.shift();
        this.#unwrittenBytes -= chunk.length;
        this.#wake();
        if (this.#unwrittenBytes < UNWRITTEN_LIMIT_BYTES / 2) this.#tellRoom();
      }
    } catch {
      this.#isFileBroken = true;
    } finally {
      this.#isWriting = false;
      if (this.#isDiscarded) void this.#closeFile();
      this.#wake();
    }
  }

  /** Writes a chunk whole; when it throws, nothing of it counts as written. */
  async #writeChunk(chunk: Buffer): Promise<void> {
    if (!this.#options.disk.tryTake(chunk.length)) throw new Error('the spool is full');
    this.#diskTakenBytes += chunk.length;
    const file = (this.#file ??= await openNamelessFile(this.#options.dir));
    await writeWhole(file, chunk, this.#writeAt);
  }

  async #readFile(): Promise<Buffer | undefined> {
    const length = Math.min(FILE_READ_BYTES, this.#writeAt - this.#readAt);
    const { bytesRead, buffer } = (await this.#file?.read(Buffer.allocUnsafe(length), 0, length, this.#readAt)) ?? {};
    if (this.#isDiscarded) return undefined;
    if (!bytesRead || !buffer) throw new Error('the spool file ended before its time');
    this.#readAt += bytesRead;
    if (!this.#isSpooling) this.#startFileAnew();
    return buffer.subarray(0, bytesRead);
  }

  #takeUnwritten(): Buffer | undefined {
    const chunk = this.#unwritten.shift();
    this.#unwrittenBytes -= chunk?.length ?? 0;
    if (this.#unwritten.length === 0) {
      this.#isFileBroken = false;
      this.#startFileAnew();
      this.#tellRoom();
    }
    return chunk;
  }

  /** All caught up: the file starts again from its beginning, so that it never outgrows the gap between the two ends. */
  #startFileAnew(): void {
    this.#readAt = 0;
    this.#writeAt = 0;
    this.#giveDiskBack();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }

  #tellRoom(): void {
    if (!this.#isPausing) return;
    this.#isPausing = false;
    this.#options.onRoom();
  }

  #giveDiskBack(): void {
    this.#options.disk.giveBack(this.#diskTakenBytes);
    this.#diskTakenBytes = 0;
  }

  async #closeFile(): Promise<void> {
    this.#giveDiskBack();
    const file = this.#file;
    this.#file = undefined;
    if (file) this.#closing = file.close().catch(() => undefined);
    await this.#closing;
  }

  /** Frees the file once the reader has everything. */
  async close(): Promise<void> {
    this.discard();
    await this.#closeFile();
  }
}
