// Runs the commands in this process, on a data folder of their own, and gives what a person would see.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Command, CommanderError } from 'commander';
import { addAccountCommand } from '../../../src/cli/account.ts';
import { addBackupCommand } from '../../../src/cli/backup.ts';
import { addClientCommand } from '../../../src/cli/client.ts';
import type { CommandConfig } from '../../../src/cli/command-context.ts';
import type { CommandIo } from '../../../src/cli/command-io.ts';
import { addDoctorCommand } from '../../../src/cli/doctor.ts';
import { explainFailure } from '../../../src/cli/fail.ts';
import { addLedgerCommand } from '../../../src/cli/ledger.ts';
import { addPriceCommand } from '../../../src/cli/price.ts';
import { readConfig } from '../../../src/config/load-config.ts';
import type { Clock } from '../../../src/lib/clock.ts';

export interface Outcome {
  /** What went to standard output and to standard error. */
  out: string;
  err: string;
  exitCode: number;
}

export interface RunOptions {
  /** What a person answers when asked for a secret; without it nobody is there. */
  answer?: string;
  /** What comes on standard input. */
  input?: string;
  environment?: Record<string, string>;
  /** Variables of the configuration, on top of the fixture's. */
  settings?: Record<string, string>;
  /** Of the configuration, what no variable is read for yet. */
  config?: Partial<CommandConfig>;
  clock?: Clock;
}

export interface CommandLine {
  dataDir: string;
  run: (args: readonly string[], options?: RunOptions) => Promise<Outcome>;
}

/** `settings` are variables of the configuration that hold for every run. */
export async function commandLine(t: TestContext, settings: Record<string, string> = {}): Promise<CommandLine> {
  const folder = await mkdtemp(join(tmpdir(), 'proxy-cli-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const dataDir = join(folder, 'data');
  return {
    dataDir,
    run: (args, options = {}) => {
      const variables = {
        DATA_DIR: dataDir,
        SERVER_TOKENS: 'of-env:made-up-token',
        NOVEL_TOKEN: 'pst-made-up',
        // Nothing of a test ever leaves the machine.
        NOVELAI_IMAGE_URL: 'http://127.0.0.1:9',
        NOVELAI_TEXT_URL: 'http://127.0.0.1:9',
        NOVELAI_API_URL: 'http://127.0.0.1:9',
        PORT: '9',
        ...settings,
        ...options.settings,
      };
      return runCommand(args, () => Object.assign({}, readConfig(variables), options.config), options);
    },
  };
}

async function runCommand(
  args: readonly string[],
  loadConfig: () => CommandConfig,
  { answer, input = '', environment = {}, clock }: RunOptions,
): Promise<Outcome> {
  const outcome: Outcome = { out: '', err: '', exitCode: 0 };
  const io: CommandIo = {
    print: (text) => (outcome.out += `${text}\n`),
    note: (text) => (outcome.err += `${text}\n`),
    isInteractive: answer !== undefined,
    askSecret: async () => answer,
    readInput: async () => Buffer.from(input),
    fail(error) {
      const { lines, exitCode } = explainFailure(error);
      outcome.err += `${lines.join('\n')}\n`;
      outcome.exitCode = exitCode;
    },
    setExitCode: (code) => (outcome.exitCode = code),
  };
  const program = new Command('novelai-proxy').exitOverride().configureOutput({
    writeOut: (text) => (outcome.out += text),
    writeErr: (text) => (outcome.err += text),
  });
  const deps = { loadConfig, environment, io, ...(clock && { clock }) };
  addClientCommand(program, deps);
  addAccountCommand(program, deps);
  addLedgerCommand(program, deps);
  addBackupCommand(program, deps);
  addPriceCommand(program, { io });
  addDoctorCommand(program, deps);
  for (const command of everyCommand(program)) command.exitOverride().copyInheritedSettings(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    outcome.exitCode = error.exitCode;
  }
  return outcome;
}

function* everyCommand(command: Command): Generator<Command> {
  for (const child of command.commands) {
    yield child;
    yield* everyCommand(child);
  }
}
