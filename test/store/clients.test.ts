// What both databases keep of clients: tokens only as digests, changes seen by a running service.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_SETTINGS } from '../../src/clients/client.ts';
import { ClientError, type ClientErrorCode } from '../../src/clients/client-error.ts';
import { ClientRegistry } from '../../src/clients/client-registry.ts';
import { ClientRepository } from '../../src/clients/client-repository.ts';
import { watchClients } from '../../src/clients/watch-clients.ts';
import type { Store } from '../../src/store/store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { onBothEngines } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';

function repositoryOn(store: Store, clock = new FakeClock()): ClientRepository {
  return new ClientRepository({ store, clock, environmentNames: ['of .env'] });
}

function isClientError(code: ClientErrorCode) {
  return (error: unknown) => error instanceof ClientError && error.code === code;
}

const SETTINGS = {
  expiresAtMs: Date.UTC(2027, 0, 1),
  endpoints: ['generate-image', 'upscale'],
  dialects: ['native'],
  weight: 2.5,
  band: 'batch',
  maxQueued: 0,
  maxInFlight: 1,
  maxWaitMs: 90_000,
  requestsPerMinute: 30,
  anlasPerDay: 100,
  anlasPerMonth: 1000,
  anlasTotal: 5000,
  imagesPerDay: 0,
  freeOnly: 'clamp',
} as const;

onBothEngines('clients', (database) => {
  test('a new client, every setting comes back as it was given', async () => {
    const { store, open } = await database.openEmpty();
    const { client, token } = await repositoryOn(store).add(' Bot ', SETTINGS);
    assert.match(token, /^pst-[A-Za-z0-9]{64}$/);
    assert.equal(client.name, 'Bot');
    const plain = await repositoryOn(store).add('Plain');
    await store.close();
    const again = repositoryOn(await open());
    assert.deepEqual(await again.get('Bot'), client);
    const { id, name, origin, tokenDigest, loginDigests, createdAtMs, rotatedAtMs, revokedAtMs, ...settings } = client;
    assert.equal(new Set(loginDigests).size, 2, 'with the name as it is, and in lower case');
    assert.deepEqual(settings, SETTINGS);
    assert.deepEqual([name, origin, rotatedAtMs, revokedAtMs], ['Bot', 'database', null, null]);
    assert.deepEqual(await again.get(id), client, 'by its id too');
    assert.deepEqual(await again.get('Plain'), { ...plain.client, ...DEFAULT_SETTINGS });
    assert.ok(createdAtMs > 0 && tokenDigest !== plain.client.tokenDigest);
    assert.deepEqual(new Set((await again.list()).map((listed) => listed.name)), new Set(['Bot', 'Plain']));
  });

  test('a name twice, or one of SERVER_TOKENS: refused, and nothing stored', async () => {
    const { store } = await database.openEmpty();
    const repository = repositoryOn(store);
    const added = await Promise.allSettled(Array.from({ length: 10 }, () => repository.add('Bot')));
    assert.equal(added.filter(({ status }) => status === 'fulfilled').length, 1, 'of ten at once, one');
    await assert.rejects(repository.add('of .env'), isClientError('name_taken'));
    await assert.rejects(repository.edit('Bot', { name: 'of .env' }), isClientError('name_taken'));
    await repository.add('Other');
    await assert.rejects(repository.edit('Other', { name: 'Bot' }), isClientError('name_taken'));
    await assert.rejects(repository.edit('of .env', { weight: 2 }), /\.env/);
    await assert.rejects(repository.get('nobody'), isClientError('not_found'));
    await assert.rejects(repository.add('Bad', { weight: -1 }), isClientError('invalid'));
    assert.equal((await repository.list()).length, 2);
  });

  test('an edit, changes what it names and leaves the rest', async () => {
    const { store } = await database.openEmpty();
    const repository = repositoryOn(store);
    const { client } = await repository.add('Bot', SETTINGS);
    const edited = await repository.edit('Bot', { name: 'Robot', anlasPerDay: null, endpoints: null });
    assert.deepEqual(edited, { ...client, name: 'Robot', anlasPerDay: null, endpoints: null });
    assert.deepEqual(await repository.get('Robot'), edited);
    assert.deepEqual(await repository.edit('Robot', {}), edited);
    assert.deepEqual(await repository.edit('Robot', { name: 'Robot' }), edited);
    await assert.rejects(repository.edit('Robot', { tokenDigest: 'x' }), isClientError('invalid'));
  });

  test('revoked is for good, rotated is a new token', async () => {
    const { store } = await database.openEmpty();
    const clock = new FakeClock();
    const repository = repositoryOn(store, clock);
    const first = await repository.add('Bot');
    clock.stepWall(1000);
    const second = await repository.rotate('Bot');
    assert.notEqual(second.token, first.token);
    assert.deepEqual(second.client, {
      ...first.client,
      tokenDigest: second.client.tokenDigest,
      loginDigests: second.client.loginDigests,
      rotatedAtMs: clock.wallMs(),
    });
    assert.ok(first.client.loginDigests.every((digest) => !second.client.loginDigests.includes(digest)));
    const revoked = await repository.revoke('Bot');
    assert.equal(revoked.revokedAtMs, clock.wallMs());
    clock.stepWall(1000);
    assert.deepEqual(await repository.revoke('Bot'), revoked, 'the first time counts');
    await assert.rejects(repository.rotate('Bot'), isClientError('revoked'));
  });

  test('a running service, sees every change within a second, also through another connection', async (t) => {
    const { store } = await database.openEmpty();
    const clock = new FakeClock();
    const repository = repositoryOn(store, clock);
    const registry = new ClientRegistry([], { wallMs: () => clock.wallMs() });
    let changes = 0;
    const watch = watchClients({ store, clock, keepers: [registry], repository, onChange: () => void (changes += 1) });
    t.after(() => watch.close());
    const { token } = await repository.add('Bot');
    await watch.look();
    assert.equal(registry.find(token)?.name, 'Bot');
    await watch.look();
    assert.equal(changes, 1, 'nothing new, nothing read');

    // What the command line does, with a connection of its own beside the service's.
    const rotated = await repositoryOn(store, clock).rotate('Bot');
    assert.ok((clock.nextTimerMs ?? Infinity) <= 1000);
    await watch.look();
    assert.equal(registry.find(token), undefined);
    assert.equal(registry.find(rotated.token)?.name, 'Bot');
    await repository.revoke('Bot');
    await watch.look();
    assert.equal(registry.identify(rotated.token).refusal, 'revoked');
  });

  test('an outage, what is known stays known, and what was missed is seen afterwards', async (t) => {
    const { store } = await database.openEmpty();
    const broken = new FaultyStore(store);
    const clock = new FakeClock();
    const repository = repositoryOn(store, clock);
    const registry = new ClientRegistry([]);
    const { token } = await repository.add('Bot');
    let isDown = false;
    let failures = 0;
    const watch = watchClients({
      store: broken,
      clock,
      keepers: [registry],
      repository: {
        list: () => (isDown ? Promise.reject(new Error('outage')) : repository.list()),
      },
      onFailure: () => void (failures += 1),
    });
    t.after(() => watch.close());
    await watch.look();
    isDown = true;
    await repository.revoke('Bot');
    await watch.look();
    assert.deepEqual([registry.find(token)?.name, failures], ['Bot', 1]);
    isDown = false;
    await watch.look();
    assert.equal(registry.find(token), undefined, 'the change that could not be read was not forgotten');
  });
});
