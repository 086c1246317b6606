// What the commands beside `serve` have in common: the configuration, the database beside a running service, how they end.
import type { Config } from '../config/config.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { openSecretBox, type SecretBox } from '../store/secret-box.ts';
import { openStore } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';
import { terminalIo, type CommandIo } from './command-io.ts';

/** What of the configuration the commands use. */
export interface CommandConfig extends Pick<
  Config,
  'host' | 'port' | 'clients' | 'accounts' | 'upstreamUrls' | 'limits' | 'dataDir'
> {
  databaseUrl?: string | undefined;
  secretKey?: string | undefined;
  previousSecretKeys?: readonly string[] | undefined;
}

export interface CommandDeps {
  /** Throws {@link ConfigError} with every fault. */
  loadConfig: () => CommandConfig;
  /** Variables of the process, of which secrets may be taken. */
  environment?: Readonly<Record<string, string | undefined>>;
  io?: CommandIo;
  clock?: Clock;
}

/** What a command's work is given. */
export interface CommandContext {
  config: CommandConfig;
  environment: Readonly<Record<string, string | undefined>>;
  io: CommandIo;
  clock: Clock;
}

/** Gives an action for commander that loads the configuration, does the work, and tells a failure in clear lines. */
export function action<Args extends unknown[]>(
  deps: CommandDeps,
  work: (context: CommandContext, ...args: Args) => Promise<void>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    const { io = terminalIo, clock = systemClock, environment = {} } = deps;
    try {
      await work({ config: deps.loadConfig(), environment, io, clock }, ...args);
    } catch (error) {
      io.fail(error);
    }
  };
}

/** Opens the database beside a service that may be running, and closes it again. */
export async function withStore<T>({ config }: CommandContext, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ databaseUrl: config.databaseUrl, dataDir: config.dataDir, role: 'tool' });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

export function openBox({ config }: CommandContext, store: Store): Promise<SecretBox> {
  const { dataDir, secretKey, previousSecretKeys } = config;
  return openSecretBox({ store, dataDir, secretKey, previousSecretKeys });
}
