// Tests what an operator may set for a client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_SETTINGS } from '../../../src/clients/client.ts';
import { ClientError } from '../../../src/clients/client-error.ts';
import { readClientChanges, readClientName } from '../../../src/clients/client-settings.ts';
import { queuePolicy } from '../../../src/clients/queue-policy.ts';
import { scopeRefusal } from '../../../src/clients/scopes.ts';

test('client settings, sound ones pass as they are', () => {
  assert.deepEqual(readClientChanges({}), {});
  assert.deepEqual(readClientChanges({ ...DEFAULT_SETTINGS }), DEFAULT_SETTINGS);
  const changes = {
    endpoints: ['generate-image', 'user-subscription'],
    dialects: ['native', 'mcp'],
    weight: 0.5,
    anlasPerDay: 0,
  };
  assert.deepEqual(readClientChanges(changes), changes);
});

test('client settings, every fault is told at once', () => {
  const bad = {
    weight: 0,
    anlasPerDay: -1,
    maxInFlight: 0,
    freeOnly: 'maybe',
    endpoints: ['generate-imgae'],
    dialects: [],
    color: 1,
  };
  assert.throws(
    () => readClientChanges(bad),
    (error: unknown) => {
      assert.ok(error instanceof ClientError && error.code === 'invalid');
      for (const name of ['weight', 'anlasPerDay', 'maxInFlight', 'freeOnly', 'endpoints', 'dialects', 'color'])
        assert.match(error.message, new RegExp(name));
      assert.match(error.message, /got "generate-imgae"/);
      return true;
    },
  );
});

for (const [what, changes] of [
  ['a fraction of an Anlas', { anlasPerDay: 1.5 }],
  ['no number', { anlasPerDay: '5' }],
  ['NaN', { weight: Number.NaN }],
  ['infinity', { weight: Number.POSITIVE_INFINITY }],
  ['an endpoint refused to everybody', { endpoints: ['user-keystore'] }],
  ['a time no calendar has', { expiresAtMs: 1e16 }],
  ['no object', 'weight'],
] as const)
  test(`client settings, ${what} is refused`, () => {
    assert.throws(() => readClientChanges(changes), ClientError);
  });

test('client name, printable and not too long', () => {
  assert.equal(readClientName('  SillyTavern on the left screen '), 'SillyTavern on the left screen');
  assert.equal(readClientName('ぼっと'), 'ぼっと');
  for (const name of ['', '   ', 'a\nb', 'a\u0000b', 'x'.repeat(65)])
    assert.throws(() => readClientName(name), ClientError);
});

test('queue policy, null is the service’s own limit or none', () => {
  assert.deepEqual(queuePolicy(DEFAULT_SETTINGS, { maxQueued: 7 }), {
    weight: 1,
    maxQueued: 7,
    maxInFlight: Number.POSITIVE_INFINITY,
  });
  assert.deepEqual(queuePolicy({ weight: 2, maxQueued: 0, maxInFlight: 1 }, { maxQueued: 7 }), {
    weight: 2,
    maxQueued: 0,
    maxInFlight: 1,
  });
});

test('scopes, only what is listed, and everything when nothing is', () => {
  const request = { endpointId: 'upscale', dialect: 'native' } as const;
  assert.equal(scopeRefusal(DEFAULT_SETTINGS, request), undefined);
  assert.equal(scopeRefusal({ endpoints: ['upscale'], dialects: ['native'] }, request), undefined);
  assert.match(
    scopeRefusal({ endpoints: ['generate-image'], dialects: null }, request) ?? '',
    /may not use upscale; .*generate-image/,
  );
  assert.match(scopeRefusal({ endpoints: null, dialects: ['mcp'] }, request) ?? '', /native interface; .*mcp/);
});
