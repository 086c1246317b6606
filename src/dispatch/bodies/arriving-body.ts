// A body as it comes in, piece by piece: in memory, and past the memory there is for all of them, in a file.
import { type BodyRoom, SMALL_BODY_BYTES } from './body-room.ts';
import { freeBuffer } from './free-buffer.ts';
import { HeldBody } from './held-body.ts';
import { SpoolFile } from './spool-file.ts';

/**
 * It takes no more memory than twice what has come. A small body is kept in its pieces and put together once. A larger one is
 * copied into memory that grows, and its pieces are freed as they come: kept, they would tear holes into the heap of the C
 * library, which is then never given back.
 */
export class ArrivingBody {
  readonly #room: BodyRoom;
  readonly #expectedBytes: number;
  #pieces: Buffer[] = [];
  #memory: Buffer | undefined;
  #sizeBytes = 0;
  /** Of `room.memory`. */
  #takenBytes = 0;
  #file: SpoolFile | undefined;
  #isFileBroken = false;
  #isDiscarded = false;
  #writing: Promise<void> | undefined;

  /** `expectedBytes` is the announced size, or Infinity. */
  constructor(room: BodyRoom, expectedBytes = Infinity) {
    this.#room = room;
    this.#expectedBytes = expectedBytes;
  }

  /** Takes a piece over: nobody else may keep it. Gives a promise when the next one should wait for it; it never rejects. */
  add(piece: Buffer): Promise<void> | undefined {
    const before = this.#sizeBytes;
    this.#sizeBytes += piece.length;
    if (this.#file || this.#writing) return this.#toFile(piece);
    const isSmall =
      this.#sizeBytes <= SMALL_BODY_BYTES &&
      !(this.#expectedBytes > SMALL_BODY_BYTES && this.#expectedBytes < Infinity);
    if (isSmall) {
      this.#pieces.push(piece);
      return undefined;
    }
    if (!this.#grow(before)) return this.#toFile(piece);
    this.#put(piece, before);
    return undefined;
  }

  /** Everything has come. */
  async end(): Promise<HeldBody> {
    await this.#writing;
    const spareBytes = Math.max(this.#takenBytes - this.#sizeBytes, 0);
    this.#room.memory.giveBack(spareBytes);
    const options = { room: this.#room, memoryBytes: this.#takenBytes - spareBytes };
    if (this.#file) return HeldBody.inFile(this.#file, options);
    if (this.#memory) return HeldBody.of(trimmed(this.#memory, this.#sizeBytes), options);
    const [only] = this.#pieces;
    const bytes = only && this.#pieces.length === 1 ? only : Buffer.concat(this.#pieces, this.#sizeBytes);
    return HeldBody.of(bytes, options);
  }

  /** No more is wanted of it. */
  async discard(): Promise<void> {
    this.#isDiscarded = true;
    await this.#writing;
    this.#freeMemory();
    await this.#file?.close();
  }

  /** Makes room in memory for all that has come, `filledBytes` of which are there already. Gives false when there is none. */
  #grow(filledBytes: number): boolean {
    const hasBytes = this.#memory?.length ?? 0;
    if (this.#sizeBytes <= hasBytes) return true;
    const wishedBytes = Math.max(2 * this.#sizeBytes, SMALL_BODY_BYTES);
    const needBytes = Math.max(Math.min(wishedBytes, this.#expectedBytes), this.#sizeBytes);
    if (!this.#isFileBroken && !this.#take(needBytes - this.#takenBytes)) return false;
    const memory = Buffer.allocUnsafeSlow(needBytes);
    let at = 0;
    for (const piece of this.#memory ? [this.#memory] : this.#pieces) {
      at += piece.copy(memory, at, 0, filledBytes - at);
      freeBuffer(piece);
    }
    this.#pieces = [];
    this.#memory = memory;
    return true;
  }

  #take(bytes: number): boolean {
    const { memory } = this.#room;
    // One that comes alone may be of any size.
    if (!memory.tryTake(bytes, { isForced: memory.used === this.#takenBytes })) return false;
    this.#takenBytes += bytes;
    return true;
  }

  #put(piece: Buffer, at: number): void {
    if (this.#memory) piece.copy(this.#memory, at);
    freeBuffer(piece);
  }

  #toFile(piece: Buffer): Promise<void> {
    const before = this.#sizeBytes - piece.length;
    this.#writing = (this.#writing ?? Promise.resolve()).then(() => this.#write(piece, before));
    return this.#writing;
  }

  async #write(piece: Buffer, before: number): Promise<void> {
    if (this.#isDiscarded) return;
    if (this.#isFileBroken) {
      this.#grow(before);
      this.#put(piece, before);
      return;
    }
    try {
      this.#file ??= await this.#openWithWhatCame(before);
      await this.#file.append(piece);
      freeBuffer(piece);
    } catch {
      await this.#backToMemory(piece, before);
    }
  }

  async #openWithWhatCame(before: number): Promise<SpoolFile> {
    const file = await SpoolFile.open(this.#room);
    try {
      let leftBytes = before;
      for (const piece of this.#memory ? [this.#memory] : this.#pieces) {
        const part = piece.subarray(0, leftBytes);
        await file.append(part);
        leftBytes -= part.length;
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#freeMemory();
    return file;
  }

  /** The disk fails: the body comes back, and the rest of it stays here. */
  async #backToMemory(piece: Buffer, before: number): Promise<void> {
    this.#isFileBroken = true;
    const file = this.#file;
    this.#file = undefined;
    if (file) {
      this.#pieces = [await file.read()];
      await file.close();
    }
    this.#grow(before);
    this.#put(piece, before);
  }

  #freeMemory(): void {
    if (this.#memory) freeBuffer(this.#memory);
    for (const piece of this.#pieces) freeBuffer(piece);
    this.#memory = undefined;
    this.#pieces = [];
    this.#room.memory.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
  }
}

/** Without the memory behind it that is not needed; a part of a larger one could not be freed. */
function trimmed(memory: Buffer, sizeBytes: number): Buffer {
  if (memory.length === sizeBytes) return memory;
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  memory.copy(bytes);
  freeBuffer(memory);
  return bytes;
}
