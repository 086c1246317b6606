// Sums of what was asked for and spent, for people.
import { sql } from 'kysely';
import type { Queries } from '../store/store.ts';

export type ReportKey = 'client' | 'day' | 'model' | 'account';

export interface ReportQuery {
  by: ReportKey;
  /** Only attempts admitted at or after this time, Unix milliseconds. */
  fromMs?: number | undefined;
  /** Only attempts admitted before this time. */
  toMs?: number | undefined;
}

export interface ReportRow {
  /** Client id, UTC day, model or account; `-` for attempts that have none. */
  key: string;
  /** The name to show; the same as `key` except for clients. */
  name: string;
  /** Attempts admitted; the next five add up to it. */
  requests: number;
  succeeded: number;
  /** Failed with or without a charge; not the ones whose charge was never known. */
  failed: number;
  /** Left or expired while they waited, or refused after they had been admitted. */
  notSent: number;
  unknown: number;
  open: number;
  images: number;
  chargedAnlas: number;
  /** Set aside for attempts that are open or of unknown charge. */
  pendingAnlas: number;
  /** Only by account: what its balance lost without a known cause (negative: gained) in the same time. */
  driftAnlas?: number;
}

const COLUMNS = {
  client: 'client_id',
  day: 'day',
  model: 'model',
  account: 'account',
} as const satisfies Record<ReportKey, string>;

/** Gives one row for each client, day, model or account, in the order of the keys. */
export async function readReport(
  db: Queries,
  { by, fromMs = 0, toMs = Number.MAX_SAFE_INTEGER }: ReportQuery,
): Promise<ReportRow[]> {
  const key = sql<string>`coalesce(${sql.ref(COLUMNS[by])}, '-')`;
  const count = (condition: string) => sql<number>`coalesce(sum(case when ${sql.raw(condition)} then 1 else 0 end), 0)`;
  const rows = await db
    .selectFrom('attempts')
    .where('reserved_at_ms', '>=', fromMs)
    .where('reserved_at_ms', '<', toMs)
    .select((eb) => [
      key.as('key'),
      (by === 'client' ? eb.fn.max('client_name') : key).as('name'),
      eb.fn.countAll<number>().as('requests'),
      count("outcome = 'succeeded'").as('succeeded'),
      count("outcome like 'failed%'").as('failed'),
      count("outcome = 'unknown'").as('unknown'),
      count('outcome is null').as('open'),
      sql<number>`coalesce(sum(charged_images), 0)`.as('images'),
      sql<number>`coalesce(sum(charged_anlas), 0)`.as('chargedAnlas'),
      sql<number>`coalesce(sum(case when charged_anlas is null then quoted_anlas else 0 end), 0)`.as('pendingAnlas'),
    ])
    .groupBy(sql`1`)
    .orderBy(sql`1`)
    .execute();
  const report = rows.map((row): ReportRow => withRest(row));
  return by === 'account' ? withDrifts(report, await readDrifts(db, fromMs, toMs)) : report;
}

function withRest(row: Omit<ReportRow, 'notSent'>): ReportRow {
  const notSent = row.requests - row.succeeded - row.failed - row.unknown - row.open;
  return Object.assign(row, { notSent });
}

/** An account that nothing was sent to can have drifted too. */
function withDrifts(report: ReportRow[], drifts: ReadonlyMap<string, number>): ReportRow[] {
  for (const row of report) row.driftAnlas = drifts.get(row.key) ?? 0;
  for (const [key, driftAnlas] of drifts)
    if (!report.some((row) => row.key === key)) report.push({ ...EMPTY, key, name: key, driftAnlas });
  return report;
}

const EMPTY = {
  requests: 0,
  succeeded: 0,
  failed: 0,
  notSent: 0,
  unknown: 0,
  open: 0,
  images: 0,
  chargedAnlas: 0,
  pendingAnlas: 0,
};

async function readDrifts(db: Queries, fromMs: number, toMs: number): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('balance_drifts')
    .where('at_ms', '>=', fromMs)
    .where('at_ms', '<', toMs)
    .select(['account', (eb) => eb.fn.sum<number>('drift_anlas').as('drift')])
    .groupBy('account')
    .execute();
  return new Map(rows.map(({ account, drift }) => [account, drift]));
}
