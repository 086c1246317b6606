// The real service as a process that can be killed and started again on the same data, as often as a test likes.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call } from './http-client.ts';

export interface KillableProxyOptions {
  /** Holds data and logs; the caller's to remove. */
  dir: string;
  environment: Readonly<Record<string, string>>;
  /** A fault of test/faults to plant in the service. */
  plant?: string | undefined;
}

const COMMAND = fileURLToPath(new URL('../../bin/novelai-proxy.mjs', import.meta.url));
const PLANTER = new URL('../faults/plant.ts', import.meta.url).href;
const START_LIMIT_MS = 40_000;
/** What is kept of its output, for error messages. */
const OUTPUT_LIMIT = 20_000;

export class KillableProxy {
  readonly #options: KillableProxyOptions;
  #child: ChildProcess | undefined;
  #output = '';
  #address = '';
  readonly #onExit = () => this.#child?.kill('SIGKILL');

  constructor(options: KillableProxyOptions) {
    this.#options = options;
    // A test that dies takes the service with it.
    process.once('exit', this.#onExit);
  }

  get dataDir(): string {
    return join(this.#options.dir, 'data');
  }

  /** Base URL; empty before the first start. It is another one after each start. */
  get address(): string {
    return this.#address;
  }

  get isUp(): boolean {
    return this.#child !== undefined && this.#address !== '';
  }

  /** What it has written to its terminal, the end of it. */
  get output(): string {
    return this.#output;
  }

  /** Starts it; resolves when it listens. Rejects with its output when it ends instead. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    const { dir, plant } = this.#options;
    const child = spawn(process.execPath, [...(plant === undefined ? [] : ['--import', PLANTER]), COMMAND, 'serve'], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        PORT: '0',
        DATA_DIR: this.dataDir,
        LOG_DIR: join(dir, 'logs'),
        // Halves the time a restart takes.
        ...(plant === undefined && { NODE_COMPILE_CACHE: join(dir, 'compile-cache') }),
        ...(plant !== undefined && { PLANT: plant }),
        ...this.#options.environment,
        ...environment,
      },
    });
    this.#child = child;
    this.#address = '';
    this.#output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_LIMIT);
      });
    const endMs = performance.now() + START_LIMIT_MS;
    for (;;) {
      const address = /"address":"([^"]+)"/.exec(this.#output)?.[1];
      if (address !== undefined) {
        this.#address = address;
        return;
      }
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > endMs)
        throw new Error(`The service did not start: ${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Resolves when every account has logged in, whether or not it rests. */
  async ready(): Promise<void> {
    const endMs = performance.now() + START_LIMIT_MS;
    for (;;) {
      const { text } = await call(`${this.#address}/readyz`, { method: 'GET' });
      const { accounts } = JSON.parse(text) as { accounts: { state: string }[] };
      if (accounts.every(({ state }) => state === 'ready' || state === 'cooling')) return;
      if (performance.now() > endMs) throw new Error(`The service did not become ready: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Sends it a signal, and leaves it at that. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Resolves with its exit code when it ends by itself; null when a signal ended it. */
  async exited(): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  /** Ends it with a signal and gives its exit code; null when it was killed. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    const isOver = child.exitCode !== null || child.signalCode !== null;
    const ended = isOver ? undefined : once(child, 'exit');
    child.kill(signal);
    await ended;
    this.#child = undefined;
    this.#address = '';
    return child.exitCode;
  }

  /** Ends it however it is. */
  async close(): Promise<void> {
    process.off('exit', this.#onExit);
    await this.end('SIGKILL');
  }
}
