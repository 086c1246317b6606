// What can go wrong with the database, in the few kinds that callers tell apart; reads both engines' own errors.

/** Why the database could not do what it was asked. */
export type StoreFault = 'busy' | 'read_only' | 'disk_full' | 'corrupt' | 'io' | 'connection' | 'closed';

const SENTENCES: Readonly<Record<StoreFault, string>> = {
  busy: 'The database is held by another process',
  read_only: 'The database is read-only',
  disk_full: 'The disk of the database is full',
  corrupt: 'The database file is damaged or is no database',
  io: 'The database could not be read or written',
  connection: 'The database server could not be reached',
  closed: 'The database is closed',
};

/**
 * The database cannot do its work now; the same call may succeed later, and nothing was half done. Never the caller's fault.
 * With `isInDoubt` the outcome of the last step is not known: the work may be stored or not, as a whole.
 */
export class StoreUnavailableError extends Error {
  readonly fault: StoreFault;
  readonly isInDoubt: boolean;

  constructor(fault: StoreFault, { cause, isInDoubt = false }: { cause?: unknown; isInDoubt?: boolean } = {}) {
    const detail = cause instanceof Error ? `: ${cause.message}` : '';
    super(`${SENTENCES[fault]}${detail}.`, cause === undefined ? undefined : { cause });
    this.name = 'StoreUnavailableError';
    this.fault = fault;
    this.isInDoubt = isInDoubt;
  }
}

/** The database cannot be opened at all; the message is one sentence for the person who starts the service. */
export class StoreOpenError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StoreOpenError';
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html); the upper bytes only refine them. */
const SQLITE_FAULTS: ReadonlyMap<number, StoreFault> = new Map([
  [5, 'busy'],
  [6, 'busy'],
  [7, 'io'],
  [8, 'read_only'],
  [10, 'io'],
  [11, 'corrupt'],
  [13, 'disk_full'],
  [14, 'io'],
  [15, 'busy'],
  [26, 'corrupt'],
]);

/** PostgreSQL's SQLSTATE codes and classes (its manual, appendix A). */
const POSTGRES_FAULTS: ReadonlyMap<string, StoreFault> = new Map([
  ['25006', 'read_only'],
  ['53100', 'disk_full'],
  ['53', 'connection'],
  ['57P', 'connection'],
  ['57014', 'busy'],
  ['55P03', 'busy'],
  ['40', 'busy'],
  ['08', 'connection'],
  ['58', 'io'],
  ['XX001', 'corrupt'],
  ['XX002', 'corrupt'],
]);

const SOCKET_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE']);
const FILE_FAULTS: ReadonlyMap<string, StoreFault> = new Map([
  ['ENOSPC', 'disk_full'],
  ['EDQUOT', 'disk_full'],
  ['EROFS', 'read_only'],
  ['EIO', 'io'],
  ['ENOENT', 'io'],
]);

/** Gives what kind of unavailability an engine's error is, or undefined when it is a fault of the statement itself. */
export function faultOf(error: unknown): StoreFault | undefined {
  if (error instanceof StoreUnavailableError) return error.fault;
  if (!(error instanceof Error)) return undefined;
  const { code, errcode, syscall } = error as { code?: unknown; errcode?: unknown; syscall?: unknown };
  if (code === 'ERR_SQLITE_ERROR') return typeof errcode === 'number' ? SQLITE_FAULTS.get(errcode & 0xff) : undefined;
  if (typeof code === 'string') {
    if (syscall === 'connect' || SOCKET_CODES.has(code)) return 'connection';
    const fileFault = FILE_FAULTS.get(code);
    if (fileFault) return fileFault;
    if (/^[0-9A-Z]{5}$/.test(code))
      return (
        POSTGRES_FAULTS.get(code) ?? POSTGRES_FAULTS.get(code.slice(0, 3)) ?? POSTGRES_FAULTS.get(code.slice(0, 2))
      );
  }
  // pg reports a connection that ended under a query only by its message.
  return /connection (?:terminated|timeout|ended|has been discarded)|not queryable|timeout exceeded when trying to connect/i.test(
    error.message,
  )
    ? 'connection'
    : undefined;
}

/** Gives the error to throw in place of an engine's own: the same one when the statement itself was at fault. */
export function asStoreError(error: unknown, { isInDoubt = false }: { isInDoubt?: boolean } = {}): unknown {
  if (error instanceof StoreUnavailableError) return error;
  const fault = faultOf(error);
  return fault === undefined ? error : new StoreUnavailableError(fault, { cause: error, isInDoubt });
}
