// A proxy with its books, in this process, in front of a simulated NovelAI: for tests of single cases.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import {
  startSimulator,
  type SimulatedAccount,
  type Simulator,
  type SimulatorOptions,
} from '../../simulator/simulator.ts';
import { createService, type ComposedService } from '../../src/compose.ts';
import { readConfig } from '../../src/config/load-config.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { auditMoney, readLedger, undecided, type LedgerView, type MoneyAudit } from './money-audit.ts';
import { until } from './until.ts';

export interface MoneyStackOptions {
  accounts?: readonly Omit<SimulatedAccount, 'email' | 'password'>[];
  simulator?: SimulatorOptions;
  environment?: Record<string, string>;
  clock?: Clock;
  /** Kept when the stack closes, for a second one on the same data. */
  dataDir?: string;
}

export interface MoneyStack {
  simulator: Simulator;
  service: ComposedService;
  address: string;
  token: string;
  dataDir: string;
  ledger(): Promise<LedgerView>;
  audit(): Promise<MoneyAudit>;
  /** Waits until nothing runs and the service has found out, by itself, what every unknown attempt cost. */
  settled(limitMs?: number): Promise<void>;
  close(): Promise<void>;
}

const TIMEOUTS = {
  FIRST_BYTE_TIMEOUT: '1s',
  IDLE_TIMEOUT: '1s',
  UPSTREAM_TIMEOUT: '1500ms',
  DRAIN_TIMEOUT: '2s',
  SHUTDOWN_TIMEOUT: '4s',
};

/** Environment of a service in front of a simulator, with its accounts named `acc-1`, `acc-2` ... */
export function environmentFor(
  simulator: Simulator,
  accounts: readonly SimulatedAccount[],
  token: string,
): Record<string, string> {
  return {
    SERVER_TOKENS: `client:${token}`,
    NOVELAI_ACCOUNTS: JSON.stringify(
      accounts.map(({ email, password }, index) => ({ name: `acc-${index + 1}`, email, password })),
    ),
    NOVELAI_IMAGE_URL: simulator.imageUrl,
    NOVELAI_TEXT_URL: simulator.textUrl,
    NOVELAI_API_URL: simulator.apiUrl,
    ...TIMEOUTS,
  };
}

/** Made-up accounts with these traits. */
export function accountsOf(traits: readonly Omit<SimulatedAccount, 'email' | 'password'>[]): SimulatedAccount[] {
  return traits.map((trait, index) => ({
    email: `owner-${index + 1}@example.org`,
    password: `made-up-pass-${index + 1}`,
    ...trait,
  }));
}

/** The names that {@link environmentFor} gives, with the simulator's e-mails. */
export function emailsOf(accounts: readonly SimulatedAccount[]): Map<string, string> {
  return new Map(accounts.map(({ email }, index) => [`acc-${index + 1}`, email]));
}

export async function startMoneyStack(options: MoneyStackOptions = {}): Promise<MoneyStack> {
  const dir = options.dataDir === undefined ? mkdtempSync(join(tmpdir(), 'proxy-money-')) : undefined;
  const dataDir = options.dataDir ?? join(dir ?? '', 'data');
  const accounts = accountsOf(options.accounts ?? [{}]);
  const simulator = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts, ...options.simulator });
  const token = newClientToken();
  const service = await createService(
    readConfig({
      PORT: '0',
      DATA_DIR: dataDir,
      ...environmentFor(simulator, accounts, token),
      ...options.environment,
    }),
    { log: pino({ level: 'silent' }), ...(options.clock && { clock: options.clock }) },
  );
  const address = await service.start();
  await until(() => service.pool.accounts.every(({ balance }) => balance.subscription !== undefined));
  const ledger = () => readLedger(dataDir);
  return {
    simulator,
    service,
    address,
    token,
    dataDir,
    ledger,
    audit: async () => auditMoney(await ledger(), simulator, emailsOf(accounts)),
    async settled(limitMs = 20_000) {
      await until(() => service.running === 0, limitMs);
      await simulator.truth.whenIdle();
      const endMs = performance.now() + limitMs;
      for (;;) {
        const view = await ledger();
        const isOpen = view.attempts.some(({ state }) => state === 'reserved' || state === 'sent');
        if (!isOpen && undecided(view).length === 0) return;
        if (performance.now() > endMs) throw new Error('the books did not come to rest');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async close() {
      await service.stop();
      await simulator.close();
      if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}
