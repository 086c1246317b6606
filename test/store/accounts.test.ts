// What both databases keep of NovelAI accounts: sealed credentials, and nothing of them in plain text.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  AccountError,
  AccountRepository,
  type AccountErrorCode,
  type NewAccount,
} from '../../src/accounts/account-repository.ts';
import { openSecretBox } from '../../src/store/secret-box.ts';
import type { Store } from '../../src/store/store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { onBothEngines } from './engines.ts';

const LOGIN: NewAccount = {
  name: 'main',
  email: 'owner@example.org',
  password: 'made-up passphrase',
  proxyUrl: 'socks5://proxyuser:proxypass@127.0.0.1:1080',
};

let dataDir: string;
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proxy-accounts-'));
});
after(() => rm(dataDir, { recursive: true, force: true }));

async function repositoryOn(store: Store, secretKey = 'made-up key', previousSecretKeys: string[] = []) {
  const secretBox = await openSecretBox({ store, dataDir, secretKey, previousSecretKeys });
  return new AccountRepository({ store, secretBox, clock: new FakeClock(), environmentNames: ['account-1'] });
}

function isAccountError(code: AccountErrorCode, says = /./) {
  return (error: unknown) => error instanceof AccountError && error.code === code && says.test(error.message);
}

onBothEngines('accounts', (database) => {
  test('a new account, as the pool takes it, also after a restart', async () => {
    const { store, open } = await database.openEmpty();
    const repository = await repositoryOn(store);
    await repository.add(LOGIN);
    await repository.add({ name: 'token', token: 'pst-made-up', concurrency: 2 });
    await store.close();
    const accounts = await (await repositoryOn(await open())).list();
    const byName = Object.fromEntries(accounts.map((account) => [account.name, account]));
    assert.deepEqual(byName['main']?.config, {
      name: 'main',
      login: { email: 'owner@example.org', password: 'made-up passphrase' },
      token: undefined,
      proxyUrl: LOGIN.proxyUrl,
      concurrency: 1,
    });
    assert.deepEqual(byName['token']?.config, {
      name: 'token',
      login: undefined,
      token: 'pst-made-up',
      proxyUrl: undefined,
      concurrency: 2,
    });
    assert.ok(accounts.every(({ isEnabled, fault }) => isEnabled && fault === undefined));
  });

  test('the row, holds nothing of the credentials in plain text', async () => {
    const { store } = await database.openEmpty();
    await (await repositoryOn(store)).add(LOGIN);
    const rows = await store.read((db) => db.selectFrom('accounts').selectAll().execute());
    const text = JSON.stringify(rows);
    for (const secret of ['owner', 'example.org', 'passphrase', 'proxyuser', 'proxypass', 'made-up'])
      assert.ok(!text.includes(secret), secret);
    assert.match(text, /sealed1\./);
  });

  test('credentials moved to another row, do not open there, and the others still do', async () => {
    const { store } = await database.openEmpty();
    const repository = await repositoryOn(store);
    await repository.add(LOGIN);
    await repository.add({ name: 'second', token: 'pst-made-up' });
    await store.write(async (tx) => {
      const { credentials } = await tx
        .selectFrom('accounts')
        .select('credentials')
        .where('name', '=', 'main')
        .executeTakeFirstOrThrow();
      await tx.updateTable('accounts').set({ credentials }).where('name', '=', 'second').execute();
    });
    const second = await repository.get('second');
    assert.equal(second.config, undefined);
    assert.match(second.fault ?? '', /changed or belongs elsewhere/);
    assert.ok((await repository.get('main')).config);
  });

  test('switched off, on and removed', async () => {
    const { store } = await database.openEmpty();
    const repository = await repositoryOn(store);
    await repository.add(LOGIN);
    assert.equal((await repository.setEnabled('main', false)).isEnabled, false);
    assert.equal((await repository.get('main')).isEnabled, false);
    assert.equal((await repository.setEnabled('main', true)).isEnabled, true);
    await repository.remove('main');
    assert.deepEqual(await repository.list(), []);
    await assert.rejects(repository.remove('main'), isAccountError('not_found', /account list/));
    await assert.rejects(repository.setEnabled('account-1', false), isAccountError('not_found', /\.env/));
  });

  test('bad accounts, refused by name and without their secrets', async () => {
    const { store } = await database.openEmpty();
    const repository = await repositoryOn(store);
    await repository.add(LOGIN);
    await assert.rejects(repository.add(LOGIN), isAccountError('name_taken'));
    await assert.rejects(repository.add({ name: 'account-1', token: 'x' }), isAccountError('name_taken', /\.env/));
    const faults: [NewAccount, RegExp][] = [
      [{ name: 'x' }, /or a token/],
      [{ name: 'x', email: 'a@example.org' }, /together/],
      [{ name: 'x', password: 'secretpass' }, /together/],
      [{ name: 'x', token: 'secret token' }, /token: expected/],
      [{ name: 'x', token: 't', proxyUrl: 'ftp://secretpass@x' }, /proxyUrl: expected/],
      [{ name: 'x', token: 't', concurrency: 0 }, /concurrency/],
      [{ name: ' ', token: 't' }, /name/],
      [{ name: 'a\nb', token: 't' }, /name: expected printable/],
    ];
    for (const [account, says] of faults)
      await assert.rejects(repository.add(account), (error: unknown) => {
        assert.ok(isAccountError('invalid', says)(error), String(error));
        assert.ok(!String(error).includes('secret'), String(error));
        return true;
      });
    assert.equal((await repository.list()).length, 1);
  });

  test('a new key, everything is sealed anew with it and the old one is needed no more', async () => {
    const { store } = await database.openEmpty();
    await (await repositoryOn(store, 'old key')).add(LOGIN);
    const rotated = await repositoryOn(store, 'new key', ['old key']);
    assert.equal(await rotated.resealAll(), 1);
    assert.equal(await rotated.resealAll(), 0);
    const [account] = await (await repositoryOn(store, 'new key')).list();
    assert.equal(account?.config?.login?.password, LOGIN.password);
  });
});
