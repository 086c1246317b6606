// The NovelAI accounts that are kept in the database: added, switched and removed here, their credentials only ever sealed.
import * as z from 'zod';
import type { AccountConfig } from '../config/config.ts';
import { EXPECTED_PROXY_URL, isProxyUrl } from '../config/proxy-url.ts';
import type { Clock } from '../lib/clock.ts';
import { randomAlphanumerics } from '../lib/random-text.ts';
import { bumpRevision } from '../store/revisions.ts';
import { SecretBoxError, type SecretBox } from '../store/secret-box.ts';
import type { Queries, Store } from '../store/store.ts';
import { registerSecret } from '../telemetry/hide-secrets.ts';

export type AccountErrorCode = 'not_found' | 'name_taken' | 'invalid';

/** What an operator asked wrongly; the message is one sentence for that person, without secrets. */
export class AccountError extends Error {
  readonly code: AccountErrorCode;

  constructor(code: AccountErrorCode, message: string) {
    super(message);
    this.name = 'AccountError';
    this.code = code;
  }
}

/** Either a login or a token; both where a token is to be used until it is refused. */
export interface NewAccount {
  name: string;
  email?: string | undefined;
  password?: string | undefined;
  token?: string | undefined;
  /** `http://`, `https://` or `socks5://`. */
  proxyUrl?: string | undefined;
  /** Generations at once; NovelAI allows 1. */
  concurrency?: number | undefined;
}

/** An account as the database keeps it. Holds secrets: not for logs or pages. */
export interface StoredAccount {
  id: string;
  name: string;
  isEnabled: boolean;
  createdAtMs: number;
  /** As the pool takes it; absent when its credentials cannot be opened. */
  config?: AccountConfig | undefined;
  /** Why its credentials cannot be opened. */
  fault?: string | undefined;
}

export interface AccountRepositoryOptions {
  store: Store;
  secretBox: SecretBox;
  clock: Pick<Clock, 'wallMs'>;
  /** Names that the environment gives to its accounts: not to be given twice, and not to be changed here. */
  environmentNames?: readonly string[];
}

interface AccountRow {
  id: string;
  name: string;
  credentials: string;
  concurrency: number;
  is_enabled: number;
  created_at_ms: number;
}

const ID_LENGTH = 12;

const credentialsSchema = z.object({
  email: z.string().optional(),
  password: z.string().optional(),
  token: z.string().optional(),
  proxyUrl: z.string().optional(),
});
type Credentials = z.infer<typeof credentialsSchema>;

/**
 * Every method throws {@link AccountError} for what the operator asked wrongly and {@link StoreUnavailableError} when the
 * database cannot do it now. A running service notices every change within a second.
 */
export class AccountRepository {
  readonly #store: Store;
  readonly #secretBox: SecretBox;
  readonly #clock: Pick<Clock, 'wallMs'>;
  #environmentNames: ReadonlySet<string>;

  constructor({ store, secretBox, clock, environmentNames = [] }: AccountRepositoryOptions) {
    this.#store = store;
    this.#secretBox = secretBox;
    this.#clock = clock;
    this.#environmentNames = new Set(environmentNames);
  }

  /** Takes over which names the environment now gives. */
  setEnvironmentNames(names: readonly string[]): void {
    this.#environmentNames = new Set(names);
  }

