// The composition root: configuration -> rooms -> start and stop. The only place that knows them all.
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { AccountPool } from './accounts/account-pool.ts';
import { ClientRegistry } from './clients/client-registry.ts';
import { FaultBlame } from './accounts/fault-blame.ts';
import type { Service } from './cli/service.ts';
import { AccountRoster } from './compose-accounts.ts';
import { createMetrics, watchRooms } from './compose-metrics.ts';
import { openStorage, type Storage } from './compose-storage.ts';
import { LiveSettings, reload } from './compose-reload.ts';
import type { Config } from './config/config.ts';
import { ConfigError, missingIdentities } from './config/load-config.ts';
import { registerPriceRoutes } from './dialects/jobs/price-routes.ts';
import { registerQueueRoutes } from './dialects/jobs/queue-routes.ts';
import { NativeDialect } from './dialects/native/native-dialect.ts';
import type { RelayDeps } from './dialects/native/answer-relayed.ts';
import { RateLimits } from './clients/rate-limits.ts';
import { watchClients } from './clients/watch-clients.ts';
import { watchRevision } from './store/revisions.ts';
import { newBodyRoom } from './dispatch/bodies/body-room.ts';
import { HoldingTimes } from './dispatch/holding-times.ts';
import { KeptAnswers } from './dispatch/kept/kept-answers.ts';
import { ReadAccounts } from './dispatch/reads/read-accounts.ts';
import { SharedAnswers } from './dispatch/reads/shared-answers.ts';
import { LeaseWatch } from './dispatch/lease-watch.ts';
import { WorkQueue } from './dispatch/work-queue.ts';
import { Door } from './http/door.ts';
import { joinLogins, StoredLogins } from './dialects/native/client-logins.ts';
import { createHttpServer } from './http/http-server.ts';
import { registerMetricsRoutes } from './http/metrics-routes.ts';
import { Budget } from './lib/budget.ts';
import { systemClock, type Clock } from './lib/clock.ts';
import { registerSecret } from './telemetry/hide-secrets.ts';
import type { Log } from './telemetry/log.ts';
import { startTracing } from './telemetry/open-telemetry.ts';

export interface ServiceOptions {
  log: Log;
  /** Lines that the log could not write, for the metrics. */
  droppedLogLines?: () => number;
  clock?: Clock;
  random?: () => number;
}

/** The service with its rooms open to view, for tests and benches. */
export interface ComposedService extends Service {
  readonly pool: AccountPool;
  readonly queue: WorkQueue;
  readonly clients: ClientRegistry;
  readonly roster: AccountRoster;
  readonly storage: Storage;
  /** The service's own routes, as `GET /livez`. */
  readonly routes: readonly string[];
}

/** Slow readers' answers on disk, in all: far above what a busy day needs, far below what fills a disk. */
const SPOOL_LIMIT_BYTES = 4 * 1024 ** 3;
/** Encoded vibes on disk: some 1,300 of them. */
const KEPT_LIMIT_BYTES = 64 * 1024 ** 2;
const STOP_POLL_MS = 50;
/** For answers that say that they were cut off. */
const CUT_OFF_MS = 500;

