// The running service as the commands see it; who builds it is the composition root's business.
import type { Config } from '../config/config.ts';
import type { Log } from '../telemetry/log.ts';

export interface Service {
  /** Starts listening and logs the accounts in; gives the address. Rejects when the port cannot be had. */
  start(): Promise<string>;
  /**
   * Refuses what waits, lets what is at NovelAI finish (within the shutdown limit), and closes everything. Gives true when
   * nothing had to be cut.
   */
  stop(): Promise<boolean>;
  /** Requests that are at NovelAI now. */
  readonly running: number;
}

/** @throws {Error} with one sentence when the database or a key cannot be used, or a ConfigError when accounts or clients are missing. */
export type CreateService = (config: Config, options: { log: Log }) => Promise<Service>;
