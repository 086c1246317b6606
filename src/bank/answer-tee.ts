// Takes a copy of an answer while it passes: in memory at first, in a file when there is not enough, never slowing it down.
import { createHash, subtle, type Hash } from 'node:crypto';
import type { Budget } from '../lib/budget.ts';
import { writeWhole } from '../lib/nameless-file.ts';
import type { AnswerFiles, PartialFile } from './answer-files.ts';

export interface AnswerTeeOptions {
  files: AnswerFiles;
  /** Memory for all tees together; past it they go to files. */
  memory: Budget;
  /** A longer answer is not kept. */
  limitBytes: number;
}

/** What became of the copy. */
export type Kept = { isKept: true; contentHash: string; sizeBytes: number } | { isKept: false; why: string };

/** So much may wait for the disk beyond what memory allows; then the disk is too slow, and the copy is given up. */
const OVERDRAFT_BYTES = 4 * 1024 * 1024;

/**
 * Holds the chunks themselves, not copies of them, so they must not be changed or used again by whoever passes them. An answer
 * that turns out not to be worth keeping, as nearly all do, never touches the disk.
 */
export class AnswerTee {
  readonly #options: AnswerTeeOptions;
  /** Of a spilled answer; made when needed, as most answers never need one. */
  #hash: Hash | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #memoryTaken = 0;
  #sizeBytes = 0;
  #file: PartialFile | undefined;
  #writing: Promise<void> | undefined;
  #isSpilling = false;
  #givenUp: string | undefined;

  constructor(options: AnswerTeeOptions) {
    this.#options = options;
  }

  write(chunk: Buffer): void {
    if (this.#givenUp !== undefined) return;
    const { memory, limitBytes } = this.#options;
    this.#sizeBytes += chunk.length;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (memory.tryTake(chunk.length)) this.#memoryTaken += chunk.length;
    else this.#isSpilling = true;
    if (this.#sizeBytes > limitBytes) this.#giveUp('the answer is longer than the bank keeps');
    else if (this.#pendingBytes - this.#memoryTaken > OVERDRAFT_BYTES) this.#giveUp('the disk is too slow');
    else if (this.#isSpilling) this.#writing ??= this.#writeOut();
  }

  /** Brings everything to its file; to be called once, after the last `write`, instead of `discard`. Never throws. */
  async keep(): Promise<Kept> {
    const { files } = this.#options;
    try {
      // From memory at once, the hash is made in the thread pool; a spilled one has it already.
      const whole = this.#isSpilling ? undefined : Buffer.concat(this.#pending);
      const digest = whole && Buffer.from(await subtle.digest('SHA-256', whole)).toString('hex');
      await (this.#writing ?? this.#writeOut());
      if (this.#givenUp === undefined) {
        const contentHash = digest ?? (this.#hash ?? createHash('sha256')).digest('hex');
        const file = this.#file ?? (await files.create());
        this.#file = undefined;
        await keepOrDiscard(files, file, contentHash);
        return { isKept: true, contentHash, sizeBytes: this.#sizeBytes };
      }
    } catch (error) {
      this.#giveUp(reasonOf(error));
    }
    await this.#dropFile();
    return { isKept: false, why: this.#givenUp ?? 'it could not be written' };
  }

  /** Drops everything. */
  async discard(): Promise<void> {
    this.#giveUp('not wanted');
    await this.#writing;
    await this.#dropFile();
  }

  async #writeOut(): Promise<void> {
    const isHashed = this.#isSpilling;
    try {
      while (this.#pending.length > 0 && this.#givenUp === undefined) {
        const batch = this.#pending;
        const batchBytes = this.#pendingBytes;
        this.#pending = [];
        this.#file ??= await this.#options.files.create();
        if (!(await this.#options.files.obtain(this.#file, batchBytes))) {
          this.#giveUp('the bank is full of what is newer or in use');
          return;
        }
        for (const chunk of batch) await writeWhole(this.#file.handle, chunk);
        if (isHashed)
          this.#hash = batch.reduce((hash, chunk) => hash.update(chunk), this.#hash ?? createHash('sha256'));
        this.#pendingBytes -= batchBytes;
        this.#giveMemoryBack(batchBytes);
      }
    } catch (error) {
      this.#giveUp(reasonOf(error));
    } finally {
      this.#writing = undefined;
    }
  }

  #giveUp(why: string): void {
    this.#givenUp ??= why;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#giveMemoryBack(this.#memoryTaken);
  }

  #giveMemoryBack(sizeBytes: number): void {
    const givenBack = Math.min(sizeBytes, this.#memoryTaken);
    this.#memoryTaken -= givenBack;
    this.#options.memory.giveBack(givenBack);
  }

  async #dropFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file) await this.#options.files.discard(file);
  }
}

async function keepOrDiscard(files: AnswerFiles, file: PartialFile, contentHash: string): Promise<void> {
  try {
    await files.keep(file, contentHash);
  } catch (error) {
    await files.discard(file);
    throw error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error
    ? `its file could not be written (${String(error.code)})`
    : 'it failed';
}
