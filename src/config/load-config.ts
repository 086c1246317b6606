// Environment -> frozen Config. Reports every fault at once, each with the variable's name and what was expected.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import * as z from 'zod';
import { newClientToken } from '../lib/random-text.ts';
import { parseDurationMs, parseSizeBytes } from '../lib/units.ts';
import { accountsFile, envFile } from './config-files.ts';
import { EXPECTED_PROXY_URL, isProxyUrl } from './proxy-url.ts';
import { LOG_LEVELS, type AccountConfig, type ClientConfig, type Config } from './config.ts';

/** One thing wrong with the configuration. */
export interface ConfigFault {
  variable: string;
  /** What was expected there, and how to mend it. Never holds the value given where that may be secret. */
  problem: string;
}

/** Thrown with everything that is wrong, so that it can be mended in one go. */
export class ConfigError extends Error {
  readonly faults: readonly ConfigFault[];
  constructor(faults: readonly ConfigFault[]) {
    super(faults.map(({ variable, problem }) => `${variable}: ${problem}`).join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** NovelAI's own hosts (contract section 1). Account calls live on the image host since the old one answers them with 400. */
const DEFAULT_URLS = {
  image: 'https://image.novelai.net',
  text: 'https://text.novelai.net',
  api: 'https://api.novelai.net',
} as const;

function readAs<T>(expected: string, read: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = read(text);
    if (value !== undefined) return value;
    const given = text.replaceAll(/\/\/[^/]*@/g, '//[hidden]@');
    context.issues.push({ code: 'custom', message: `expected ${expected}, got "${given}"`, input: text });
    return z.NEVER;
  });
}

const duration = readAs('a time such as 500ms, 30s, 10m or 2h', (text) => parseDurationMs(text));
const positiveDuration = readAs(
  'a time above zero such as 500ms, 30s, 10m or 2h',
  (text) => parseDurationMs(text) || undefined,
);
const size = readAs('a size such as 512k, 10m or 32mb', (text) => parseSizeBytes(text) || undefined);
const flag = readAs('on or off', (text) =>
  /^(on|true|yes|1)$/i.test(text) ? true : /^(off|false|no|0)$/i.test(text) ? false : undefined,
);

function wholeNumber(min: number, max: number) {
  return readAs(`a whole number from ${min} to ${max}`, (text) => {
    const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

const urlList = readAs(
  'one or more addresses such as https://image.novelai.net, comma separated, without path and login',
  (text) => {
    const urls = splitList(text).map(readBaseUrl);
    const isEachGood = urls.length > 0 && urls.every((url) => url !== undefined);
    return isEachGood ? [...new Set(urls)] : undefined;
  },
);

/** Gives the origin of an http(s) address that is nothing but an origin: whatever else it held would never be sent. */
function readBaseUrl(text: string): string | undefined {
  if (!isUrl(text, ['http:', 'https:'])) return undefined;
  const { origin, href } = new URL(text);
  return href.replace(/\/+$/, '') === origin ? origin : undefined;
}

const originList = readAs('*, off, or origins such as https://example.org, comma separated', (text) => {
  if (/^(off|none|no|false)$/i.test(text.trim())) return [];
  const origins = splitList(text);
  const isOrigin = (origin: string) => origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin);
  return origins.length > 0 && origins.every(isOrigin) ? origins : undefined;
});

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  return URL.canParse(text) && protocols.includes(new URL(text).protocol);
}

/** Spaces around it, such as the line end of a secret's file, do not belong to it; nothing else is left = not set. */
const trimmed = z.string().transform((text) => text.trim() || undefined);

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535).prefault('5000'),
  SERVER_TOKENS: z.string().default(''),
  NOVELAI_USERNAME: trimmed.optional(),
  NOVELAI_PASSWORD: z.string().optional(),
  NOVEL_TOKEN: trimmed.optional(),
  NOVELAI_ACCOUNTS: z.string().optional(),
  NOVELAI_IMAGE_URL: urlList.prefault(DEFAULT_URLS.image),
  NOVELAI_TEXT_URL: urlList.prefault(DEFAULT_URLS.text),
  NOVELAI_API_URL: urlList.prefault(DEFAULT_URLS.api),
  QUEUE_LIMIT: wholeNumber(1, 1_000_000).prefault('10000'),
  QUEUE_LIMIT_PER_CLIENT: wholeNumber(1, 1_000_000).prefault('1000'),
  QUEUE_TIMEOUT: positiveDuration.prefault('10m'),
  CORS_ORIGINS: originList.prefault('*'),
  BODY_LIMIT: size.prefault('32mb'),
  CONNECT_TIMEOUT: positiveDuration.prefault('10s'),
  FIRST_BYTE_TIMEOUT: positiveDuration.optional(),
  IDLE_TIMEOUT: positiveDuration.prefault('60s'),
  UPSTREAM_TIMEOUT: positiveDuration.prefault('180s'),
  DRAIN_TIMEOUT: positiveDuration.prefault('60s'),
  SHUTDOWN_TIMEOUT: positiveDuration.prefault('200s'),
  ACCOUNT_GAP: duration.prefault('0ms'),
  READ_AHEAD_MEMORY: size.prefault('8mb'),
  LOG_DIR: z.string().default('logs'),
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `expected one of ${LOG_LEVELS.join(', ')}` }).default('info'),
  LOG_MAX_SIZE: size.prefault('10m'),
  LOG_MAX_FILES: wholeNumber(1, 1000).prefault('5'),
  DATA_DIR: z.string().default('data'),
  // May hold a password, so what was given is not repeated.
  DATABASE_URL: z
    .string()
    .regex(/^(sqlite:.|postgres(ql)?:\/\/)/, {
      error: 'expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE',
    })
    .optional(),
  SECRET_KEY: z.string().min(16, { error: 'expected at least 16 characters' }).optional(),
  BANK: flag.prefault('on'),
  BANK_LIMIT: size.prefault('1gb'),
  BANK_MAX_AGE: positiveDuration.prefault('24h'),
  BANK_LOST_CONNECTION: duration.prefault('5m'),
  SHOW_ACCOUNT: flag.prefault('off'),
  METRICS_TOKEN: trimmed.optional(),
  // OpenTelemetry's own names; the others of its kind are handed on to it unread.
  OTEL_TRACES_EXPORTER: trimmed.optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: trimmed.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: trimmed.optional(),
  OTEL_SDK_DISABLED: trimmed.optional(),
  TRACE_PROPAGATION: flag.prefault('off'),
});

