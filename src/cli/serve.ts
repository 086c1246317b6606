// `novelai-proxy serve`: runs the service until it is told to stop.
import closeWithGrace from 'close-with-grace';
import type { Command } from 'commander';
import { loadConfig } from '../config/load-config.ts';
import { openLog } from '../telemetry/log.ts';
import { exitWith } from './fail.ts';
import type { CreateService } from './service.ts';

export function addServeCommand(program: Command, createService: CreateService): void {
  program
    .command('serve', { isDefault: true })
    .description('Run the proxy (settings: .env, see .env.example)')
    .action(() => serve(createService));
}

async function serve(createService: CreateService): Promise<void> {
  try {
    const config = loadConfig();
    const logHandle = await openLog({ ...config.log, isTerminal: process.stdout.isTTY });
    const { log } = logHandle;
    const service = await createService(config, { log });
    const address = await service.start();
    log.info({ address, accounts: config.accounts.length, clients: config.clients.length }, 'listening');

    // Longer than the service's own limit, which is the one that decides; a second signal ends the process at once.
    closeWithGrace(
      { delay: config.limits.shutdownMs + SHUTDOWN_MARGIN_MS, logger: undefined },
      async ({ signal, err }) => {
        if (err) log.fatal({ err }, 'unexpected failure; shutting down');
        else log.info({ signal, running: service.running }, 'shutting down');
        const isSettled = await service.stop();
        if (!isSettled) log.warn('some generations were cut off by the shutdown limit');
        log.info('stopped');
        await logHandle.close();
      },
    );
  } catch (error) {
    exitWith(error);
  }
}

const SHUTDOWN_MARGIN_MS = 5000;
