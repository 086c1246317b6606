// The simulator as a process of its own, so that nothing it does holds up who is measured, and nothing that holds up others holds
// up NovelAI; read over its control API.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startSimulator, type SimulatorOptions } from '../../simulator/simulator.ts';
import type { AccountTruth, TruthRow, TruthTotals } from '../../simulator/truth-log.ts';

/** What benches and tests ask of it. */
export interface SimulatorProcess {
  imageUrl: string;
  textUrl: string;
  apiUrl: string;
  state(): Promise<{ openRequests: number }>;
  totals(): Promise<TruthTotals>;
  accounts(): Promise<(AccountTruth & { utilisation: number })[]>;
  /** Every kept request, oldest first. */
  rows(): Promise<TruthRow[]>;
  /** Gives a session token without a login. */
  issueToken(email: string): Promise<string>;
  /** Forgets what happened so far. */
  forget(): Promise<void>;
  stop(): Promise<void>;
}

const MOST_ROWS = 1_000_000;

/** Starts it; resolves when it listens. */
export async function startSimulatorProcess(options: SimulatorOptions): Promise<SimulatorProcess> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { controlUrl, ...urls } = JSON.parse(line.toString('utf8')) as Record<
    'imageUrl' | 'textUrl' | 'apiUrl' | 'controlUrl',
    string
  >;
  const ask = async <T>(path: string, method = 'GET', body?: unknown) =>
    (await fetch(controlUrl + path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })).json() as T;
  return {
    ...urls,
    state: () => ask<{ openRequests: number }>('/state'),
    totals: async () => (await ask<{ totals: TruthTotals }>('/truth')).totals,
    accounts: async () => (await ask<{ accounts: (AccountTruth & { utilisation: number })[] }>('/truth')).accounts,
    rows: () => ask<TruthRow[]>(`/truth/rows?limit=${MOST_ROWS}`),
    issueToken: async (email) => (await ask<{ accessToken: string }>('/tokens', 'POST', { email })).accessToken,
    async forget() {
      await ask('/truth', 'DELETE');
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '{}') as SimulatorOptions;
  const { imageUrl, textUrl, apiUrl, controlUrl } = await startSimulator({ ...options, controlPort: 0 });
  process.stdout.write(`${JSON.stringify({ imageUrl, textUrl, apiUrl, controlUrl })}\n`);
  // Ends with the bench, however that ends.
  process.stdin.resume().once('end', () => process.exit());
}
