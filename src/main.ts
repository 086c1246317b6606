// The process: reads the command line and runs one command.
import { Command } from 'commander';
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
await program.parseAsync();
