// How a command ends when it cannot do what was asked: clear lines on standard error, and an exit code that says whose fault it is.
import { ConfigError } from '../config/load-config.ts';

/** 2: the configuration or the command line is wrong. 1: everything else. */
export type FailureExitCode = 1 | 2;

/** Gives the lines a person reads for an error, without a stack, and the exit code. */
export function explainFailure(error: unknown): { lines: string[]; exitCode: FailureExitCode } {
  if (error instanceof ConfigError) {
    const lines = error.faults.map(({ variable, problem }) => `  ${variable}: ${problem}`);
    return {
      lines: ['The configuration cannot be used:', ...lines, 'See .env.example for every variable.'],
      exitCode: 2,
    };
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE' && error instanceof Error && 'port' in error)
    return {
      lines: [`Port ${String(error.port)} is taken by another program; stop that one, or set PORT to another number.`],
      exitCode: 1,
    };
  if ((code === 'EACCES' || code === 'EPERM' || code === 'EROFS') && error instanceof Error && 'path' in error)
    return {
      lines: [`${String(error.path)} cannot be written; mend its rights, or choose another folder.`],
      exitCode: 1,
    };
  return { lines: [error instanceof Error ? error.message : String(error)], exitCode: 1 };
}

/** Prints why a command failed and ends the process. */
export function exitWith(error: unknown): never {
  const { lines, exitCode } = explainFailure(error);
  console.error(lines.join('\n'));
  process.exit(exitCode);
}
