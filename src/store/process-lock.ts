// Keeps a second process off the same SQLite file: a lock that the system itself takes back when its holder dies, however it dies.
import { DatabaseSync } from 'node:sqlite';
import { faultOf, StoreOpenError } from './store-error.ts';

/**
 * Takes the lock that belongs to a database file and gives a function that lets go of it. It is SQLite's exclusive lock on an
 * empty file beside the database, so it works wherever SQLite does, and SIGKILL leaves nothing behind to clean up.
 * @throws {StoreOpenError} at once when another process, or this one, holds it.
 */
export function lockForThisProcess(databasePath: string): () => void {
  const lockPath = `${databasePath}.lock`;
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(lockPath, { timeout: 0 });
    lock.exec('begin exclusive');
  } catch (cause) {
    if (lock?.isOpen) lock.close();
    if (faultOf(cause) === 'busy')
      throw new StoreOpenError(
        `The database ${databasePath} is in use by another running service; stop that one first, or set DATABASE_URL to another file.`,
        cause,
      );
    throw new StoreOpenError(`The file ${lockPath} cannot be written; mend the rights of its folder.`, cause);
  }
  const held = lock;
  return () => {
    if (held.isOpen) held.close();
  };
}
