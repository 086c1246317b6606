// A process that puts requests through the ledger as fast as it can and reports each step that was stored, until it is killed.
import { writeSync } from 'node:fs';
import { systemClock } from '../../../src/lib/clock.ts';
import { NO_LIMITS } from '../../../src/ledger/budgets.ts';
import { Ledger } from '../../../src/ledger/ledger.ts';
import { openStore } from '../../../src/store/open-store.ts';

const [, , databaseUrl, round] = process.argv;
const store = await openStore({ databaseUrl, dataDir: '.' });
const ledger = await Ledger.open({ store, clock: systemClock });
let count = 0;

/** Written at once, so that the kill cannot swallow it. */
function report(line: string): void {
  writeSync(1, `${line}\n`);
}

async function work(): Promise<void> {
  for (;;) {
    count += 1;
    const requestId = `r${round}-${count}`;
    const costAnlas = count % 3 === 0 ? 0 : 20;
    const request = { requestId, clientId: `c${count % 4}`, clientName: 'c', endpoint: 'generate-image', images: 1 };
    await ledger.reserve({ ...request, costAnlas, limits: NO_LIMITS });
    await ledger.markSent(requestId, { account: 'main', quotedAnlas: costAnlas, limits: NO_LIMITS });
    report(`sent ${requestId}`);
    await ledger.settle(requestId, { outcome: 'succeeded', chargedAnlas: costAnlas });
    report(`settled ${requestId}`);
  }
}

await Promise.all(Array.from({ length: 8 }, () => work()));
