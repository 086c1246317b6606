// Tests that clients and accounts can be changed by the command line, in a process of its own, while a service holds the database.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ClientRegistry } from '../../../src/clients/client-registry.ts';
import { ClientRepository } from '../../../src/clients/client-repository.ts';
import { watchClients } from '../../../src/clients/watch-clients.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { NO_LIMITS } from '../../../src/ledger/budgets.ts';
import { Ledger } from '../../../src/ledger/ledger.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { StoreOpenError } from '../../../src/store/store-error.ts';

const SCRIPT = fileURLToPath(new URL('command-process.ts', import.meta.url));

async function command(dataDir: string, args: readonly string[], input = '') {
  const child = spawn(process.execPath, [SCRIPT, dataDir, ...args], { stdio: 'pipe' });
  child.stdin.end(input);
  const exited = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  const [out, err, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { out, err, exitCode };
}

async function folder(t: TestContext): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'proxy-beside-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

test('beside a service that writes all the time: every command succeeds, no write of the service fails, each change is seen', async (t) => {
  const dataDir = await folder(t);
  const store = await openStore({ dataDir });
  t.after(() => store.close());
  const ledger = await Ledger.open({ store, clock: systemClock });
  const registry = new ClientRegistry([]);
  const repository = new ClientRepository({ store, clock: systemClock });
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);
  const watch = watchClients({ store, clock: systemClock, keepers: [registry], repository, onFailure });
  await watch.look();

  const service = { isOver: false, written: 0 };
  const working = (async () => {
    while (!service.isOver) {
      const requestId = `r${service.written}`;
      const limits = NO_LIMITS;
      await ledger.reserve({
        requestId,
        clientId: 'c',
        clientName: 'c',
        endpoint: 'e',
        costAnlas: 1,
        images: 1,
        limits,
      });
      await ledger.markSent(requestId, { account: 'main', quotedAnlas: 1, limits });
      await ledger.settle(requestId, { outcome: 'succeeded', chargedAnlas: 1 });
      service.written += 1;
    }
  })();
  const added = await Promise.all([
    command(dataDir, ['client', 'add', 'one', '--json']),
    command(dataDir, ['client', 'add', 'two', '--json']),
    command(dataDir, ['account', 'add', 'main', '--no-test'], 'pst-made-up-too\n'),
  ]);
  const revoked = await command(dataDir, ['client', 'revoke', 'two']);
  await Promise.all([working, Promise.resolve().then(() => (service.isOver = true))]);
  for (const { exitCode, err } of [...added, revoked]) assert.equal(exitCode, 0, err);
  assert.ok(service.written > 20, `the service wrote ${service.written} times meanwhile`);

  const [one, two] = added.slice(0, 2).map(({ out }) => (JSON.parse(out) as { token: string }).token);
  for (let tries = 0; registry.identify(two ?? '').refusal !== 'revoked' && tries < 300; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  watch.close();
  assert.equal(registry.find(one ?? '')?.name, 'one');
  assert.equal(registry.identify(two ?? '').refusal, 'revoked');
  assert.deepEqual(failures, []);
  assert.deepEqual(await ledger.verify(), []);
});

test('without a service: the command makes the database, and a service can start on it', async (t) => {
  const dataDir = await folder(t);
  const { exitCode, err } = await command(dataDir, ['client', 'add', 'early']);
  assert.equal(exitCode, 0, err);
  const store = await openStore({ dataDir });
  t.after(() => store.close());
  assert.equal((await new ClientRepository({ store, clock: systemClock }).list())[0]?.name, 'early');
  await assert.rejects(
    openStore({ dataDir }),
    (error) => error instanceof StoreOpenError && /in use by another/.test(error.message),
  );
});

test('a database that cannot be opened: one line, no stack', async (t) => {
  const dataDir = await folder(t);
  const { out, err, exitCode } = await command(join('/dev/null', dataDir), ['client', 'list']);
  assert.equal(exitCode, 1);
  assert.equal(out, '');
  assert.match(err, /^The database file [^\n]* cannot be made; [^\n]*\n$/);
});
