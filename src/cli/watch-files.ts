// Notices when files change, however they are changed.
import { unwatchFile, watchFile, type Stats } from 'node:fs';

export interface FileWatchOptions {
  /** How often the files are looked at. */
  pollMs?: number;
  /** How long they must have been left alone; longer than `pollMs`, so that half a file is never taken for all of it. */
  settleMs?: number;
}

/**
 * Looks at the files again and again, by name. That sees what a notification of the system does not: a file that an editor or a
 * deployment puts in the place of the old one, that a link leads to, that is on a network or mounted into a container alone, and
 * one that is not there yet. It never keeps the process alive.
 */
export class FileWatch {
  readonly #onChange: () => void;
  readonly #pollMs: number;
  readonly #settleMs: number;
  readonly #watched = new Set<string>();
  #settling: NodeJS.Timeout | undefined;

  /** `onChange` is called when something changed and has been left alone since. */
  constructor(onChange: () => void, { pollMs = 500, settleMs = 700 }: FileWatchOptions = {}) {
    this.#onChange = onChange;
    this.#pollMs = pollMs;
    this.#settleMs = settleMs;
  }

  /** Watches these files and no others from now on. */
  watch(files: readonly string[]): void {
    for (const file of this.#watched) if (!files.includes(file)) this.#unwatch(file);
    for (const file of files) {
      if (this.#watched.has(file)) continue;
      this.#watched.add(file);
      watchFile(file, { interval: this.#pollMs, persistent: false }, this.#onLook);
    }
  }

  close(): void {
    clearTimeout(this.#settling);
    for (const file of this.#watched) this.#unwatch(file);
  }

  #unwatch(file: string): void {
    this.#watched.delete(file);
    unwatchFile(file, this.#onLook);
  }

  readonly #onLook = (now: Stats, before: Stats): void => {
    // The first look at a file that is not there is reported as well.
    if (identityOf(now) === identityOf(before)) return;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(this.#onChange, this.#settleMs).unref();
  };
}

function identityOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, mtimeMs, ctimeMs].join();
}