/** Every variable the service knows. */
export const CONFIG_VARIABLES: readonly string[] = Object.keys(schema.shape);

/** What a header can carry; a token with anything else in it would never reach NovelAI. */
const TOKEN = /^[\x21-\x7e]+$/;
const EXPECTED_TOKEN = 'expected a token: letters, digits and signs, without spaces inside';

const accountSchema = z
  .strictObject({
    // The name may go into a header of the answer.
    name: z
      .string()
      .regex(/^[\x20-\x7e]{1,64}$/, 'expected 1 to 64 plain (ASCII) characters')
      .optional(),
    email: z.string().trim().min(1).optional(),
    password: z.string().min(1).optional(),
    token: z.string().trim().regex(TOKEN, EXPECTED_TOKEN).optional(),
    proxy: z.string().refine(isProxyUrl, EXPECTED_PROXY_URL).optional(),
    concurrency: z.int().min(1).max(16).default(1),
  })
  .refine(
    (account) => (account.email === undefined) === (account.password === undefined),
    'expected "email" and "password" together',
  )
  .refine((account) => account.email ?? account.token, 'expected "email" and "password", or "token"');

type Values = z.infer<typeof schema>;

/** Turns the text of NOVELAI_ACCOUNTS (JSON, or the path of a JSON file) into accounts; adds what is wrong to `faults`. */
function readFurtherAccounts(text: string, faults: ConfigFault[]): AccountConfig[] {
  const variable = 'NOVELAI_ACCOUNTS';
  const file = accountsFile(text);
  let json: unknown;
  try {
    json = JSON.parse(file === undefined ? text : readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    // A JSON error's own words may quote the text, and with it a password; only file errors are told.
    const why = file !== undefined && error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    faults.push({ variable, problem: `expected a JSON array of accounts, or the path of a file that holds one${why}` });
    return [];
  }
  const list = z.array(z.unknown()).safeParse(json);
  if (!list.success) {
    faults.push({ variable, problem: 'expected a JSON array of accounts' });
    return [];
  }
  const accounts: AccountConfig[] = [];
  for (const [index, item] of list.data.entries()) {
    const parsed = accountSchema.safeParse(item);
    if (!parsed.success) {
      for (const { path, message } of parsed.error.issues)
        faults.push({
          variable: `${variable}[${index}]${path.map((key) => `.${String(key)}`).join('')}`,
          problem: message,
        });
      continue;
    }
    const { name, email, password, token, proxy, concurrency } = parsed.data;
    accounts.push({
      name: name ?? `account-${index + 2}`,
      login: email !== undefined && password !== undefined ? { email, password } : undefined,
      token,
      proxyUrl: proxy,
      concurrency,
    });
  }
  return accounts;
}

function readAccounts(values: Values, faults: ConfigFault[]): AccountConfig[] {
  const { NOVELAI_USERNAME: email, NOVELAI_PASSWORD: password, NOVEL_TOKEN: token } = values;
  const accounts: AccountConfig[] = [];
  if ((email === undefined) !== (password === undefined)) {
    const [missing, given] =
      email === undefined ? ['NOVELAI_USERNAME', 'NOVELAI_PASSWORD'] : ['NOVELAI_PASSWORD', 'NOVELAI_USERNAME'];
    faults.push({ variable: missing, problem: `expected a value, since ${given} is set` });
  } else if (email !== undefined || token !== undefined) {
    const login = email !== undefined && password !== undefined ? { email, password } : undefined;
    if (token !== undefined && !TOKEN.test(token)) faults.push({ variable: 'NOVEL_TOKEN', problem: EXPECTED_TOKEN });
    accounts.push({ name: 'account-1', login, token, concurrency: 1 });
  }
  if (values.NOVELAI_ACCOUNTS !== undefined) accounts.push(...readFurtherAccounts(values.NOVELAI_ACCOUNTS, faults));
  reportDuplicates(accounts, 'NOVELAI_ACCOUNTS', faults);
  return accounts;
}

function readTracing(values: Values, environment: Environment): Config['tracing'] {
  const exporter = values.OTEL_TRACES_EXPORTER;
  const isAsked = exporter ?? values.OTEL_EXPORTER_OTLP_ENDPOINT ?? values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const isDisabled = values.OTEL_SDK_DISABLED?.toLowerCase() === 'true';
  const own = Object.entries(environment).filter(([name]) => name.startsWith('OTEL_'));
  return {
    isOn: isAsked !== undefined && exporter !== 'none' && !isDisabled,
    propagates: values.TRACE_PROPAGATION,
    environment: Object.fromEntries(own.map(([name, value = '']) => [name, value])),
  };
}

function readClients(text: string, faults: ConfigFault[]): ClientConfig[] {
  const variable = 'SERVER_TOKENS';
  const clients = splitList(text).map((entry, index): ClientConfig => {
    const colon = entry.indexOf(':');
    return colon === -1
      ? { name: `client-${index + 1}`, token: entry }
      : { name: entry.slice(0, colon).trim(), token: entry.slice(colon + 1).trim() };
  });
  for (const [index, { name, token }] of clients.entries())
    if (name === '' || token === '' || /\s/.test(token))
      faults.push({
        variable,
        problem: `entry ${index + 1}: expected TOKEN or NAME:TOKEN, without spaces inside the token`,
      });
  if (new Set(clients.map(({ token }) => token)).size < clients.length)
    faults.push({ variable, problem: 'expected every token only once' });
  reportDuplicates(clients, variable, faults);
  return clients;
}

function reportDuplicates(items: readonly { name: string }[], variable: string, faults: ConfigFault[]): void {
  const names = items.map(({ name }) => name);
  for (const name of new Set(names.filter((name, index) => names.indexOf(name) < index)))
    faults.push({ variable, problem: `expected every name only once, got "${name}" twice` });
}

/** What is wrong when there is no account or no client at all, neither in the environment nor in the database. */
export function missingIdentities({
  hasAccounts,
  hasClients,
}: {
  hasAccounts: boolean;
  hasClients: boolean;
}): ConfigFault[] {
  const account = {
    variable: 'NOVELAI_USERNAME',
    problem:
      'no NovelAI account is configured: set NOVELAI_USERNAME and NOVELAI_PASSWORD, or NOVEL_TOKEN, in .env, or use `novelai-proxy account add`',
  };
  const client = {
    variable: 'SERVER_TOKENS',
    problem: `expected at least one token for your programs; a fresh one to put into .env: SERVER_TOKENS=me:${newClientToken()}`,
  };
  return [...(hasAccounts ? [] : [account]), ...(hasClients ? [] : [client])];
}

/**
 * Gives the configuration that an environment describes. Accounts and clients may also be kept in the database, so that there are
 * none here is no fault by itself. Variables set to nothing count as not set.
 * @throws {ConfigError} with every fault at once.
 */
export function readConfig(environment: Environment): Config {
  const present = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = schema.safeParse(present);
  const faults: ConfigFault[] = [];
  if (!parsed.success)
    for (const issue of parsed.error.issues) faults.push({ variable: issue.path.join('.'), problem: issue.message });
  // What depends on several variables is still checked when one of the others is wrong, so that one run shows all faults.
  const related = schema.pick({
    SERVER_TOKENS: true,
    NOVELAI_USERNAME: true,
    NOVELAI_PASSWORD: true,
    NOVEL_TOKEN: true,
    NOVELAI_ACCOUNTS: true,
  });
  const identities = related.parse(present);
  const accounts = readAccounts(identities as Values, faults);
  const clients = readClients(identities.SERVER_TOKENS, faults);
  if (!parsed.success || faults.length > 0)
    throw new ConfigError([
      ...faults,
      ...missingIdentities({
        // Half an account is told already.
        hasAccounts: accounts.length > 0 || faults.some(({ variable }) => variable.startsWith('NOVEL')),
        hasClients: clients.length > 0,
      }),
    ]);

  const values = parsed.data;
  return deepFreeze({
    host: values.HOST,
    port: values.PORT,
    clients,
    accounts,
    corsOrigins: values.CORS_ORIGINS,
    upstreamUrls: { image: values.NOVELAI_IMAGE_URL, text: values.NOVELAI_TEXT_URL, api: values.NOVELAI_API_URL },
    queue: {
      limit: values.QUEUE_LIMIT,
      limitPerClient: values.QUEUE_LIMIT_PER_CLIENT,
      timeoutMs: values.QUEUE_TIMEOUT,
    },
    limits: {
      bodyBytes: values.BODY_LIMIT,
      connectMs: values.CONNECT_TIMEOUT,
      firstByteMs: values.FIRST_BYTE_TIMEOUT ?? values.UPSTREAM_TIMEOUT,
      idleMs: values.IDLE_TIMEOUT,
      totalMs: values.UPSTREAM_TIMEOUT,
      drainMs: values.DRAIN_TIMEOUT,
      shutdownMs: values.SHUTDOWN_TIMEOUT,
      accountGapMs: values.ACCOUNT_GAP,
      readAheadBytes: values.READ_AHEAD_MEMORY,
    },
    log: {
      dir: resolve(values.LOG_DIR),
      level: values.LOG_LEVEL,
      maxSizeBytes: values.LOG_MAX_SIZE,
      maxFiles: values.LOG_MAX_FILES,
    },
    dataDir: resolve(values.DATA_DIR),
    databaseUrl: values.DATABASE_URL,
    secretKey: values.SECRET_KEY,
    bank: {
      isOn: values.BANK,
      totalBytes: values.BANK_LIMIT,
      keepMs: values.BANK_MAX_AGE,
      lostConnectionMs: values.BANK_LOST_CONNECTION,
    },
    showsAccount: values.SHOW_ACCOUNT,
    metricsToken: values.METRICS_TOKEN,
    tracing: readTracing(values, present),
  });
}

/** Gives the process's own environment over that of `.env` in the working folder, where there is one. The only reader of process.env. */
export function readEnvironment(): Environment {
  const file = envFile();
  const fromFile = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
  return { ...fromFile, ...process.env };
}

/** Gives the configuration that {@link readEnvironment} describes. @throws {ConfigError} with every fault at once. */
export function loadConfig(): Config {
  return readConfig(readEnvironment());
}

function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child);
  return Object.freeze(value);
}
