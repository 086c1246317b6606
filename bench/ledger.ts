// What the ledger costs a request: waiting time on its way, CPU, and the event loop's longest stop; with it and without it.
//
// node bin/node24.mjs bench/ledger.ts [requests] [postgres://…]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { NO_LIMITS, type BudgetLimits } from '../src/ledger/budgets.ts';
import { Ledger } from '../src/ledger/ledger.ts';
import { systemClock } from '../src/lib/clock.ts';
import { openStore } from '../src/store/open-store.ts';
import type { Store } from '../src/store/store.ts';

const requests = Number(process.argv[2] ?? 2000);
const databaseUrl = process.argv[3];
const CONCURRENCIES = [1, 8, 64];
const LIMITS: BudgetLimits = { anlasPerDay: 1e9, anlasPerMonth: 1e9, anlasTotal: 1e9, imagesPerDay: 1e9 };
const BALANCE = { fixedAnlas: 1e9, purchasedAnlas: 0 };

/** The three calls that a request makes. */
type Steps = Pick<Ledger, 'reserve' | 'markSent' | 'settle'>;

const ledgerOff: Steps = {
  reserve: async ({ requestId }) => ({ isGranted: true, attemptId: requestId }),
  markSent: async (attemptId) => ({ isGranted: true, attemptId }),
  settle: async () => undefined,
};

interface Case {
  name: string;
  costAnlas: number;
  images: number;
  limits: BudgetLimits;
}

const CASES: Case[] = [
  { name: 'free text', costAnlas: 0, images: 0, limits: NO_LIMITS },
  { name: 'free image', costAnlas: 0, images: 1, limits: NO_LIMITS },
  { name: 'paid image, budgets', costAnlas: 20, images: 1, limits: LIMITS },
];

let lastId = 0;

/** Sends requests through, `concurrency` at a time, with a pause in each so that the loop is not always full. */
async function drive(steps: Steps, { costAnlas, images, limits }: Case, concurrency: number) {
  const pathMs: number[] = [];
  const settleMs: number[] = [];
  const loop = monitorEventLoopDelay({ resolution: 1 });
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < requests) {
      started += 1;
      lastId += 1;
      const requestId = `bench-${process.pid}-${lastId}`;
      const client = { clientId: `client-${lastId % 10}`, clientName: 'bench', endpoint: 'generate-image' };
      const startMs = performance.now();
      await steps.reserve({ requestId, ...client, costAnlas, images, limits });
      await steps.markSent(requestId, { account: 'main', quotedAnlas: costAnlas, limits, balanceBefore: BALANCE });
      pathMs.push(performance.now() - startMs);
      await new Promise((resolve) => setTimeout(resolve, 1));
      const endMs = performance.now();
      await steps.settle(requestId, { outcome: 'succeeded', chargedAnlas: costAnlas });
      settleMs.push(performance.now() - endMs);
    }
  };
  const cpu = process.cpuUsage();
  loop.enable();
  await Promise.all(Array.from({ length: concurrency }, worker));
  loop.disable();
  const { user, system } = process.cpuUsage(cpu);
  return { pathMs, settleMs, cpuUs: (user + system) / requests, loopMaxMs: loop.max / 1e6 };
}

function quantile(values: readonly number[], share: number): string {
  return (values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0).toFixed(3);
}

function print(...cells: (string | number)[]): void {
  console.log(cells.map((cell, index) => String(cell).padEnd(index === 0 ? 22 : 12)).join(''));
}

async function compareAll(ledger: Ledger): Promise<void> {
  print(
    'request',
    'at once',
    'path p50',
    'path p99',
    'off p50',
    'settle p50',
    'settle p99',
    'CPU us',
    'off us',
    'loop max',
  );
  for (const kind of CASES)
    for (const concurrency of CONCURRENCIES) {
      const off = await drive(ledgerOff, kind, concurrency);
      const on = await drive(ledger, kind, concurrency);
      const { pathMs, settleMs, cpuUs, loopMaxMs } = on;
      const [settle50, settle99] = [quantile(settleMs, 0.5), quantile(settleMs, 0.99)];
      const waits = [quantile(pathMs, 0.5), quantile(pathMs, 0.99), quantile(off.pathMs, 0.5), settle50, settle99];
      print(kind.name, concurrency, ...waits, cpuUs.toFixed(0), off.cpuUs.toFixed(0), loopMaxMs.toFixed(1));
    }
}

async function timeReports(ledger: Ledger, store: Store): Promise<void> {
  const { attempts } = await store.read((db) =>
    db
      .selectFrom('attempts')
      .select((eb) => eb.fn.countAll<number>().as('attempts'))
      .executeTakeFirstOrThrow(),
  );
  for (const [name, run] of [
    ['report by client', () => ledger.report({ by: 'client' })],
    ['check of all balances', () => ledger.verify()],
  ] as const) {
    const startMs = performance.now();
    const rows = await run();
    console.log(
      `${name}: ${(performance.now() - startMs).toFixed(0)} ms over ${attempts} attempts, ${rows.length} rows`,
    );
  }
}

const folder = mkdtempSync(join(tmpdir(), 'bench-ledger-'));
const store = await openStore({ databaseUrl, dataDir: folder });
try {
  const ledger = await Ledger.open({ store, clock: systemClock });
  console.log(
    `${store.engine}, ${requests} requests a row; path = reserve and markSent, which a request waits for; milliseconds`,
  );
  await drive(ledger, CASES[2] ?? { name: '', costAnlas: 0, images: 0, limits: NO_LIMITS }, 8); // warm up
  await compareAll(ledger);
  await timeReports(ledger, store);
  await ledger.close();
} finally {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
}
