// Encrypts credentials at rest, and notices a wrong key before anything is read or written with it.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, scrypt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from './store.ts';

/** Sealed values begin with this; a later form gets another number. */
const FORM = 'sealed1';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const CHECK_TEXT = 'the key is right';
const CHECK_CONTEXT = 'secret_keys.check_value';

export interface SecretBoxOptions {
  store: Store;
  dataDir: string;
  /** SECRET_KEY; without it the key is made once and kept in the data folder, as `secret.key`. */
  secretKey?: string | undefined;
  /** Keys used before. With these, and the key file, a new SECRET_KEY takes over; what was sealed before stays readable. */
  previousSecretKeys?: readonly string[] | undefined;
}

/** The key is missing or wrong, or a sealed value was changed or moved. The message is one sentence without secrets. */
export class SecretBoxError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SecretBoxError';
  }
}

/** Seals and opens short texts with AES-256-GCM. */
export class SecretBox {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #currentId: string;

  constructor(keys: ReadonlyMap<string, Buffer>, currentId: string) {
    this.#keys = keys;
    this.#currentId = currentId;
  }

  /** Gives the sealed form of a text. `context` says whose it is (`account/main/password`); it opens only with the same one. */
  seal(text: string, context: string): string {
    const key = this.#keys.get(this.#currentId);
    if (!key) throw new SecretBoxError(`The key ${this.#currentId} is not at hand.`);
    return sealWith({ id: this.#currentId, key }, text, context);
  }

  /** @throws {SecretBoxError} when it was sealed with a key that is not at hand, for another context, or was changed. */
  open(sealed: string, context: string): string {
    const keyId = keyIdOf(sealed);
    const key = this.#keys.get(keyId);
    if (!key)
      throw new SecretBoxError(`A secret was sealed with the key ${keyId}, which is not at hand; give that key too.`);
    return openWith({ id: keyId, key }, sealed, context);
  }

  /** Gives a key for another purpose than sealing, from which this one cannot be told. Another one with each new SECRET_KEY. */
  subkey(purpose: string): Buffer {
    const key = this.#keys.get(this.#currentId);
    if (!key) throw new SecretBoxError(`The key ${this.#currentId} is not at hand.`);
    return createHmac('sha256', key).update(purpose).digest();
  }

  /** Whether the value should be sealed anew, because a newer key has taken over. */
  isOutdated(sealed: string): boolean {
    return keyIdOf(sealed) !== this.#currentId;
  }
}

interface Key {
  id: string;
  key: Buffer;
}

function sealWith({ id, key }: Key, text: string, context: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(`${FORM}/${id}/${context}`));
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return `${FORM}.${id}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`;
}

function openWith({ id, key }: Key, sealed: string, context: string): string {
  const bytes = Buffer.from(sealed.split('.')[2] ?? '', 'base64url');
  try {
    // A shorter tag, of a value that was cut off, must not count.
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), options);
    decipher.setAAD(Buffer.from(`${FORM}/${id}/${context}`));
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new SecretBoxError(`The sealed value of ${context} was changed or belongs elsewhere.`, cause);
  }
}

function keyIdOf(sealed: string): string {
  const [form, keyId, body] = sealed.split('.');
  if (form !== FORM || !keyId || !body) throw new SecretBoxError('Expected a sealed value, got something else.');
  return keyId;
}

/** A key as the database knows it. */
interface KeyRow {
  id: string;
  salt: string;
  check_value: string;
  is_current: number;
}

/**
 * Finds or makes the key and checks it against what the database was encrypted with. A SECRET_KEY that is new takes over when
 * one of the previous keys is given along, or still lies in the data folder.
 * @throws {SecretBoxError} when the key is not the right one; nothing was changed then.
 */
