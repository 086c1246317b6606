// `novelai-proxy ledger …`: what was asked for and spent, and whether the books are right. Works while the service runs.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { heldAttempts } from '../ledger/attempts.ts';
import { readReport, type ReportKey, type ReportRow } from '../ledger/report.ts';
import { verifyBooks } from '../ledger/verify.ts';
import { action, withStore, type CommandContext, type CommandDeps } from './command-context.ts';
import { formatCsv, formatTable, type Column } from './table.ts';

interface ReportOptions {
  by: ReportKey;
  from?: number;
  to?: number;
  json?: boolean;
  csv?: boolean;
}

const KEYS = ['client', 'day', 'model', 'account'] as const satisfies readonly ReportKey[];

export function addLedgerCommand(program: Command, deps: CommandDeps): void {
  const ledger = program.command('ledger').description('What was asked for and spent, by whom');
  ledger
    .command('report')
    .description('Requests, images and Anlas')
    .addOption(new Option('--by <what>', 'what each line sums up').choices(KEYS).default('client'))
    .option('--from <date>', 'from this UTC day on, such as 2026-11-01', readDate)
    .option('--to <date>', 'up to this UTC day, which is not included', readDate)
    .addOption(new Option('--json', 'print JSON').conflicts('csv'))
    .option('--csv', 'print CSV')
    .action(action(deps, report));
  ledger
    .command('verify')
    .description('Compute every balance anew and compare; lists what NovelAI may have charged and nobody knows')
    .option('--json', 'print JSON')
    .action(action(deps, verify));
}

async function report(context: CommandContext, { by, from, to, json, csv }: ReportOptions): Promise<void> {
  const rows = await withStore(context, (store) => store.read((db) => readReport(db, { by, fromMs: from, toMs: to })));
  const { io } = context;
  if (json) io.print(JSON.stringify(rows, null, 2));
  else if (csv) io.print(formatCsv(columnsOf(by), rows));
  else if (rows.length === 0) io.print('Nothing was asked for in that time.');
  else io.print(formatTable(columnsOf(by), [...rows, totalOf(rows)]));
}

async function verify(context: CommandContext, { json }: { json?: boolean }): Promise<void> {
  const { io } = context;
  const { differences, unresolved } = await withStore(context, (store) =>
    store.read(async (db) => ({ differences: await verifyBooks(db), unresolved: await heldAttempts(db) })),
  );
  const open = unresolved.map(({ id, client_name, account, sent_at_ms, quoted_anlas, resolution }) => ({
    request: id,
    client: client_name,
    account,
    sent: sent_at_ms === null ? null : new Date(sent_at_ms).toISOString(),
    anlas: quoted_anlas,
    undecidable: resolution === 'undecidable',
  }));
  if (differences.length > 0) io.setExitCode(1);
  if (json) {
    io.print(JSON.stringify({ differences, unresolved: open }, null, 2));
    return;
  }
  if (differences.length === 0) io.print('The books are right: postings, attempts and balances agree to the Anlas.');
  for (const { book, figure, expected, actual, source } of differences)
    io.print(`${book}: ${figure} is ${actual}, but by the ${source} it is ${expected}.`);
  for (const { request, client, account, sent, anlas, undecidable } of open)
    io.print(
      `${request} of ${client} on ${account ?? '?'} (${sent ?? '?'}) may have cost ${anlas} Anlas; ` +
        (undecidable ? 'no balance can tell any more.' : "the account's next balance will tell."),
    );
}

function columnsOf(by: ReportKey): Column<ReportRow>[] {
  const columns: Column<ReportRow>[] = [
    { title: by.toUpperCase(), of: ({ name }) => name },
    { title: 'REQUESTS', of: ({ requests }) => requests },
    { title: 'SUCCEEDED', of: ({ succeeded }) => succeeded },
    { title: 'FAILED', of: ({ failed }) => failed },
    { title: 'NOT SENT', of: ({ notSent }) => notSent },
    { title: 'UNKNOWN', of: ({ unknown }) => unknown },
    { title: 'OPEN', of: ({ open }) => open },
    { title: 'IMAGES', of: ({ images }) => images },
    { title: 'ANLAS', of: ({ chargedAnlas }) => chargedAnlas },
    { title: 'PENDING', of: ({ pendingAnlas }) => pendingAnlas },
  ];
  if (by === 'account') columns.push({ title: 'DRIFT', of: ({ driftAnlas }) => driftAnlas ?? 0 });
  return columns;
}

function totalOf(rows: readonly ReportRow[]): ReportRow {
  const sum = (of: (row: ReportRow) => number) => rows.reduce((total, row) => total + of(row), 0);
  return {
    key: 'total',
    name: 'total',
    requests: sum(({ requests }) => requests),
    succeeded: sum(({ succeeded }) => succeeded),
    failed: sum(({ failed }) => failed),
    notSent: sum(({ notSent }) => notSent),
    unknown: sum(({ unknown }) => unknown),
    open: sum(({ open }) => open),
    images: sum(({ images }) => images),
    chargedAnlas: sum(({ chargedAnlas }) => chargedAnlas),
    pendingAnlas: sum(({ pendingAnlas }) => pendingAnlas),
    driftAnlas: sum(({ driftAnlas }) => driftAnlas ?? 0),
  };
}

function readDate(text: string): number {
  const atMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs)) throw new InvalidArgumentError('Expected a UTC day such as 2026-11-24.');
  return atMs;
}
