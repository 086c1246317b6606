// Takes the secrets of an account from where nobody else on the machine sees them: a prompt, standard input or the environment.
import type { CommandContext } from './command-context.ts';

/** A problem with how a secret was given; the message is for the person at the command line. */
export class SecretInputError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SecretInputError';
  }
}

/**
 * Gives a secret: the variable's value, or what a person answers, or the first line of standard input.
 * @throws {SecretInputError} when there is none.
 */
export async function readSecret(
  { io, environment }: CommandContext,
  { variable, question }: { variable: string; question: string },
): Promise<string> {
  const fromEnvironment = environment[variable];
  if (fromEnvironment) return fromEnvironment;
  const given = io.isInteractive ? await io.askSecret(question) : firstLine(await io.readInput());
  if (given) return given;
  throw new SecretInputError(
    `${question}: expected an answer at the prompt, a line on standard input, or the variable ${variable}.`,
  );
}

/** A proxy's address may hold a password, which must not stand on the command line, where every user of the machine sees it. */
export function proxyOf({ environment }: CommandContext, option: string | undefined): string | undefined {
  const fromEnvironment = environment['ACCOUNT_PROXY'];
  if (fromEnvironment) return fromEnvironment;
  if (option !== undefined && URL.canParse(option) && new URL(option).password !== '')
    throw new SecretInputError(
      '--proxy: expected an address without a password; give one with a password in the variable ACCOUNT_PROXY.',
    );
  return option;
}

function firstLine(input: Buffer): string {
  return input.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
}
