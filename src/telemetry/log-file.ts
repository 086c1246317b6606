// app.log and its rotated predecessors: a disk that fails, fills up or loses its folder costs lines, which are counted, and never
// a request; when it is well again, so is the file.
import { mkdirSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';

export interface LogFileOptions {
  dir: string;
  maxSizeBytes: number;
  maxFiles: number;
}

const NAME = 'app.log';
/** Least time between two tries to open the file again, and between two looks whether it is still where it should be. */
const PAUSE_MS = 1000;
/** More than this waiting for the disk is given up: memory is not the place for it. */
const LONGEST_BACKLOG_BYTES = 16 * 1024 ** 2;

/** A stream for pino. */
export class LogFile {
  readonly #options: LogFileOptions;
  readonly #path: string;
  #stream: RotatingFileStream | undefined;
  /** Of the file that is open; undefined while it is being rotated. */
  #inode: number | undefined;
  #nextTryMs = 0;
  #nextLookMs = 0;
  #isLooking = false;
  #isClosed = false;
  #droppedLines = 0;
  /** Lines written since the file was last seen in its place. */
  #unseenLines = 0;
  readonly #endings = new Set<Promise<void>>();

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#path = join(options.dir, NAME);
    this.#open();
  }

  /** Lines that are not known to have reached the file. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** Never throws and never waits. */
  write(line: string): void {
    const nowMs = performance.now();
    if (!this.#stream && !this.#isClosed && nowMs >= this.#nextTryMs) this.#open();
    if (!this.#stream || this.#stream.writableLength > LONGEST_BACKLOG_BYTES) {
      this.#droppedLines += 1;
      return;
    }
    const stream = this.#stream;
    this.#unseenLines += 1;
    stream.write(line, (error) => {
      if (error) this.#onLost(stream);
    });
    if (nowMs >= this.#nextLookMs && !this.#isLooking) {
      this.#nextLookMs = nowMs + PAUSE_MS;
      void this.#look(stream, this.#unseenLines);
    }
  }

  /** Resolves when everything is in the file, or lost. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#stream) this.#end(this.#stream);
    await Promise.all(this.#endings);
  }

  #open(): void {
    const { dir, maxSizeBytes, maxFiles } = this.#options;
    this.#nextTryMs = performance.now() + PAUSE_MS;
    try {
      // The library would make the folder as well, but not tell at once where that fails.
      mkdirSync(dir, { recursive: true });
    } catch {
      return;
    }
    const stream = createStream((index) => (index ? `${NAME}.${Number(index)}` : NAME), {
      path: dir,
      size: `${maxSizeBytes}B`,
      rotate: maxFiles,
    });
    this.#stream = stream;
    this.#unseenLines = 0;
    stream.on('open', () => this.#onOpen(stream));
    stream.on('rotation', () => (this.#inode = undefined));
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Found out by a rotation: what was written before is gone with the folder.
      if (error.code === 'ENOENT' && this.#stream === stream) this.#droppedLines += this.#unseenLines;
      this.#leave(stream);
    });
  }

  #onLost(stream: RotatingFileStream): void {
    this.#droppedLines += 1;
    if (this.#stream === stream) this.#unseenLines -= 1;
  }

  #onOpen(stream: RotatingFileStream): void {
    if (this.#stream !== stream) return;
    this.#inode = statSync(this.#path, { throwIfNoEntry: false })?.ino;
  }

  /** A folder that was removed takes what is written to its files without a word: nothing fails, and nothing is kept. */
  async #look(stream: RotatingFileStream, lines: number): Promise<void> {
    this.#isLooking = true;
    const inode = this.#inode;
    const found = await stat(this.#path).catch(() => undefined);
    this.#isLooking = false;
    // A rotation has moved it meanwhile.
    if (this.#stream !== stream || inode === undefined || this.#inode !== inode) return;
    if (found?.ino === inode) {
      this.#unseenLines -= Math.min(lines, this.#unseenLines);
      return;
    }
    this.#droppedLines += this.#unseenLines;
    this.#end(stream);
  }

  /** Lets what was handed over be written, and its file be closed: cut off, the library would keep the file open for ever. */
  #end(stream: RotatingFileStream): void {
    const ending = new Promise<void>((resolve) => {
      stream.once('close', resolve);
      stream.end();
    }).finally(() => this.#endings.delete(ending));
    this.#endings.add(ending);
    this.#leave(stream);
  }

  #leave(stream: RotatingFileStream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#inode = undefined;
  }
}
