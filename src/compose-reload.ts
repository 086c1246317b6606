// A new configuration for a running service: what may change takes the place of what was, for whoever asks from then on.
import type { AccountRoster } from './compose-accounts.ts';
import type { Storage } from './compose-storage.ts';
import type { ReloadReport } from './cli/service.ts';
import type { ClientRegistry } from './clients/client-registry.ts';
import type { Config, HostRole } from './config/config.ts';
import { changedLive, needRestart } from './config/config-settings.ts';
import { ConfigError, missingIdentities } from './config/load-config.ts';
import { ConfiguredLogins, type LoginDirectory } from './dialects/native/client-logins.ts';
import { Cors } from './dialects/native/cors.ts';
import type { HoldingTimes } from './dispatch/holding-times.ts';
import type { WorkQueue } from './dispatch/work-queue.ts';
import type { Clock } from './lib/clock.ts';
import { nameChanges } from './lib/name-changes.ts';
import type { Log } from './telemetry/log.ts';
import { Connections } from './upstream/connections.ts';
import { UpstreamHosts } from './upstream/upstream-hosts.ts';

const ROLES = ['image', 'text', 'api'] as const satisfies readonly HostRole[];

/** The settings of the moment. Whoever uses them reads them here for each request, and so has the new ones after a reload. */
export class LiveSettings {
  /** What the service was started with: the port, the database and the like stay as they were then. */
  readonly started: Config;
  readonly #clock: Clock;
  readonly #clients: Pick<ClientRegistry, 'find'>;
  readonly #retired: Connections[] = [];
  #config: Config;
  #connections: Connections;
  #hosts: Record<HostRole, UpstreamHosts>;
  #cors: Cors;
  #logins: LoginDirectory;

  constructor(config: Config, { clock, clients }: { clock: Clock; clients: Pick<ClientRegistry, 'find'> }) {
    const { limits, upstreamUrls, corsOrigins } = config;
    this.started = config;
    this.#config = config;
    this.#clock = clock;
    this.#clients = clients;
    this.#connections = new Connections({ connectMs: limits.connectMs });
    this.#hosts = {
      image: new UpstreamHosts(upstreamUrls.image, clock),
      text: new UpstreamHosts(upstreamUrls.text, clock),
      api: new UpstreamHosts(upstreamUrls.api, clock),
    };
    this.#cors = new Cors(corsOrigins);
    this.#logins = new ConfiguredLogins(config.clients, clients);
  }

  get config(): Config {
    return this.#config;
  }

  get limits(): Config['limits'] {
    return this.#config.limits;
  }

  /** What the dialects hold a request to. */
  get requestLimits(): { bodyBytes: number; queueTimeoutMs: number } {
    return { bodyBytes: this.limits.bodyBytes, queueTimeoutMs: this.#config.queue.timeoutMs };
  }

  get connections(): Connections {
    return this.#connections;
  }

  /** What is known of a host's health stays with it until the list of its role changes. */
  get hosts(): Readonly<Record<HostRole, UpstreamHosts>> {
    return this.#hosts;
  }

  get cors(): Cors {
    return this.#cors;
  }

  get logins(): LoginDirectory {
    return this.#logins;
  }

  replace(config: Config): void {
    const before = this.#config;
    this.#config = config;
    for (const role of ROLES)
      if (before.upstreamUrls[role].join() !== config.upstreamUrls[role].join())
        this.#hosts = { ...this.#hosts, [role]: new UpstreamHosts(config.upstreamUrls[role], this.#clock) };
    if (before.limits.connectMs !== config.limits.connectMs) {
      // What runs on the old ones goes on; idle, they end by themselves within seconds.
      this.#retired.push(this.#connections);
      this.#connections = new Connections({ connectMs: config.limits.connectMs });
    }
    this.#cors = new Cors(config.corsOrigins);
    this.#logins = new ConfiguredLogins(config.clients, this.#clients);
  }

  async close(): Promise<void> {
    await Promise.all([this.#connections, ...this.#retired].map((connections) => connections.close()));
  }
}

export interface ReloadDeps {
  settings: LiveSettings;
  clients: ClientRegistry;
  roster: AccountRoster;
  queue: WorkQueue;
  holdingTimes: HoldingTimes;
  storage: Pick<Storage, 'accounts' | 'clients'>;
  log: Log;
}

/**
 * Takes over a new configuration. No connection is closed, and no request that runs or waits is touched; accounts that did not
 * change keep their sessions.
 * @throws {ConfigError} when no account or no client would be left; nothing has changed then.
 */
export function reload(next: Config, deps: ReloadDeps): ReloadReport {
  const { settings, clients, roster, queue, holdingTimes, storage, log } = deps;
  const missing = missingIdentities({
    hasAccounts: next.accounts.length > 0 || roster.storedCount > 0,
    hasClients: next.clients.length > 0 || clients.clients.some(({ origin }) => origin === 'database'),
  });
  if (missing.length > 0) throw new ConfigError(missing);
  const before = settings.config;
  const report: ReloadReport = {
    changed: changedLive(before, next),
    needRestart: needRestart(settings.started, next),
    accounts: nameChanges(before.accounts, next.accounts),
    clients: nameChanges(before.clients, next.clients),
  };
  settings.replace(next);
  log.level = next.log.level;
  clients.replaceConfigured(next.clients);
  for (const name of report.clients.removed) queue.forgetClient(`env:${name}`);
  storage.clients.setEnvironmentNames(next.clients.map(({ name }) => name));
  storage.accounts.setEnvironmentNames(next.accounts.map(({ name }) => name));
  queue.setLimits(next.queue);
  holdingTimes.setCeiling(next.limits.totalMs);
  roster.configure(next.accounts);
  return report;
}
