// Which variable sets what, and whether a change of it takes effect while the service runs.
import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.ts';

interface Setting {
  read: (config: Config) => unknown;
  /** False where it takes a restart: the port is bound, the database open. */
  isLive: boolean;
}

const live = (read: Setting['read']): Setting => ({ read, isLive: true });
const fixed = (read: Setting['read']): Setting => ({ read, isLive: false });

/** Every variable, but those that name accounts and clients: what changed there is told by name. */
export const SETTINGS: Readonly<Record<string, Setting>> = {
  HOST: fixed(({ host }) => host),
  PORT: fixed(({ port }) => port),
  CORS_ORIGINS: live(({ corsOrigins }) => corsOrigins),
  NOVELAI_IMAGE_URL: live(({ upstreamUrls }) => upstreamUrls.image),
  NOVELAI_TEXT_URL: live(({ upstreamUrls }) => upstreamUrls.text),
  NOVELAI_API_URL: live(({ upstreamUrls }) => upstreamUrls.api),
  QUEUE_LIMIT: live(({ queue }) => queue.limit),
  QUEUE_LIMIT_PER_CLIENT: live(({ queue }) => queue.limitPerClient),
  QUEUE_TIMEOUT: live(({ queue }) => queue.timeoutMs),
  BODY_LIMIT: live(({ limits }) => limits.bodyBytes),
  CONNECT_TIMEOUT: live(({ limits }) => limits.connectMs),
  FIRST_BYTE_TIMEOUT: live(({ limits }) => limits.firstByteMs),
  IDLE_TIMEOUT: live(({ limits }) => limits.idleMs),
  UPSTREAM_TIMEOUT: live(({ limits }) => limits.totalMs),
  DRAIN_TIMEOUT: live(({ limits }) => limits.drainMs),
  SHUTDOWN_TIMEOUT: live(({ limits }) => limits.shutdownMs),
  ACCOUNT_GAP: live(({ limits }) => limits.accountGapMs),
  READ_AHEAD_MEMORY: fixed(({ limits }) => limits.readAheadBytes),
  LOG_DIR: fixed(({ log }) => log.dir),
  LOG_LEVEL: live(({ log }) => log.level),
  LOG_MAX_SIZE: fixed(({ log }) => log.maxSizeBytes),
  LOG_MAX_FILES: fixed(({ log }) => log.maxFiles),
  DATA_DIR: fixed(({ dataDir }) => dataDir),
  DATABASE_URL: fixed(({ databaseUrl }) => databaseUrl),
  SECRET_KEY: fixed(({ secretKey }) => secretKey),
  BANK: fixed(({ bank }) => bank.isOn),
  BANK_LIMIT: fixed(({ bank }) => bank.totalBytes),
  BANK_MAX_AGE: fixed(({ bank }) => bank.keepMs),
  BANK_LOST_CONNECTION: fixed(({ bank }) => bank.lostConnectionMs),
  SHOW_ACCOUNT: live(({ showsAccount }) => showsAccount),
  METRICS_TOKEN: fixed(({ metricsToken }) => metricsToken),
  OTEL_TRACES_EXPORTER: fixed(({ tracing }) => tracing.environment['OTEL_TRACES_EXPORTER']),
  OTEL_EXPORTER_OTLP_ENDPOINT: fixed(({ tracing }) => tracing.environment['OTEL_EXPORTER_OTLP_ENDPOINT']),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: fixed(({ tracing }) => tracing.environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']),
  OTEL_SDK_DISABLED: fixed(({ tracing }) => tracing.environment['OTEL_SDK_DISABLED']),
  TRACE_PROPAGATION: fixed(({ tracing }) => tracing.propagates),
};

/** Gives the variables whose change from one configuration to another takes effect at once. */
export function changedLive(before: Config, after: Config): string[] {
  return changed(before, after, true);
}

/** Gives the variables that differ from the configuration the service was started with, and so need a restart. */
export function needRestart(started: Config, after: Config): string[] {
  return changed(started, after, false);
}

function changed(before: Config, after: Config, isLive: boolean): string[] {
  return Object.entries(SETTINGS).flatMap(([variable, { read, ...setting }]) =>
    setting.isLive === isLive && !isDeepStrictEqual(read(before), read(after)) ? [variable] : [],
  );
}
