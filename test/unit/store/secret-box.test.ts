// Credentials at rest: unreadable without the key, and a wrong key is noticed before it does harm.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openSecretBox, SecretBoxError, type SecretBoxOptions } from '../../../src/store/secret-box.ts';
import { openStore } from '../../../src/store/open-store.ts';
import type { Store } from '../../../src/store/store.ts';

let folder = '';
let store: Store;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'proxy-secrets-'));
  store = await openStore({ dataDir: folder });
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Partial<SecretBoxOptions> = {}) {
  return openSecretBox({ store, dataDir: folder, ...options });
}

function keyRows() {
  return store.read((db) => db.selectFrom('secret_keys').selectAll().orderBy('id').execute());
}

test('a sealed text, opens to the same text, and never looks the same twice', async () => {
  const box = await open();
  for (const text of ['', 'pässwörd 🔑', 'x'.repeat(10_000)]) assert.equal(box.open(box.seal(text, 'c'), 'c'), text);
  assert.notEqual(box.seal('same', 'c'), box.seal('same', 'c'));
});

test('a sealed text that was changed anywhere, or moved elsewhere, does not open', async () => {
  const box = await open();
  const sealed = box.seal('secret of one account', 'account/one');
  assert.throws(() => box.open(sealed, 'account/two'), SecretBoxError);
  const [form, id, body = ''] = sealed.split('.');
  const bytes = Buffer.from(body, 'base64url');
  for (let index = 0; index < bytes.length; index += 1) {
    const changed = Buffer.from(bytes);
    changed[index] = (changed[index] ?? 0) ^ 1;
    assert.throws(() => box.open(`${form}.${id}.${changed.toString('base64url')}`, 'account/one'), SecretBoxError);
  }
  assert.throws(
    () => box.open(`${form}.${id}.${bytes.subarray(0, 20).toString('base64url')}`, 'account/one'),
    SecretBoxError,
  );
  for (const odd of ['plain text', '', 'sealed1.k1', `sealed1.k9.${body}`])
    assert.throws(() => box.open(odd, 'account/one'), SecretBoxError, odd);
});

test('without SECRET_KEY, a key file is made once, readable by its owner only, and used again', async () => {
  const sealed = (await open()).seal('text', 'c');
  const keyFile = join(folder, 'secret.key');
  if (process.platform !== 'win32') assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  const content = readFileSync(keyFile, 'utf8');
  assert.equal((await open()).open(sealed, 'c'), 'text');
  assert.equal(readFileSync(keyFile, 'utf8'), content);
});

test('a wrong key, refused with one sentence, and nothing is changed', async () => {
  await open({ secretKey: 'the right one' });
  const before = { rows: await keyRows(), files: readdirSync(folder) };
  await assert.rejects(open({ secretKey: 'a wrong one' }), (error) => {
    assert.ok(error instanceof SecretBoxError);
    assert.match(error.message, /SECRET_KEY is not the key/);
    assert.doesNotMatch(error.message, /a wrong one|the right one/);
    return true;
  });
  await assert.rejects(open(), /missing or is not the one/, 'no key at all');
  assert.deepEqual({ rows: await keyRows(), files: readdirSync(folder) }, before, 'no new key file, no new key');
  await open({ secretKey: 'the right one' });
});

test('a lost key file, refused instead of replaced', async () => {
  await open();
  renameSync(join(folder, 'secret.key'), join(folder, 'elsewhere'));
  await assert.rejects(open(), /missing or is not the one/);
  renameSync(join(folder, 'elsewhere'), join(folder, 'secret.key'));
  await open();
});

test('a new key with the old one beside it, takes over; old values stay readable and are known as outdated', async () => {
  const old = await open({ secretKey: 'old' });
  const sealed = old.seal('text', 'c');
  const rotated = await open({ secretKey: 'new', previousSecretKeys: ['something else', 'old'] });
  assert.equal(rotated.open(sealed, 'c'), 'text');
  assert.equal(rotated.isOutdated(sealed), true);
  const anew = rotated.seal('text', 'c');
  assert.equal(rotated.isOutdated(anew), false);
  // Once everything is sealed anew, the old key is no longer needed, and no longer enough.
  assert.equal((await open({ secretKey: 'new' })).open(anew, 'c'), 'text');
  await assert.rejects(open({ secretKey: 'old' }), SecretBoxError);
  const withoutOld = await open({ secretKey: 'new' });
  assert.throws(() => withoutOld.open(sealed, 'c'), /k1, which is not at hand/);
});

test('SECRET_KEY set where there was a key file, takes over from it', async () => {
  const sealed = (await open()).seal('text', 'c');
  const box = await open({ secretKey: 'new' });
  assert.equal(box.open(sealed, 'c'), 'text');
  assert.equal(box.isOutdated(sealed), true);
});

test('the files on the disk, hold neither the text nor the key', async () => {
  const secretKey = 'a-key-that-would-be-found';
  const box = await open({ secretKey });
  const sealed = box.seal('a-password-that-would-be-found', 'c');
  await store.write((tx) =>
    tx
      .insertInto('secret_keys')
      .values({ id: 'probe', salt: sealed, check_value: 'a-plain-text-that-is-found', is_current: 0, created_at_ms: 0 })
      .execute(),
  );
  await store.close();
  const bytes = readFileSync(join(folder, 'proxy.db')).toString('latin1');
  assert.ok(bytes.includes('a-plain-text-that-is-found'), 'the search finds what is there');
  assert.ok(!bytes.includes('a-password-that-would-be-found'));
  assert.ok(!bytes.includes(secretKey));
});