export async function openSecretBox(options: SecretBoxOptions): Promise<SecretBox> {
  const { store, dataDir, secretKey, previousSecretKeys = [] } = options;
  for (;;) {
    const rows = await readRows(store);
    const keyFile = join(dataDir, 'secret.key');
    const fromFile = existsSync(keyFile) ? readFileSync(keyFile, 'utf8').trim() : undefined;
    const mayMakeFile = rows.length === 0 && secretKey === undefined;
    const primary = secretKey ?? fromFile ?? (mayMakeFile ? await makeKeyFile(dataDir, keyFile) : undefined);
    const older = [...previousSecretKeys, ...(fromFile === undefined || primary === fromFile ? [] : [fromFile])];

    const keys = new Map<string, Buffer>();
    for (const row of rows)
      for (const material of [...(primary === undefined ? [] : [primary]), ...older])
        if (!keys.has(row.id)) {
          const key = await derive(material, row.salt);
          if (isKeyOf(row, key)) keys.set(row.id, key);
        }
    const current = rows.find((row) => row.is_current === 1);
    if (current && !keys.has(current.id)) throw wrongKey(secretKey, keyFile);
    if (current && primary !== undefined && isKeyOf(current, await derive(primary, current.salt)))
      return new SecretBox(keys, current.id);
    if (primary === undefined) throw wrongKey(secretKey, keyFile);

    const id = `k${rows.length + 1}`;
    const salt = randomBytes(16).toString('base64url');
    const key = await derive(primary, salt);
    const row = { id, salt, check_value: sealWith({ id, key }, CHECK_TEXT, CHECK_CONTEXT), is_current: 1 };
    // Another instance may have been first; then its key counts, and this one is checked against it.
    if (await addRow(store, row, rows.length)) return new SecretBox(keys.set(id, key), id);
  }
}

function readRows(store: Store): Promise<KeyRow[]> {
  return store.read((db) =>
    db.selectFrom('secret_keys').select(['id', 'salt', 'check_value', 'is_current']).orderBy('id').execute(),
  );
}

function addRow(store: Store, row: KeyRow, expectedRows: number): Promise<boolean> {
  return store.write(async (tx) => {
    await store.lock(tx, 'secret_keys');
    const known = await tx.selectFrom('secret_keys').select('id').execute();
    if (known.length !== expectedRows) return false;
    await tx.updateTable('secret_keys').set({ is_current: 0 }).execute();
    await tx
      .insertInto('secret_keys')
      .values({ ...row, created_at_ms: Date.now() })
      .execute();
    return true;
  });
}

function isKeyOf({ id, check_value }: KeyRow, key: Buffer): boolean {
  try {
    return openWith({ id, key }, check_value, CHECK_CONTEXT) === CHECK_TEXT;
  } catch {
    return false;
  }
}

/** Slow on purpose (about 50 ms), since SECRET_KEY may be a word that a person chose. */
function derive(material: string, salt: string): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    scrypt(material, salt, KEY_BYTES, (error, key) => (error ? reject(error) : resolve(key))),
  );
}

/** Makes the key file, on the disk before anything is sealed with it. */
async function makeKeyFile(dataDir: string, path: string): Promise<string> {
  const material = randomBytes(KEY_BYTES).toString('base64url');
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(`${material}\n`);
    await file.sync();
    await syncFolder(dataDir);
    return material;
  } catch (cause) {
    throw new SecretBoxError(
      `The key file ${path} cannot be written; mend the rights of its folder or set SECRET_KEY.`,
      cause,
    );
  }
}

/** The file's name is on the disk only when its folder is; Windows has no such call, and needs none. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using folder = await open(path, 'r');
  await folder.sync();
}

function wrongKey(secretKey: string | undefined, keyFile: string): SecretBoxError {
  return new SecretBoxError(
    secretKey === undefined
      ? `The key in ${keyFile} is missing or is not the one that the credentials in the database were encrypted with; put that file back, or set SECRET_KEY. Nothing was changed.`
      : 'SECRET_KEY is not the key that the credentials in the database were encrypted with; set that one. Nothing was changed.',
  );
}
