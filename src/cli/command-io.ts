// Where a command's words go and its secrets come from; tests put another in its place.
import { isCancel, password } from '@clack/prompts';
import { exitWith } from './fail.ts';

export interface CommandIo {
  /** One or more lines of the command's result, to standard output. */
  print(text: string): void;
  /** Remarks that are not the result, to standard error. */
  note(text: string): void;
  /** Whether a person can be asked. */
  readonly isInteractive: boolean;
  /** Asks a person for a secret, without showing it; undefined when the person gave up. */
  askSecret(question: string): Promise<string | undefined>;
  /** Everything that comes on standard input. */
  readInput(): Promise<Buffer>;
  /** Ends the process with an error and the lines that explain it. */
  fail(error: unknown): void;
  /** Ends the process with this code when everything is done. */
  setExitCode(code: number): void;
}

export const terminalIo: CommandIo = {
  print: (text) => console.log(text),
  note: (text) => console.error(text),
  get isInteractive() {
    return process.stdin.isTTY && process.stdout.isTTY;
  },
  async askSecret(question) {
    const answer = await password({ message: question });
    return isCancel(answer) ? undefined : answer;
  },
  async readInput() {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  },
  fail: exitWith,
  setExitCode(code) {
    process.exitCode = code;
  },
};
