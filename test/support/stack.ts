// A whole proxy in front of a simulated NovelAI, for tests: real sockets, real logins, real pictures, on free ports.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
import { openLog } from '../../src/telemetry/log.ts';
import { call, type Answer, type CallOptions } from './http-client.ts';
import { until } from './until.ts';

export interface StackOptions {
  /** How many accounts the simulator and the proxy have. */
  accounts?: number;
  /** Changes each account before it is made. */
  eachAccount?: (account: SimulatedAccount, index: number) => SimulatedAccount;
  simulator?: SimulatorOptions;
  /** Variables on top of those that point the proxy at the simulator. */
  environment?: Record<string, string>;
  /** How many clients, each with a token of its own. */
  clients?: number;
  /** Does not wait until every account can serve. */
  isUnready?: boolean;
  /** The service's clock. */
  clock?: Clock;
}

export interface Stack {
  simulator: Simulator;
  service: ComposedService;
  /** Base URL of the proxy. */
  address: string;
  /** One token per client. */
  tokens: string[];
  token: string;
  dir: string;
  logDir: string;
  /** What the proxy's configuration was read from. */
  environment: Readonly<Record<string, string>>;
  /** Everything that must never be written anywhere. */
  secrets: string[];
  /** Posts a generation. */
  generate(body: Buffer | string, options?: CallOptions & { token?: string; path?: string }): Promise<Answer>;
  /** Waits until no account has work. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Made-up accounts, all different. */
export function madeUpAccounts(count: number): SimulatedAccount[] {
  return Array.from({ length: count }, (_, index) => ({
    email: `owner-${index + 1}@example.org`,
    password: `made-up-pass-${index + 1}`,
  }));
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dir = await mkdtemp(join(tmpdir(), 'proxy-test-'));
  const accounts = madeUpAccounts(options.accounts ?? 1).map(
    (account, index) => options.eachAccount?.(account, index) ?? account,
  );
  const simulator = await startSimulator({ fixedLatencyMs: 20, imageScale: 0.05, accounts, ...options.simulator });
  const tokens = Array.from({ length: options.clients ?? 1 }, () => newClientToken());
  const logDir = join(dir, 'logs');
  const environment = {
    PORT: '0',
    SERVER_TOKENS: tokens.map((token, index) => `client-${index + 1}:${token}`).join(','),
    NOVELAI_ACCOUNTS: JSON.stringify(
      accounts.map(({ email, password }, index) => ({ name: `acc-${index + 1}`, email, password })),
    ),
    NOVELAI_IMAGE_URL: simulator.imageUrl,
    NOVELAI_TEXT_URL: simulator.textUrl,
    NOVELAI_API_URL: simulator.apiUrl,
    LOG_DIR: logDir,
    LOG_LEVEL: 'debug',
    DATA_DIR: join(dir, 'data'),
    SHUTDOWN_TIMEOUT: '2s',
    ...options.environment,
  };
  const config = readConfig(environment);
  const logHandle = await openLog({ ...config.log, isTerminal: false, hasConsole: false });
  const service = await createService(config, {
    log: logHandle.log,
    droppedLogLines: () => logHandle.droppedLines(),
    ...(options.clock && { clock: options.clock }),
  }).catch(async (error: unknown) => {
    // An open simulator would keep the test's process for its whole time limit.
    await simulator.close();
    throw error;
  });
  const address = await service.start();
  const stack: Stack = {
    simulator,
    service,
    address,
    tokens,
    token: tokens[0] ?? '',
    dir,
    logDir,
    environment,
    secrets: [...tokens, ...accounts.flatMap(({ email, password }) => [email, password])],
    generate: (body, { token = tokens[0], path = '/ai/generate-image', headers, ...rest } = {}) =>
      call(address + path, {
        body,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        ...rest,
      }),
    settled: () => until(() => service.running === 0),
    async close() {
      await service.stop();
      await simulator.close();
      await logHandle.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  if (!options.isUnready)
    await until(() => service.pool.accounts.every((account) => account.availability('image').state === 'ready'));
  return stack;
}

export interface GenerationOptions {
  prompt?: string;
  model?: string;
  action?: string;
  parameters?: Record<string, unknown>;
}

/** A body that NovelAI accepts (contract 4.6), free on an Opus account. */
export function generationBody({
  prompt = '1girl',
  model = 'nai-diffusion-4-5-full',
  action = 'generate',
  parameters = {},
}: GenerationOptions = {}): Buffer {
  return Buffer.from(
    JSON.stringify({
      input: prompt,
      model,
      action,
      parameters: {
        params_version: 3,
        width: 832,
        height: 1216,
        scale: 5,
        sampler: 'k_euler_ancestral',
        steps: 23,
        seed: 1234567890,
        n_samples: 1,
        noise_schedule: 'karras',
        negative_prompt: 'lowres',
        v4_prompt: { caption: { base_caption: prompt, char_captions: [] }, use_coords: false, use_order: true },
        v4_negative_prompt: { caption: { base_caption: 'lowres', char_captions: [] } },
        ...parameters,
      },
    }),
  );
}
