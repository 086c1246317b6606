// Takes over a changed configuration while the service runs: on request, and when one of its files changes.
import type { Config } from '../config/config.ts';
import { configFiles } from '../config/config-files.ts';
import { ConfigError, readConfig, readEnvironment } from '../config/load-config.ts';
import type { Log } from '../telemetry/log.ts';
import type { ReloadReport } from './service.ts';
import { FileWatch } from './watch-files.ts';

export interface ConfigReloaderOptions {
  log: Log;
  /** Takes over a configuration; throws a ConfigError when it cannot be used. */
  apply: (config: Config) => ReloadReport;
}

/** Reads the configuration anew and tells in the log what became of it. What cannot be used changes nothing. */
export class ConfigReloader {
  readonly #log: Log;
  readonly #apply: (config: Config) => ReloadReport;
  readonly #files = new FileWatch(() => this.reload('a file changed'));

  constructor({ log, apply }: ConfigReloaderOptions) {
    this.#log = log;
    this.#apply = apply;
    this.#files.watch(configFiles(readEnvironment()));
  }

  /** Never throws. */
  reload(cause: string): void {
    const log = this.#log;
    try {
      const environment = readEnvironment();
      this.#files.watch(configFiles(environment));
      const { needRestart, ...report } = this.#apply(readConfig(environment));
      log.info({ cause, ...report }, 'configuration reloaded');
      if (needRestart.length > 0) log.warn({ variables: needRestart }, 'a changed setting needs a restart');
    } catch (err) {
      const why = err instanceof ConfigError ? { faults: err.faults } : { err };
      log.error({ cause, ...why }, 'the new configuration cannot be used; the old one stays in use');
    }
  }

  close(): void {
    this.#files.close();
  }
}
