// The service's log: structured lines to the console (readable on a terminal, JSON elsewhere) and to a rotated file.
import { accessSync, constants, mkdirSync } from 'node:fs';
import { multistream, pino, stdTimeFunctions, type Logger, type StreamEntry } from 'pino';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { hideSecrets } from './hide-secrets.ts';

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
    close: () => new Promise((resolve) => (file ? file.end(() => resolve()) : resolve())),
  };
}

/** Loaded only where a person watches: elsewhere it would only cost start-up time and memory. */
async function prettyStream() {
  const { default: pretty } = await import('pino-pretty');
  return pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'time', singleLine: true });
}

function openFile(dir: string, maxSizeBytes: number, maxFiles: number): RotatingFileStream {
  try {
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK);
  } catch (cause) {
    throw new Error(`The log folder ${dir} cannot be written; mend its rights or set LOG_DIR to another folder.`, {
      cause,
    });
  }
  const file = createStream((index) => (index ? `app.log.${Number(index)}` : 'app.log'), {
    path: dir,
    size: `${maxSizeBytes}B`,
    rotate: maxFiles,
  });
  // A full disk must never stop a generation: what cannot be written is lost, and the console still has it.
  file.on('error', () => undefined);
  return file;
}
