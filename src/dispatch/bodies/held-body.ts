// A request's body, exactly as it is to be sent: in memory, or in a file once the request has waited.
import type { BodyPieces } from '../../upstream/exchange.ts';
import { type BodyRoom, SMALL_BODY_BYTES } from './body-room.ts';
import { freeBuffer } from './free-buffer.ts';
import { SpoolFile } from './spool-file.ts';
import { SpoolPieces } from './spool-pieces.ts';

export interface HeldBodyOptions {
  room: BodyRoom;
  /** What of `room.memory` is taken for it, as long as it is in memory. */
  memoryBytes?: number;
}

/**
 * At any time it is in memory, in the file, or in both. `rest` makes it leave memory, as soon as the file has it, and it is sent from
 * there. Where the disk fails it stays in memory.
 */
export class HeldBody {
  readonly sizeBytes: number;
  readonly #room: BodyRoom;
  #bytes: Buffer | undefined;
  #file: SpoolFile | undefined;
  #memoryBytes: number;
  /** Whether it is in memory for somebody who does not wait. */
  #isInUse = true;
  /** Whether the bytes have been given out to be sent: the system may still read them, and only V8 knows when that ends. */
  #isSent = false;
  #lookers = 0;
  #isWriting = false;
  #isReleased = false;

  private constructor(sizeBytes: number, { room, memoryBytes = 0 }: HeldBodyOptions) {
    this.sizeBytes = sizeBytes;
    this.#room = room;
    this.#memoryBytes = memoryBytes;
  }

  /** Takes bytes over: nobody else may keep them. */
  static of(bytes: Buffer, options: HeldBodyOptions): HeldBody {
    const body = new HeldBody(bytes.length, options);
    body.#bytes = bytes;
    return body;
  }

  static inFile(file: SpoolFile, options: HeldBodyOptions): HeldBody {
    const body = new HeldBody(file.sizeBytes, options);
    body.#file = file;
    body.#isInUse = false;
    return body;
  }

  get isInMemory(): boolean {
    return this.#bytes !== undefined;
  }

  /**
   * Gives what is to be sent, the very bytes where they are in memory, and keeps it as it is until `putBack`, `rest` or `release`.
   * @throws {Error} when the request has ended.
   */
  forSending(): Buffer | BodyPieces {
    if (!this.#bytes) return new SpoolPieces(this.#openFile());
    this.#isInUse = true;
    this.#isSent = true;
    return this.#bytes;
  }

  /** It was sent: it leaves memory if a file has it. */
  putBack(): void {
    this.#isInUse = false;
    if (this.#file) this.#drop();
  }

  /**
   * Lets `look` read the bytes, which it must not keep. Looks into files take turns, so that many at once need little memory.
   * @throws {Error} what `look` throws, and when the disk fails.
   */
  async look<T>(look: (bytes: Buffer) => T | Promise<T>): Promise<T> {
    if (this.#bytes) {
      this.#lookers += 1;
      try {
        return await look(this.#bytes);
      } finally {
        this.#lookers -= 1;
      }
    }
    return this.#room.looking.within(this.sizeBytes, async () => {
      const bytes = await this.#openFile().read();
      try {
        return await look(bytes);
      } finally {
        freeBuffer(bytes);
      }
    });
  }

  /** The request begins to wait, or waits again: a large body leaves memory. */
  rest(): void {
    if (this.#isReleased || this.sizeBytes <= SMALL_BODY_BYTES) return;
    this.#isInUse = false;
    if (this.#file) this.#drop();
    else if (!this.#isWriting) void this.#write();
  }

  /** The request has ended. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#isInUse = false;
    if (this.#isWriting) return;
    this.#drop();
    await this.#file?.close();
  }

  #openFile(): SpoolFile {
    if (!this.#file || this.#isReleased) throw new Error('the body is gone: its request has ended');
    return this.#file;
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    let file: SpoolFile | undefined;
    try {
      file = await SpoolFile.open(this.#room);
      if (this.#bytes && !this.#isReleased) await file.append(this.#bytes);
      this.#file = file;
    } catch {
      // It waits in memory, then.
      await file?.close();
    }
    this.#isWriting = false;
    if (this.#isReleased) {
      this.#drop();
      await this.#file?.close();
    } else if (this.#file && !this.#isInUse) this.#drop();
  }

  #drop(): void {
    if (this.#bytes && !this.#isSent && this.#lookers === 0) freeBuffer(this.#bytes);
    this.#bytes = undefined;
    this.#isSent = false;
    this.#giveMemoryBack();
  }

  #giveMemoryBack(): void {
    this.#room.memory.giveBack(this.#memoryBytes);
    this.#memoryBytes = 0;
  }
}
