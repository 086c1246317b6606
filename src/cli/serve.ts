// `novelai-proxy serve`: runs the service until it is told to stop.
import { closeSync, openSync } from 'node:fs';
import closeWithGrace from 'close-with-grace';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load-config.ts';
import { openLog, type LogHandle } from '../telemetry/log.ts';
import { exitWith } from './fail.ts';
import { freeMemoryWhenIdle } from './idle-memory.ts';
import { ConfigReloader } from './reload.ts';
import type { CreateService, Service } from './service.ts';

/** Longer than the service's own limit, which is the one that decides. */
const SHUTDOWN_MARGIN_MS = 5000;

export function addServeCommand(program: Command, createService: CreateService): void {
  program
    .command('serve', { isDefault: true })
    .description('Run the proxy (settings: .env, see .env.example)')
    .action(() => serve(createService));
}

async function serve(createService: CreateService): Promise<void> {
  // Unheard, the signal would end the process.
  let isReloadDue = false;
  let onHangUp = () => {
    isReloadDue = true;
  };
  process.on('SIGHUP', () => onHangUp());
  try {
    let config = loadConfig();
    const logHandle = await openLog({ ...config.log, isTerminal: process.stdout.isTTY });
    const { log } = logHandle;
    const service = await createService(config, { log, droppedLogLines: () => logHandle.droppedLines() });
    const address = await service.start();
    log.info({ address, accounts: config.accounts.length, clients: config.clients.length }, 'listening');

    freeMemoryWhenIdle({ service });
    const reloader = new ConfigReloader({
      log,
      apply(next) {
        const report = service.reload(next);
        config = next;
        return report;
      },
    });
    const { close } = closeWithGrace({ delay: null, logger: undefined, skip: ['SIGHUP'] }, async ({ signal, err }) => {
      reloader.close();
      onHangUp = () => undefined;
      if (err) log.fatal({ err }, 'unexpected failure; shutting down');
      else log.info({ signal, running: service.running }, 'shutting down');
      await shutDown(service, config, logHandle);
    });
    onHangUp = () => (isTerminalGone() ? close() : reloader.reload('SIGHUP'));
    if (isReloadDue) reloader.reload('SIGHUP');
  } catch (error) {
    exitWith(error);
  }
}

/** A second signal meanwhile ends the process at once, with exit code 1. */
async function shutDown(service: Service, { limits }: Config, logHandle: LogHandle): Promise<void> {
  const { log } = logHandle;
  const giveUp = setTimeout(() => {
    log.fatal('the shutdown did not end in time');
    process.exit(1);
  }, limits.shutdownMs + SHUTDOWN_MARGIN_MS);
  const isSettled = await service.stop();
  clearTimeout(giveUp);
  if (!isSettled) log.warn('some generations were cut off by the shutdown limit');
  log.info('stopped');
  await logHandle.close();
}

/** The same signal says that the terminal was closed, and then nobody is there any more to stop the service. */
function isTerminalGone(): boolean {
  if (!process.stdin.isTTY) return false;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return false;
  } catch {
    return true;
  }
}
