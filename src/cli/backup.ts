// `novelai-proxy backup FILE`: a whole copy of the database, while the service runs.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { action, withStore, type CommandContext, type CommandDeps } from './command-context.ts';

export function addBackupCommand(program: Command, deps: CommandDeps): void {
  program
    .command('backup')
    .argument('<file>', 'where the copy goes; an older copy of that name is replaced once the new one is whole')
    .description('Copy the database (SQLite) while the service runs')
    .action(action(deps, backUp));
}

async function backUp(context: CommandContext, file: string): Promise<void> {
  const { config, io } = context;
  await withStore(context, (store) => store.backup(file));
  io.print(`The database was copied to ${resolve(file)}.`);
  const keyFile = join(config.dataDir, 'secret.key');
  if (config.secretKey !== undefined)
    io.note('Its credentials open only with SECRET_KEY: keep that too, in another place than the copy.');
  else if (existsSync(keyFile))
    io.note(`Its credentials open only with the key in ${keyFile}: keep that too, in another place than the copy.`);
}
