// Which files the configuration is made of.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { configFiles } from '../../../src/config/config-files.ts';

test('files, .env always, and what NOVELAI_ACCOUNTS names', () => {
  const env = resolve('.env');
  assert.deepEqual(configFiles({}), [env]);
  assert.deepEqual(configFiles({ NOVELAI_ACCOUNTS: '' }), [env]);
  assert.deepEqual(configFiles({ NOVELAI_ACCOUNTS: ' [{"token":"made-up"}]' }), [env]);
  assert.deepEqual(configFiles({ NOVELAI_ACCOUNTS: ' secrets/accounts.json\n' }), [
    env,
    resolve('secrets/accounts.json'),
  ]);
});
