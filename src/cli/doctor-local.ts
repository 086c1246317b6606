// Looks at what is on this machine: the data folder and its disk, the database, the books, the running service.
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { heldAttempts } from '../ledger/attempts.ts';
import { verifyBooks } from '../ledger/verify.ts';
import type { Store } from '../store/store.ts';
import { collect } from '../upstream/collect.ts';
import { Connections } from '../upstream/connections.ts';
import type { Finding } from './check-account.ts';
import { openBox, withStore, type CommandContext } from './command-context.ts';

const LITTLE_SPACE_BYTES = 1024 ** 3;
const NO_SPACE_BYTES = 100 * 1024 ** 2;
const SERVICE_MS = 3000;

export async function checkDataFolder({ config: { dataDir } }: CommandContext): Promise<Finding> {
  const what = `data folder ${dataDir}`;
  const existing = await nearestExisting(dataDir);
  try {
    await access(existing, constants.W_OK);
  } catch {
    return {
      level: 'fault',
      what,
      detail: 'cannot be written',
      advice: `Mend the rights of ${existing}, or set DATA_DIR.`,
    };
  }
  const { bavail, bsize } = await statfs(existing);
  const freeBytes = bavail * bsize;
  const free = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free`;
  const advice = 'Make room: without it nothing can be written down, and nothing is generated.';
  if (freeBytes < NO_SPACE_BYTES) return { level: 'fault', what, detail: free, advice };
  if (freeBytes < LITTLE_SPACE_BYTES) return { level: 'warn', what, detail: free, advice };
  return { level: 'ok', what, detail: `${existing === dataDir ? '' : 'made at the first start, '}${free}` };
}

export interface DatabaseFindings {
  findings: Finding[];
  /** Whether there are credentials in it that can be opened. */
  hasCredentials: boolean;
}

/** Changes nothing: neither a database nor a key that is not there yet is made. */
export async function checkDatabase(context: CommandContext): Promise<DatabaseFindings> {
  const { databaseUrl, dataDir } = context.config;
  const path = sqlitePath(databaseUrl, dataDir);
  const what = path === undefined ? 'database (PostgreSQL)' : `database ${path}`;
  if (path !== undefined && !(await exists(path)))
    return { findings: [{ level: 'ok', what, detail: 'made at the first start' }], hasCredentials: false };
  try {
    return await withStore(context, async (store) => {
      const keys = await store.read((db) => db.selectFrom('secret_keys').select('id').execute());
      const key = await checkKey(context, store, keys.length);
      return {
        findings: [{ level: 'ok', what, detail: 'can be read and written' }, key, await checkBooks(store)],
        hasCredentials: keys.length > 0 && key.level === 'ok',
      };
    });
  } catch (error) {
    const advice = 'Nothing is generated until it can be opened.';
    return { findings: [{ level: 'fault', what, detail: messageOf(error), advice }], hasCredentials: false };
  }
}

async function checkKey(context: CommandContext, store: Store, keyCount: number): Promise<Finding> {
  const what = 'key of the credentials';
  if (keyCount === 0) return { level: 'ok', what, detail: 'made with the first account' };
  try {
    await openBox(context, store);
    return { level: 'ok', what, detail: 'right' };
  } catch (error) {
    return {
      level: 'fault',
      what,
      detail: messageOf(error),
      advice: 'The service does not start without it. If it is gone for good, remove the accounts and add them again.',
    };
  }
}

async function checkBooks(store: Store): Promise<Finding> {
  const what = 'ledger';
  const { differences, held } = await store.read(async (db) => ({
    differences: await verifyBooks(db),
    held: await heldAttempts(db),
  }));
  if (differences.length > 0)
    return {
      level: 'fault',
      what,
      detail: `${differences.length} figures do not agree`,
      advice: '`ledger verify` lists them. Keep a backup, and report it: this is a fault of the service.',
    };
  if (held.length > 0)
    return {
      level: 'warn',
      what,
      detail: `right; of ${held.length} requests it is not known whether NovelAI charged them`,
      advice: "`ledger verify` lists them. An account's next balance usually tells.",
    };
  return { level: 'ok', what, detail: 'right' };
}

export async function checkService({ config: { host, port }, clock }: CommandContext): Promise<Finding> {
  const address = `http://${isEverywhere(host) ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`;
  const connections = new Connections({ connectMs: SERVICE_MS });
  try {
    const answer = await collect(
      {
        dispatcher: connections.for(undefined),
        baseUrl: address,
        path: '/readyz',
        method: 'GET',
        headers: {},
        body: null,
        limits: { firstByteMs: SERVICE_MS, idleMs: SERVICE_MS, totalMs: SERVICE_MS },
      },
      clock,
    );
    const what = `service at ${address}`;
    if (!answer.isAnswer) return { level: 'ok', what, detail: 'not running now' };
    if (answer.status === 200) return { level: 'ok', what, detail: 'running and ready' };
    if (answer.status === 503)
      return { level: 'fault', what, detail: 'running, but no account can serve', advice: 'See the accounts.' };
    return {
      level: 'fault',
      what,
      detail: `something else answers there (${answer.status})`,
      advice: 'Stop that program, or set PORT to another number.',
    };
  } finally {
    await connections.close();
  }
}

function isEverywhere(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function sqlitePath(databaseUrl: string | undefined, dataDir: string): string | undefined {
  if (databaseUrl === undefined) return join(dataDir, 'proxy.db');
  const path = /^sqlite:(.+)$/s.exec(databaseUrl)?.[1];
  return path === undefined ? undefined : resolve(path);
}

async function nearestExisting(path: string): Promise<string> {
  for (let candidate = resolve(path); ; candidate = dirname(candidate))
    if ((await exists(candidate)) || dirname(candidate) === candidate) return candidate;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
