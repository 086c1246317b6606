// The service's log: structured lines to the console (readable on a terminal, JSON elsewhere) and to a rotated file.
import { accessSync, constants, mkdirSync } from 'node:fs';
import { multistream, pino, stdTimeFunctions, type Logger, type StreamEntry } from 'pino';
import { hideSecrets } from './hide-secrets.ts';
import { LogFile } from './log-file.ts';

export type Log = Logger;

export interface LogOptions {
  level: string;
  /** Folder of `app.log` and its rotated predecessors; undefined writes no file. */
  dir?: string | undefined;
  maxSizeBytes: number;
  /** Rotated files (`app.log.1` is the youngest) kept beside `app.log`. */
  maxFiles: number;
  /** Whether a person watches: readable lines instead of JSON. */
  isTerminal: boolean;
  /** False keeps the console silent (tests, the demo's progress display). */
  hasConsole?: boolean;
}

export interface LogHandle {
  log: Log;
  /** Lines that the file has lost so far. */
  droppedLines(): number;
  /** Flushes what is still in memory and closes the file. */
  close(): Promise<void>;
}

/**
 * Opens the log.
 * @throws {Error} with one sentence when the folder cannot be made or written.
 */
export async function openLog({
  level,
  dir,
  maxSizeBytes,
  maxFiles,
  isTerminal,
  hasConsole = true,
}: LogOptions): Promise<LogHandle> {
  const streams: StreamEntry[] = [];
  if (hasConsole) streams.push({ level: 'trace', stream: isTerminal ? await prettyStream() : process.stdout });
  const file = dir === undefined ? undefined : openFile(dir, maxSizeBytes, maxFiles);
  if (file) streams.push({ level: 'trace', stream: file });

  const log = pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, hooks: { streamWrite: hideSecrets } },
    multistream(streams),
  );
  return {
    log,
    droppedLines: () => file?.droppedLines ?? 0,
    close: () => file?.close() ?? Promise.resolve(),
  };
}

/** Loaded only where a person watches: elsewhere it would only cost start-up time and memory. */
async function prettyStream() {
  const { default: pretty } = await import('pino-pretty');
  return pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'time', singleLine: true });
}

function openFile(dir: string, maxSizeBytes: number, maxFiles: number): LogFile {
  try {
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK);
  } catch (cause) {
    throw new Error(`The log folder ${dir} cannot be written; mend its rights or set LOG_DIR to another folder.`, {
      cause,
    });
  }
  return new LogFile({ dir, maxSizeBytes, maxFiles });
}
