// The simulator with faults of every kind in a process of its own, for the soak bench; ends with the bench.
// `node bench/faulty-novelai.ts ACCOUNTS LATENCY_MS FAULT_SHARE`.
import { startSimulator } from '../simulator/simulator.ts';
import { madeUpAccounts } from '../test/support/stack.ts';

/** What the soak bench is told when it listens, and whenever it asks. */
export interface FaultyNovelAi {
  origin: string;
  succeeded: number;
  faults: number;
  /** Generations that began while another was open on the account: none ever may. */
  greatestOverlap: number;
}

const [accounts = 1, fixedLatencyMs = 0, faultShare = 0] = process.argv.slice(2).map(Number);
const simulator = await startSimulator({
  accounts: madeUpAccounts(accounts),
  fixedLatencyMs,
  cannedAnswerBytes: 100_000,
  hashesBodies: false,
  truthLimit: 1000,
});
const endpoint = 'generate-image';
const probability = faultShare / 6;
for (const status of [500, 429, 401]) simulator.faults.add({ endpoint, probability, kind: 'status', status });
for (const kind of ['reset-before-headers', 'truncate', 'hang'] as const)
  simulator.faults.add({ endpoint, probability, kind });

function tell(): void {
  const { succeeded, greatestOverlap, faults } = simulator.truth.totals();
  const message: FaultyNovelAi = { origin: simulator.origin, succeeded, faults, greatestOverlap };
  process.send?.(message);
}

process.on('message', tell);
process.once('disconnect', () => process.exit());
tell();
