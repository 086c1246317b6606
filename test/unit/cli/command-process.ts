// One command in a process of its own, as a person starts it beside a running service. Arguments: data folder, then the command.
import { Command } from 'commander';
import { addAccountCommand } from '../../../src/cli/account.ts';
import { addClientCommand } from '../../../src/cli/client.ts';
import { readConfig } from '../../../src/config/load-config.ts';

const [, , dataDir = '', ...args] = process.argv;
const deps = {
  loadConfig: () => readConfig({ DATA_DIR: dataDir, SERVER_TOKENS: 'a:made-up-token', NOVEL_TOKEN: 'pst-made-up' }),
};
const program = new Command('novelai-proxy');
addClientCommand(program, deps);
addAccountCommand(program, deps);
await program.parseAsync(args, { from: 'user' });
