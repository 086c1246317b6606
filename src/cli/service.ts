// The running service as the commands see it; who builds it is the composition root's business.
import type { Config } from '../config/config.ts';
import type { NameChanges } from '../lib/name-changes.ts';
import type { Log } from '../telemetry/log.ts';

/** What a new configuration changed. */
export interface ReloadReport {
  /** Variables whose new value is in effect. */
  changed: string[];
  /** Variables that have another value than the service was started with, and take effect with a restart. */
  needRestart: string[];
  accounts: NameChanges;
  clients: NameChanges;
}

export interface Service {
  /** Starts listening and logs the accounts in; gives the address. Rejects when the port cannot be had. */
  start(): Promise<string>;
  /**
   * Refuses what waits and what comes (503), lets what is at NovelAI finish and be read (within the shutdown limit), and then closes
   * the port and everything else. Gives true when nothing had to be cut.
   */
  stop(): Promise<boolean>;
  /**
   * Takes over a new configuration while it runs.
   * @throws {ConfigError} when it cannot be used; the old one stays in use.
   */
  reload(config: Config): ReloadReport;
  /** Requests that are at NovelAI now. */
  readonly running: number;
}

/** @throws {Error} with one sentence when the database or a key cannot be used, or a ConfigError when accounts or clients are missing. */
export type CreateService = (config: Config, options: { log: Log; droppedLogLines?: () => number }) => Promise<Service>;
