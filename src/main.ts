// The process: reads the command line and runs one command.
import { Command } from 'commander';
import { addAccountCommand } from './cli/account.ts';
import { addBackupCommand } from './cli/backup.ts';
import { addClientCommand } from './cli/client.ts';
import type { CommandDeps } from './cli/command-context.ts';
import { addDoctorCommand } from './cli/doctor.ts';
import { addLedgerCommand } from './cli/ledger.ts';
import { addPriceCommand } from './cli/price.ts';
import { loadConfig, readEnvironment } from './config/load-config.ts';
import { addDemoCommand } from './cli/demo.ts';
import { addServeCommand } from './cli/serve.ts';
import { addSimulateCommand } from './cli/simulate.ts';
import { createService } from './compose.ts';
import { VERSION } from './lib/version.ts';

const program = new Command('novelai-proxy')
  .description('One address and a token per program for your own NovelAI subscriptions.')
  .version(VERSION);
addServeCommand(program, createService);
addDemoCommand(program, createService);
addSimulateCommand(program);
const deps: CommandDeps = { loadConfig, environment: readEnvironment() };
addClientCommand(program, deps);
addAccountCommand(program, deps);
addLedgerCommand(program, deps);
addPriceCommand(program);
addBackupCommand(program, deps);
addDoctorCommand(program, deps);
await program.parseAsync();