/** Builds the service; nothing happens before `start`. */
export async function createService(
  config: Config,
  { log, droppedLogLines = () => 0, clock = systemClock, random = Math.random }: ServiceOptions,
): Promise<ComposedService> {
  const { limits } = config;
  const metrics = createMetrics(clock);
  if (config.metricsToken !== undefined) registerSecret(config.metricsToken);
  const storage = await openStorage(config, { clock, log, onLedgerWrite: (ms) => metrics.ledgerWritten(ms) });
  const { ledger, bank } = storage;
  const clients = new ClientRegistry(config.clients, { wallMs: () => clock.wallMs() });
  const settings = new LiveSettings(config, { clock, clients });
  const pool = new AccountPool();
  const queue = new WorkQueue({
    pool,
    clock,
    limit: config.queue.limit,
    limitPerClient: config.queue.limitPerClient,
    watch: new LeaseWatch(metrics, clock),
  });
  watchRooms(metrics, { pool, queue, ledger, bank, droppedLogLines });

  const holdingTimes = new HoldingTimes({ ceilingMs: limits.totalMs });
  const roster = new AccountRoster({
    pool,
    queue,
    holdingTimes,
    clock,
    log,
    accountDeps: ({ proxyUrl }) => ({
      clock,
      random,
      log,
      // Account calls live on the image host: the old one answers them with 400 (contract section 1).
      route: {
        get hosts() {
          return settings.hosts.image;
        },
        get dispatcher() {
          return settings.connections.for(proxyUrl);
        },
        isProxied: proxyUrl !== undefined,
        clock,
      },
      get gapMs() {
        return settings.limits.accountGapMs;
      },
      onChange(changed) {
        queue.onAccountChange(changed);
        roster.onChange(changed);
      },
      mayEject: (candidate) => pool.canSpare(candidate),
      onLogin: (name, result) => metrics.accountLoggedIn(name, result),
      onCooldown: (name, why) => metrics.accountCooled(name, why),
      startReading: (name) => ledger.startReading(name),
    }),
  });
  roster.configure(config.accounts);

  const keptAnswers = new KeptAnswers({ dir: join(config.dataDir, 'kept'), limitBytes: KEPT_LIMIT_BYTES });
  const dispatch: RelayDeps = {
    clock,
    get hosts() {
      return settings.hosts;
    },
    get limits() {
      return settings.limits;
    },
    pool,
    queue,
    metrics,
    ledger,
    bank,
    rateLimits: new RateLimits({ clock }),
    blame: new FaultBlame(() => clock.monotonicMs()),
    holdingTimes,
    log,
    readAhead: {
      memory: new Budget(limits.readAheadBytes),
      disk: new Budget(SPOOL_LIMIT_BYTES),
      dir: join(config.dataDir, 'spool'),
    },
    get drainMs() {
      return settings.limits.drainMs;
    },
    get showsAccount() {
      return settings.config.showsAccount;
    },
    readAccounts: new ReadAccounts(pool),
    sharedAnswers: new SharedAnswers({ clock }),
    keptAnswers,
    keptUnderWay: new Map(),
    bodies: newBodyRoom(join(config.dataDir, 'spool')),
  };
  const storedLogins = new StoredLogins(clients, storage.sessionKey);
  const onFailure = (err: unknown) => log.warn({ err }, 'the database could not be read; what was known stays in use');
  const clientWatch = watchClients({
    store: storage.store,
    clock,
    keepers: [clients, storedLogins],
    repository: storage.clients,
    onFailure,
  });
  const accountWatch = watchRevision({
    store: storage.store,
    clock,
    topic: 'accounts',
    onChange: async () => roster.sync(await storage.accounts.list()),
    onFailure,
  });
  await clientWatch.look();
  await accountWatch.look();
  roster.restAfterCrash(storage.recovery);
  const missing = missingIdentities({ hasAccounts: pool.accounts.length > 0, hasClients: clients.clients.length > 0 });
  if (missing.length > 0) {
    await closeStorage();
    throw new ConfigError(missing);
  }
  const door = new Door();
  const { app, routes } = createHttpServer({
    native: new NativeDialect({
      clients,
      logins: joinLogins(() => [settings.logins, storedLogins]),
      balances: { availableAnlas: (client) => ledger.availableAnlas(client.id, client) },
      get cors() {
        return settings.cors;
      },
      dispatch,
      get limits() {
        return settings.requestLimits;
      },
      refusal: () => door.refusal(),
    }),
    health: pool,
    dialects(server) {
      registerQueueRoutes(server, { clients, queue, clock });
      registerPriceRoutes(server, { clients, pool });
      registerMetricsRoutes(server, {
        token: config.metricsToken,
        read: metrics.read,
      });
    },
    door,
    clock,
    bodyLimitBytes: () => settings.limits.bodyBytes,
  });

  let stopTracing = () => Promise.resolve();

  async function closeStorage(): Promise<void> {
    clientWatch.close();
    accountWatch.close();
    await storage.close();
  }

  /** Waits until nothing is at NovelAI any more and everybody has read the answer, or the time is over. */
  async function settleRunning(untilMs: number): Promise<boolean> {
    while (queue.running > 0 || door.inside > 0) {
      if (clock.monotonicMs() > untilMs) return queue.running === 0;
      await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS));
    }
    return true;
  }

  /** Whoever has not read the answer by now had the whole shutdown limit for it, and until the port is closed others may come. */
  async function closePort(): Promise<void> {
    const cutting = setInterval(() => app.server.closeAllConnections(), STOP_POLL_MS);
    await app.close();
    clearInterval(cutting);
  }

  return {
    pool,
    queue,
    clients,
    roster,
    storage,
    routes,
    get running() {
      return queue.running;
    },
    async start() {
      await keptAnswers.open();
      metrics.start();
      stopTracing = await startTracing(config.tracing, log);
      await app.listen({ host: config.host, port: config.port });
      roster.start();
      const { address, port, family } = app.server.address() as AddressInfo;
      return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
    },
    reload: (next) => reload(next, { settings, clients, roster, queue, holdingTimes, storage, log }),
    async stop() {
      door.shut();
      queue.stop();
      const isSettled = await settleRunning(clock.monotonicMs() + settings.limits.shutdownMs);
      pool.close();
      await settings.close();
      // What this cut off is answered and booked as such.
      await settleRunning(clock.monotonicMs() + CUT_OFF_MS);
      await Promise.all([closePort(), keptAnswers.close()]);
      await closeStorage();
      await stopTracing();
      metrics.stop();
      return isSettled;
    },
  };
}
