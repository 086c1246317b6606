// Tests how clients are found by their tokens, and when they are not.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { DEFAULT_SETTINGS, type StoredClient } from '../../../src/clients/client.ts';
import { ClientRegistry } from '../../../src/clients/client-registry.ts';
import { tokenDigest } from '../../../src/clients/token-digest.ts';
import { newClientToken } from '../../../src/lib/random-text.ts';

function stored(name: string, token: string, changes: Partial<StoredClient> = {}): StoredClient {
  return {
    ...DEFAULT_SETTINGS,
    id: `c-${name}`,
    name,
    origin: 'database',
    tokenDigest: tokenDigest(token),
    loginDigests: [],
    createdAtMs: 0,
    rotatedAtMs: null,
    revokedAtMs: null,
    ...changes,
  };
}

test('client registry, finds clients of the environment and of the database', () => {
  const tokens = [newClientToken(), newClientToken()] as const;
  const registry = new ClientRegistry([{ name: 'bot', token: tokens[0] }]);
  assert.deepEqual(registry.find(tokens[0]), {
    ...DEFAULT_SETTINGS,
    id: 'env:bot',
    name: 'bot',
    origin: 'environment',
  });
  assert.equal(registry.find(tokens[1]), undefined);
  registry.replaceStored([stored('page', tokens[1], { weight: 3 })]);
  assert.equal(registry.find(tokens[1])?.weight, 3);
  assert.deepEqual(
    registry.clients.map(({ name }) => name),
    ['bot', 'page'],
  );
  registry.replaceStored([]);
  assert.equal(registry.find(tokens[1]), undefined, 'gone from the database, gone from memory');
  assert.equal(registry.find(tokens[0])?.name, 'bot');
});

test('client registry, a client that may only have what is free has nothing to spend', () => {
  const registry = new ClientRegistry([]);
  const tokens = { off: newClientToken(), reject: newClientToken(), clamp: newClientToken() };
  registry.replaceStored(
    (['off', 'reject', 'clamp'] as const).map((freeOnly) =>
      stored(freeOnly, tokens[freeOnly], { freeOnly, anlasPerDay: 50 }),
    ),
  );
  assert.deepEqual(
    registry.clients.map(({ freeOnly, anlasPerDay }) => [freeOnly, anlasPerDay]),
    [
      ['off', 50],
      ['reject', 0],
      ['clamp', 0],
    ],
  );
});

test('client registry, near misses are not found', () => {
  const token = newClientToken();
  const registry = new ClientRegistry([{ name: 'bot', token }]);
  for (const wrong of [
    '',
    token.slice(1),
    `${token} `,
    token.toLowerCase(),
    tokenDigest(token),
    'constructor',
    '__proto__',
  ])
    assert.deepEqual(registry.identify(wrong), { refusal: 'unknown', why: 'No client has this token.' });
});

test('client registry, an expired token is refused from the very millisecond on', () => {
  const token = newClientToken();
  let nowMs = Date.UTC(2026, 10, 24);
  const registry = new ClientRegistry([], { wallMs: () => nowMs });
  registry.replaceStored([stored('trial', token, { expiresAtMs: nowMs + 1 })]);
  assert.ok(registry.find(token));
  nowMs += 1;
  assert.equal(registry.find(token), undefined);
  const found = registry.identify(token);
  assert.ok(found.refusal === 'expired');
  assert.equal(found.why, 'The token of "trial" expired on 2026-11-24 00:00.');
  assert.equal(found.client?.name, 'trial');
});

test('client registry, a revoked token is refused and its client is not listed', () => {
  const token = newClientToken();
  const registry = new ClientRegistry([]);
  registry.replaceStored([stored('lost phone', token, { revokedAtMs: Date.UTC(2026, 10, 1, 12) })]);
  const found = registry.identify(token);
  assert.ok(found.refusal === 'revoked');
  assert.match(found.why, /"lost phone" was revoked on 2026-11-01 12:00/);
  assert.deepEqual(registry.clients, []);
});

test('client registry, holds no token and gives no digest away', () => {
  const token = newClientToken();
  const registry = new ClientRegistry([{ name: 'bot', token }]);
  registry.replaceStored([stored('page', newClientToken())]);
  assert.ok(!inspect(registry, { depth: 10, showHidden: true }).includes(token));
  assert.ok(!JSON.stringify(registry.clients).includes('igest'));
});