  async add(account: NewAccount): Promise<StoredAccount> {
    const { name, concurrency, credentials } = checkAccount(account);
    this.#refuseEnvironmentName(name, 'name_taken');
    const id = `a-${randomAlphanumerics(ID_LENGTH)}`;
    const row: AccountRow = {
      id,
      name,
      credentials: this.#secretBox.seal(JSON.stringify(credentials), contextOf(id)),
      concurrency,
      is_enabled: 1,
      created_at_ms: this.#clock.wallMs(),
    };
    await this.#store.write(async (tx) => {
      const added = await tx
        .insertInto('accounts')
        .values(row)
        .onConflict((conflict) => conflict.column('name').doNothing())
        .returning('id')
        .executeTakeFirst();
      if (!added) throw new AccountError('name_taken', `There is an account "${name}" already; choose another name.`);
      await bumpRevision(tx, 'accounts');
    });
    return this.#open(row);
  }

  /** Gives all accounts, the oldest first, with their credentials. */
  async list(): Promise<StoredAccount[]> {
    const rows = await this.#store.read((db) =>
      db.selectFrom('accounts').selectAll().orderBy('created_at_ms').orderBy('name').execute(),
    );
    return rows.map((row) => this.#open(row));
  }

  async get(name: string): Promise<StoredAccount> {
    return this.#open(await this.#store.read((db) => this.#find(db, name)));
  }

  /** Switches an account on or off. */
  setEnabled(name: string, isEnabled: boolean): Promise<StoredAccount> {
    return this.#store.write(async (tx) => {
      const row = { ...(await this.#find(tx, name)), is_enabled: isEnabled ? 1 : 0 };
      await tx.updateTable('accounts').set({ is_enabled: row.is_enabled }).where('id', '=', row.id).execute();
      await bumpRevision(tx, 'accounts');
      return this.#open(row);
    });
  }

  /** Forgets an account and its credentials. Its rows in the ledger stay. */
  async remove(name: string): Promise<void> {
    await this.#store.write(async (tx) => {
      const { id } = await this.#find(tx, name);
      await tx.deleteFrom('accounts').where('id', '=', id).execute();
      await bumpRevision(tx, 'accounts');
    });
  }

  /** Seals with the present key whatever an older one has sealed; gives how many accounts that were. */
  async resealAll(): Promise<number> {
    return this.#store.write(async (tx) => {
      const rows = await tx.selectFrom('accounts').select(['id', 'credentials']).execute();
      const outdated = rows.filter(({ credentials }) => this.#secretBox.isOutdated(credentials));
      for (const { id, credentials } of outdated) {
        const resealed = this.#secretBox.seal(this.#secretBox.open(credentials, contextOf(id)), contextOf(id));
        await tx.updateTable('accounts').set({ credentials: resealed }).where('id', '=', id).execute();
      }
      return outdated.length;
    });
  }

  async #find(db: Queries, name: string): Promise<AccountRow> {
    const row = await db.selectFrom('accounts').selectAll().where('name', '=', name).executeTakeFirst();
    if (row) return row;
    this.#refuseEnvironmentName(name, 'not_found');
    throw new AccountError('not_found', `There is no account "${name}"; \`account list\` shows all.`);
  }

  #refuseEnvironmentName(name: string, code: 'name_taken' | 'not_found'): void {
    if (this.#environmentNames.has(name))
      throw new AccountError(code, `"${name}" is an account of the environment, which is changed there (in .env).`);
  }

  #open(row: AccountRow): StoredAccount {
    const { id, name, concurrency } = row;
    const account = { id, name, isEnabled: row.is_enabled === 1, createdAtMs: row.created_at_ms };
    try {
      const sealed = this.#secretBox.open(row.credentials, contextOf(id));
      const { email, password, token, proxyUrl } = credentialsSchema.parse(JSON.parse(sealed));
      for (const secret of [email, password, token, proxyUrl]) if (secret !== undefined) registerSecret(secret);
      const login = email !== undefined && password !== undefined ? { email, password } : undefined;
      return { ...account, config: { name, login, token, proxyUrl, concurrency } };
    } catch (error) {
      return { ...account, fault: error instanceof SecretBoxError ? error.message : 'Its credentials are damaged.' };
    }
  }
}

/** Whose a sealed value is: a row's credentials cannot be moved to another row. */
function contextOf(id: string): string {
  return `account/${id}`;
}

const accountSchema = z
  .object({
    name: z
      .string()
      .trim()
      .min(1)
      .max(64)
      .refine((name) => !/[\p{C},=]/u.test(name), { error: 'expected printable characters, without comma and "="' }),
    email: z.string().trim().min(1).optional(),
    password: z.string().min(1).optional(),
    // A token goes into a header, which holds no such characters.
    token: z
      .string()
      .trim()
      .regex(/^[\x21-\x7e]+$/, { error: 'expected a token without spaces' })
      .optional(),
    proxyUrl: z.string().refine(isProxyUrl, { error: EXPECTED_PROXY_URL }).optional(),
    concurrency: z.int().min(1).max(16).default(1),
  })
  .refine(({ email, password }) => (email === undefined) === (password === undefined), {
    error: 'expected e-mail address and password together',
  })
  .refine(({ email, token }) => email !== undefined || token !== undefined, {
    error: 'expected e-mail address and password, or a token',
  });

/** @throws {AccountError} `invalid`, with every fault and none of the values. */
function checkAccount(account: NewAccount): { name: string; concurrency: number; credentials: Credentials } {
  const parsed = accountSchema.safeParse(account);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => [...path.map(String), message].join(': '));
    throw new AccountError('invalid', faults.join('\n'));
  }
  const { name, concurrency, ...credentials } = parsed.data;
  return { name, concurrency, credentials };
}
