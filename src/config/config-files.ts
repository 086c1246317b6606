// The files that the configuration is made of.
import { resolve } from 'node:path';

/** `.env` of the working folder. */
export function envFile(): string {
  return resolve('.env');
}

/** Gives the file that NOVELAI_ACCOUNTS names, or undefined when it holds the accounts itself or nothing at all. */
export function accountsFile(accounts: string | undefined): string | undefined {
  const text = accounts?.trim() ?? '';
  return text === '' || text.startsWith('[') ? undefined : resolve(text);
}

/** Gives every file whose change may change the configuration, whether or not it is there. */
export function configFiles({ NOVELAI_ACCOUNTS }: Readonly<Record<string, string | undefined>>): string[] {
  const accounts = accountsFile(NOVELAI_ACCOUNTS);
  return accounts === undefined ? [envFile()] : [envFile(), accounts];
}
