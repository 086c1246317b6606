// The clients that are kept in the database: added, changed and revoked here, and nowhere else.
import type { Selectable, Updateable } from 'kysely';
import type { Clock } from '../lib/clock.ts';
import { newClientToken, randomAlphanumerics } from '../lib/random-text.ts';
import { bumpRevision } from '../store/revisions.ts';
import type { ClientsTable } from '../store/schema.ts';
import type { Queries, Store } from '../store/store.ts';
import { DEFAULT_SETTINGS, type ClientSettings, type Dialect, type StoredClient } from './client.ts';
import { ClientError } from './client-error.ts';
import { readClientChanges, readClientName } from './client-settings.ts';
import { loginDigestsOf } from './login-digests.ts';
import { tokenDigest } from './token-digest.ts';

export interface ClientRepositoryOptions {
  store: Store;
  clock: Pick<Clock, 'wallMs'>;
  /** Names that SERVER_TOKENS gives to its clients: not to be given twice, and not to be changed here. */
  environmentNames?: readonly string[];
}

/** A client and its token, which is told this once and kept nowhere. */
export interface IssuedToken {
  client: StoredClient;
  token: string;
}

const ID_LENGTH = 12;

/**
 * Every method throws {@link ClientError} for what the operator asked wrongly and {@link StoreUnavailableError} when the
 * database cannot do it now. Clients are named by name or id. A running service notices every change within a second.
 */
export class ClientRepository {
  readonly #store: Store;
  readonly #clock: Pick<Clock, 'wallMs'>;
  #environmentNames: ReadonlySet<string>;

  constructor({ store, clock, environmentNames = [] }: ClientRepositoryOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#environmentNames = new Set(environmentNames);
  }

  /** Takes over which names the environment now gives. */
  setEnvironmentNames(names: readonly string[]): void {
    this.#environmentNames = new Set(names);
  }

  /** Adds a client with a new token. Settings that are not named are {@link DEFAULT_SETTINGS}. */
  async add(name: string, settings: unknown = {}): Promise<IssuedToken> {
    const token = newClientToken();
    const checkedName = readClientName(name);
    const row: Selectable<ClientsTable> = {
      id: `c-${randomAlphanumerics(ID_LENGTH)}`,
      name: checkedName,
      token_digest: tokenDigest(token),
      login_digests: JSON.stringify(await loginDigestsOf(checkedName, token)),
      created_at_ms: this.#clock.wallMs(),
      rotated_at_ms: null,
      revoked_at_ms: null,
      ...columnsOf({ ...DEFAULT_SETTINGS, ...readClientChanges(settings) }),
    };
    this.#refuseEnvironmentName(row.name, 'name_taken');
    await this.#store.write(async (tx) => {
      const added = await tx
        .insertInto('clients')
        .values(row)
        .onConflict((conflict) => conflict.column('name').doNothing())
        .returning('id')
        .executeTakeFirst();
      if (!added) throw new ClientError('name_taken', `There is a client "${row.name}" already; choose another name.`);
      await bumpRevision(tx, 'clients');
    });
    return { client: clientOf(row), token };
  }

  /** Gives all clients, the oldest first, the revoked ones too. */
  async list(): Promise<StoredClient[]> {
    const rows = await this.#store.read((db) =>
      db.selectFrom('clients').selectAll().orderBy('created_at_ms').orderBy('name').execute(),
    );
    return rows.map((row) => clientOf(row));
  }

  async get(nameOrId: string): Promise<StoredClient> {
    return clientOf(await this.#store.read((db) => this.#find(db, nameOrId)));
  }

  /** Changes the settings that are named, and its name. Logins go on under the old name until it gets a new token. */
  async edit(
    nameOrId: string,
    { name, ...settings }: { name?: string } & Record<string, unknown>,
  ): Promise<StoredClient> {
    const changes = columnsOf(readClientChanges(settings));
    const newName = name === undefined ? undefined : readClientName(name);
    if (newName !== undefined) this.#refuseEnvironmentName(newName, 'name_taken');
    return this.#change(nameOrId, async (tx, row) => {
      if (newName !== undefined && newName !== row.name && (await byName(tx, newName)))
        throw new ClientError('name_taken', `There is a client "${newName}" already; choose another name.`);
      return { ...changes, ...(newName !== undefined && { name: newName }) };
    });
  }

  /** Refuses the client's token from now on, for good. Its rows in the ledger stay. */
  revoke(nameOrId: string): Promise<StoredClient> {
    return this.#change(nameOrId, async (_tx, row) => ({ revoked_at_ms: row.revoked_at_ms ?? this.#clock.wallMs() }));
  }

  /** Gives the client a new token; the old one is refused from now on. */
  async rotate(nameOrId: string): Promise<IssuedToken> {
    const token = newClientToken();
    const { name } = await this.get(nameOrId);
    const loginDigests = await loginDigestsOf(name, token);
    const client = await this.#change(nameOrId, async (_tx, row) => {
      if (row.revoked_at_ms !== null)
        throw new ClientError('revoked', `The client "${row.name}" was revoked, which is for good; add a new one.`);
      return {
        token_digest: tokenDigest(token),
        login_digests: JSON.stringify(loginDigests),
        rotated_at_ms: this.#clock.wallMs(),
      };
    });
    return { client, token };
  }

  #change(
    nameOrId: string,
    changesOf: (tx: Queries, row: Selectable<ClientsTable>) => Promise<Updateable<ClientsTable>>,
  ): Promise<StoredClient> {
    return this.#store.write(async (tx) => {
      await this.#store.lock(tx, 'clients');
      const row = await this.#find(tx, nameOrId);
      const changes = await changesOf(tx, row);
      if (Object.keys(changes).length === 0) return clientOf(row);
      await tx.updateTable('clients').set(changes).where('id', '=', row.id).execute();
      await bumpRevision(tx, 'clients');
      return clientOf({ ...row, ...changes } as Selectable<ClientsTable>);
    });
  }

  async #find(db: Queries, nameOrId: string): Promise<Selectable<ClientsTable>> {
    const row =
      (await byName(db, nameOrId)) ??
      (await db.selectFrom('clients').selectAll().where('id', '=', nameOrId).executeTakeFirst());
    if (row) return row;
    this.#refuseEnvironmentName(nameOrId, 'not_found');
    throw new ClientError('not_found', `There is no client "${nameOrId}"; \`client list\` shows all.`);
  }

  #refuseEnvironmentName(name: string, code: 'name_taken' | 'not_found'): void {
    if (this.#environmentNames.has(name))
      throw new ClientError(code, `"${name}" is a client of SERVER_TOKENS, which is changed there (in .env).`);
  }
}

