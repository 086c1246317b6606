// Brings SQLite's write-ahead log to the disk without stopping the event loop; callers at the same time share one sync.
import { closeSync, fdatasync, openSync } from 'node:fs';

/** Calls back once everything written to the file before is on the disk. */
export type SyncFile = (fd: number, done: (error: Error | null) => void) => void;

export interface WalSyncOptions {
  databasePath: string;
  /** Copies the log into the database and brings that to the disk, or throws. */
  checkpoint: () => void;
  syncFile?: SyncFile | undefined;
}

interface Waiter {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * SQLite's `synchronous=FULL` waits for the disk inside `commit`, on the event loop: 0.2-1.2 ms as a rule, 7-14 ms for one in a
 * hundred. `synchronous=NORMAL` writes the same log in the same order and only leaves out that wait; this class does it, in
 * Node's thread pool, before anyone is told that the work is stored (docs/adr/group-commit.md).
 *
 * The log's file carries none of SQLite's locks, so a second descriptor on it is safe; one on the database itself would not be
 * (closing it would drop this process's locks). It lives as long as the connection does.
 */
export class WalSync {
  readonly #options: WalSyncOptions;
  readonly #syncFile: SyncFile;
  #fd: number | undefined;
  #waiting: Waiter[] = [];
  #isRunning = false;
  #hasFailed = false;

  constructor(options: WalSyncOptions) {
    this.#options = options;
    this.#syncFile = options.syncFile ?? fdatasync;
  }

  /** Resolves once everything that was committed before this call is on the disk. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  /** To be called when no flush is under way. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** A sync under way may have begun before the latest commit, so it counts only for those who waited when it began. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const waiters = this.#waiting;
      this.#waiting = [];
      try {
        await this.#sync();
        for (const { resolve } of waiters) resolve();
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #sync(): Promise<void> {
    try {
      // After a failed sync the system may count pages as written that never were, and a second sync of the same file would
      // succeed for nothing. Only when their content has gone into the database file, and that was synced, is it safe.
      if (this.#hasFailed) this.#options.checkpoint();
      this.#hasFailed = false;
      this.#fd ??= openSync(`${this.#options.databasePath}-wal`, 'r+');
      const fd = this.#fd;
      await new Promise<void>((resolve, reject) => this.#syncFile(fd, (error) => (error ? reject(error) : resolve())));
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }
}
