// A body in a file without a name: it vanishes with its last handle, so that not even a crash leaves one behind.
import type { FileHandle } from 'node:fs/promises';
import { openNamelessFile, writeWhole } from '../../lib/nameless-file.ts';
import type { BodyRoom } from './body-room.ts';

export class SpoolFile {
  readonly #handle: FileHandle;
  readonly #disk: BodyRoom['disk'];
  #sizeBytes = 0;
  #takenBytes = 0;
  #busy: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  private constructor(handle: FileHandle, disk: BodyRoom['disk']) {
    this.#handle = handle;
    this.#disk = disk;
  }

  /** @throws {Error} when the file cannot be made. */
  static async open({ dir, disk }: BodyRoom): Promise<SpoolFile> {
    return new SpoolFile(await openNamelessFile(dir), disk);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds bytes at the end. @throws {Error} when there is no room on the disk; then nothing of them counts as written. */
  append(bytes: Buffer): Promise<void> {
    return this.#next(async () => {
      if (!this.#disk.tryTake(bytes.length)) throw new Error('the spool is full');
      this.#takenBytes += bytes.length;
      await writeWhole(this.#handle, bytes, this.#sizeBytes);
      this.#sizeBytes += bytes.length;
    });
  }

  /** Gives everything in it, in memory of its own. @throws {Error} when the disk does not give it back. */
  async read(): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(this.#sizeBytes);
    await this.readInto(bytes, 0);
    return bytes;
  }

  /** Fills `bytes` with what is in it from `position` on. @throws {Error} when the disk does not give it back. */
  readInto(bytes: Buffer, position: number): Promise<void> {
    return this.#next(async () => {
      for (let doneBytes = 0; doneBytes < bytes.length;) {
        const leftBytes = bytes.length - doneBytes;
        const { bytesRead } = await this.#handle.read(bytes, doneBytes, leftBytes, position + doneBytes);
        if (bytesRead === 0) throw new Error('the spool file ended before its time');
        doneBytes += bytesRead;
      }
    });
  }

  /** Gives the disk back. What runs ends first; nothing can be begun any more. */
  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#isClosed = true;
    return this.#busy.then(async () => {
      this.#disk.giveBack(this.#takenBytes);
      this.#takenBytes = 0;
      await this.#handle.close().catch(() => undefined);
    });
  }

  /** One at a time: a handle that is closed under a write would write into another file. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(new Error('the spool file is closed'));
    const done = this.#busy.then(work);
    this.#busy = done.catch(() => undefined);
    return done;
  }
}
