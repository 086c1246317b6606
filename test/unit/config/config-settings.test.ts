// Which changes of the configuration take effect at once, and which need a restart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedLive, needRestart, SETTINGS } from '../../../src/config/config-settings.ts';
import { CONFIG_VARIABLES, readConfig } from '../../../src/config/load-config.ts';

const LEAST = { NOVEL_TOKEN: `pst-${'a'.repeat(64)}`, SERVER_TOKENS: 'me:made-up-token' };
const IDENTITIES = ['SERVER_TOKENS', 'NOVELAI_USERNAME', 'NOVELAI_PASSWORD', 'NOVEL_TOKEN', 'NOVELAI_ACCOUNTS'];

/** For each variable a value that is not its default. */
const OTHER: Readonly<Record<string, string>> = {
  HOST: '0.0.0.0',
  PORT: '5001',
  CORS_ORIGINS: 'off',
  NOVELAI_IMAGE_URL: 'https://image.example.org',
  NOVELAI_TEXT_URL: 'https://text.example.org',
  NOVELAI_API_URL: 'https://api.example.org',
  QUEUE_LIMIT: '7',
  QUEUE_LIMIT_PER_CLIENT: '7',
  QUEUE_TIMEOUT: '7s',
  BODY_LIMIT: '7k',
  CONNECT_TIMEOUT: '7s',
  FIRST_BYTE_TIMEOUT: '7s',
  IDLE_TIMEOUT: '7s',
  UPSTREAM_TIMEOUT: '7s',
  DRAIN_TIMEOUT: '7s',
  SHUTDOWN_TIMEOUT: '7s',
  ACCOUNT_GAP: '7s',
  READ_AHEAD_MEMORY: '7k',
  LOG_DIR: 'elsewhere',
  LOG_LEVEL: 'debug',
  LOG_MAX_SIZE: '7m',
  LOG_MAX_FILES: '7',
  DATA_DIR: 'elsewhere',
  DATABASE_URL: 'sqlite:elsewhere.db',
  SECRET_KEY: 'another-made-up-key',
  BANK: 'off',
  BANK_LIMIT: '7mb',
  BANK_MAX_AGE: '7h',
  BANK_LOST_CONNECTION: '7m',
  SHOW_ACCOUNT: 'on',
  METRICS_TOKEN: 'a-made-up-metrics-token',
  TRACE_PROPAGATION: 'on',
  OTEL_TRACES_EXPORTER: 'console',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces',
  OTEL_SDK_DISABLED: 'true',
};

test('settings, every variable is one of them or names accounts and clients', () => {
  assert.deepEqual([...Object.keys(SETTINGS), ...IDENTITIES].toSorted(), CONFIG_VARIABLES.toSorted());
});

test('settings, a change of any one is noticed under its name, as live or as needing a restart', () => {
  const before = readConfig(LEAST);
  for (const [variable, { isLive }] of Object.entries(SETTINGS)) {
    const after = readConfig({ ...LEAST, [variable]: OTHER[variable] });
    const told = isLive ? changedLive(before, after) : needRestart(before, after);
    const notTold = isLive ? needRestart(before, after) : changedLive(before, after);
    assert.ok(told.includes(variable), variable);
    // The first-byte limit follows the whole one where it is not set.
    assert.equal(told.length + notTold.length, variable === 'UPSTREAM_TIMEOUT' ? 2 : 1, variable);
  }
});

test('settings, the same written otherwise is no change', () => {
  const before = readConfig(LEAST);
  const after = readConfig({ ...LEAST, PORT: '5000', QUEUE_TIMEOUT: '600s', BODY_LIMIT: '32768k', CORS_ORIGINS: ' *' });
  assert.deepEqual([...changedLive(before, after), ...needRestart(before, after)], []);
});
