// Where requests' bodies are while they arrive and wait: so much memory and disk for all of them together.
import { Budget } from '../../lib/budget.ts';
import { Gate } from '../../lib/gate.ts';

export interface BodyRoom {
  /** Folder of the files; made when first needed. */
  dir: string;
  /** Disk for all bodies together. */
  disk: Budget;
  /** Memory for all large bodies together, until their requests end; past it they go to files as they come. */
  memory: Budget;
  /** Memory for a look into bodies that are in files. */
  looking: Gate;
}

/** A body up to here stays in memory: a file would cost more than it spares. */
export const SMALL_BODY_BYTES = 256 * 1024;

const MEMORY_BYTES = 4 * 1024 ** 2;
const LOOKING_BYTES = 2 * 1024 ** 2;
/** A full queue of ordinary pictures. */
const DISK_BYTES = 16 * 1024 ** 3;

export function newBodyRoom(dir: string): BodyRoom {
  return {
    dir,
    disk: new Budget(DISK_BYTES),
    memory: new Budget(MEMORY_BYTES),
    looking: new Gate(LOOKING_BYTES),
  };
}