function byName(db: Queries, name: string): Promise<Selectable<ClientsTable> | undefined> {
  return db.selectFrom('clients').selectAll().where('name', '=', name).executeTakeFirst();
}

type SettingColumns = Omit<
  Selectable<ClientsTable>,
  'id' | 'name' | 'token_digest' | 'login_digests' | 'created_at_ms' | 'rotated_at_ms' | 'revoked_at_ms'
>;

const COLUMN_OF = {
  expiresAtMs: 'expires_at_ms',
  endpoints: 'endpoints',
  dialects: 'dialects',
  weight: 'weight',
  band: 'band',
  maxQueued: 'max_queued',
  maxInFlight: 'max_in_flight',
  maxWaitMs: 'max_wait_ms',
  requestsPerMinute: 'requests_per_minute',
  anlasPerDay: 'anlas_per_day',
  anlasPerMonth: 'anlas_per_month',
  anlasTotal: 'anlas_total',
  imagesPerDay: 'images_per_day',
  freeOnly: 'free_only',
} as const satisfies Record<keyof ClientSettings, keyof SettingColumns>;

function columnsOf(settings: ClientSettings): SettingColumns;
function columnsOf(settings: Partial<ClientSettings>): Partial<SettingColumns>;
function columnsOf(settings: Partial<ClientSettings>): Partial<SettingColumns> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      COLUMN_OF[name as keyof ClientSettings],
      Array.isArray(value) ? JSON.stringify(value) : value,
    ]),
  );
}

function clientOf(row: Selectable<ClientsTable>): StoredClient {
  return {
    id: row.id,
    name: row.name,
    origin: 'database',
    tokenDigest: row.token_digest,
    loginDigests: listOf(row.login_digests) ?? [],
    createdAtMs: row.created_at_ms,
    rotatedAtMs: row.rotated_at_ms,
    revokedAtMs: row.revoked_at_ms,
    expiresAtMs: row.expires_at_ms,
    endpoints: listOf(row.endpoints),
    dialects: listOf(row.dialects) as Dialect[] | null,
    weight: row.weight,
    band: row.band,
    maxQueued: row.max_queued,
    maxInFlight: row.max_in_flight,
    maxWaitMs: row.max_wait_ms,
    requestsPerMinute: row.requests_per_minute,
    anlasPerDay: row.anlas_per_day,
    anlasPerMonth: row.anlas_per_month,
    anlasTotal: row.anlas_total,
    imagesPerDay: row.images_per_day,
    freeOnly: row.free_only,
  };
}

function listOf(json: string | null): string[] | null {
  return json === null ? null : (JSON.parse(json) as string[]);
}
