// `novelai-proxy doctor`: looks at everything the service needs, and says of each thing that is amiss what to do.
import type { Command } from 'commander';
import { ConfigError } from '../config/load-config.ts';
import { systemClock } from '../lib/clock.ts';
import { checkAccounts } from './account.ts';
import type { Finding } from './check-account.ts';
import type { CommandConfig, CommandContext, CommandDeps } from './command-context.ts';
import { terminalIo } from './command-io.ts';
import { checkHosts } from './doctor-hosts.ts';
import { checkDataFolder, checkDatabase, checkService } from './doctor-local.ts';
import { printFindings } from './findings.ts';

export function addDoctorCommand(program: Command, deps: CommandDeps): void {
  const { io = terminalIo } = deps;
  program
    .command('doctor')
    .description('Look at configuration, hosts, accounts, clock, disk and database; changes and costs nothing')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      try {
        const findings: Finding[] = [];
        for await (const group of examine(deps)) {
          findings.push(...group);
          if (!json) printFindings(io, group);
        }
        const faults = findings.filter(({ level }) => level === 'fault').length;
        if (json) io.print(JSON.stringify(findings, null, 2));
        else
          io.print(faults === 0 ? '\nAll is well.' : `\n${faults === 1 ? 'One fault' : `${faults} faults`} to mend.`);
        if (faults > 0) io.setExitCode(1);
      } catch (error) {
        io.fail(error);
      }
    });
}

/** Gives the findings group by group, as they come. */
async function* examine(deps: CommandDeps): AsyncGenerator<Finding[]> {
  const config = readConfig(deps);
  if (Array.isArray(config)) {
    yield config;
    return;
  }
  const { io = terminalIo, clock = systemClock, environment = {} } = deps;
  const context: CommandContext = { config, environment, io, clock };
  yield [{ level: 'ok', what: 'configuration', detail: summaryOf(config) }];
  yield [await checkDataFolder(context)];
  const { findings, hasCredentials } = await checkDatabase(context);
  yield findings;
  yield await checkHosts(context);
  // Those of the environment are looked at all the same.
  yield await checkAccounts(context, { isDatabaseRead: hasCredentials });
  yield [await checkService(context)];
}

/** Gives the configuration, or what is wrong with it. */
function readConfig({ loadConfig }: CommandDeps): CommandConfig | Finding[] {
  try {
    return loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ variable, problem }) => ({
      level: 'fault' as const,
      what: `configuration, ${variable}`,
      detail: problem,
      advice: 'Mend it in .env; .env.example explains every variable.',
    }));
  }
}

function summaryOf({ accounts, clients }: CommandConfig): string {
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;
  return `read; ${count(accounts.length, 'account')} and ${count(clients.length, 'client')} in the environment`;
}
