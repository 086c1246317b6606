// The process: reads the command line and runs one command.
import { Command } from 'commander';
import { VERSION } from './lib/version.ts';

type AddCommand = (program: Command) => void;

/** Each command with the rooms it needs, loaded only where it is asked for: the service should not carry the others' memory. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  async serve() {
    const [{ addServeCommand }, { createService }] = await Promise.all([
      import('./cli/serve.ts'),
      import('./compose.ts'),
    ]);
    return (program) => addServeCommand(program, createService);
  },
  async demo() {
    const [{ addDemoCommand }, { createService }] = await Promise.all([
      import('./cli/demo.ts'),
      import('./compose.ts'),
    ]);
    return (program) => addDemoCommand(program, createService);
  },
  async simulate() {
    return (await import('./cli/simulate.ts')).addSimulateCommand;
  },
  async client() {
    const [{ addClientCommand }, deps] = await Promise.all([import('./cli/client.ts'), commandDeps()]);
    return (program) => addClientCommand(program, deps);
  },
  async account() {
    const [{ addAccountCommand }, deps] = await Promise.all([import('./cli/account.ts'), commandDeps()]);
    return (program) => addAccountCommand(program, deps);
  },
  async ledger() {
    const [{ addLedgerCommand }, deps] = await Promise.all([import('./cli/ledger.ts'), commandDeps()]);
    return (program) => addLedgerCommand(program, deps);
  },
  async price() {
    return (await import('./cli/price.ts')).addPriceCommand;
  },
  async backup() {
    const [{ addBackupCommand }, deps] = await Promise.all([import('./cli/backup.ts'), commandDeps()]);
    return (program) => addBackupCommand(program, deps);
  },
  async doctor() {
    const [{ addDoctorCommand }, deps] = await Promise.all([import('./cli/doctor.ts'), commandDeps()]);
    return (program) => addDoctorCommand(program, deps);
  },
};

async function commandDeps() {
  const { loadConfig, readEnvironment } = await import('./config/load-config.ts');
  return { loadConfig, environment: readEnvironment() };
}

/** The command that is asked for; all of them where none is (`--help`, a name that does not exist). */
async function addCommands(program: Command, name: string): Promise<void> {
  const asked = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]] : Object.values(COMMANDS);
  for (const load of asked) {
    const add = await load?.();
    add?.(program);
  }
}

const program = new Command('novelai-proxy')
  .description('One address and a token per program for your own NovelAI subscriptions.')
  .version(VERSION);
await addCommands(program, process.argv[2] ?? 'serve');
await program.parseAsync();
