// The whole configuration as the rest of the service sees it: typed, complete and frozen.

export interface ClientConfig {
  /** Name in logs and reports. */
  name: string;
  /** The token the program sends. Secret. */
  token: string;
}

export interface AccountConfig {
  /** Alias in logs, headers and reports; never the e-mail address. */
  name: string;
  /** Login data; absent for an account that is only a token. Secret. */
  login?: { email: string; password: string } | undefined;
  /** A token to use until it is refused: a persistent `pst-` one, or a session's. Secret. */
  token?: string | undefined;
  /** `http://`, `https://` or `socks5://` proxy for everything this account sends. Secret, as it may hold a password. */
  proxyUrl?: string | undefined;
  /** Generations at once; NovelAI allows 1. */
  concurrency: number;
}

/** Which of NovelAI's three host roles an endpoint lives on (contract section 1). */
export type HostRole = 'image' | 'text' | 'api';

export interface Config {
  host: string;
  port: number;
  clients: readonly ClientConfig[];
  accounts: readonly AccountConfig[];
  /** Web pages that may use the service: `*` for all, or origins such as `https://example.org`; none when empty. */
  corsOrigins: readonly string[];
  /** Base URLs per role, without a trailing slash; the first is preferred only by chance. */
  upstreamUrls: Readonly<Record<HostRole, readonly string[]>>;
  queue: {
    limit: number;
    limitPerClient: number;
    timeoutMs: number;
  };
  limits: {
    bodyBytes: number;
    /** Until a connection to NovelAI stands. */
    connectMs: number;
    /** From the request sent to the answer's first byte. */
    firstByteMs: number;
    /** Longest silence inside an answer. */
    idleMs: number;
    /** The whole exchange with NovelAI. */
    totalMs: number;
    /** How long an account stays taken after its client left, while NovelAI still works. */
    drainMs: number;
    /** How long a shutdown waits for what is at NovelAI. */
    shutdownMs: number;
    /** Least pause between two generations on one account. */
    accountGapMs: number;
    /** Memory for answers that slow readers have not taken yet, in all; past it they go to files. */
    readAheadBytes: number;
  };
  log: {
    dir: string;
    level: LogLevel;
    maxSizeBytes: number;
    maxFiles: number;
  };
  dataDir: string;
  /** `sqlite:PATH` or `postgres://...`; undefined for `proxy.db` in the data folder. May hold a password. */
  databaseUrl?: string | undefined;
  /** Encrypts credentials at rest; undefined for a key file in the data folder. Secret. */
  secretKey?: string | undefined;
  /** The store of results (design I10). */
  bank: {
    isOn: boolean;
    totalBytes: number;
    keepMs: number;
    /** How long after a lost connection the same request gets its answer without a key; 0 for never. */
    lostConnectionMs: number;
  };
  /** Whether answers name the account that served them (`x-account`). */
  showsAccount: boolean;
  /** Opens `/metrics` to other machines. Secret. */
  metricsToken?: string | undefined;
  tracing: {
    /** Whether the environment names somewhere to send traces. */
    isOn: boolean;
    /** Whether NovelAI gets a `traceparent` header. */
    propagates: boolean;
    /** All OTEL_* variables, for OpenTelemetry itself. May hold secrets. */
    environment: Readonly<Record<string, string>>;
  };
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
