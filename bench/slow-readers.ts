// The slow readers' bench: 200 clients take answers of 5 MB at 16 KiB/s. Shows what that costs the proxy in memory, and that no
// account waits for a reader. Proxy, simulator and readers are a process each. Exits with 1 on a missed target.
import { createHash, type Hash } from 'node:crypto';
import { Agent, request, type IncomingMessage } from 'node:http';
import { call } from '../test/support/http-client.ts';
import { startProxyProcess, type ProxyProcess } from '../test/support/proxy-process.ts';
import { generationBody, madeUpAccounts } from '../test/support/stack.ts';
import { startSimulatorProcess, type SimulatorProcess } from '../test/support/simulator-process.ts';
import { report } from './targets.ts';

const READERS = 200;
const ANSWER_BYTES = 5_000_000;
const PACE_BYTES = 16 * 1024;
const ACCOUNTS = 8;
const LATENCY_MS = 500;
const ALLOWED_GROWTH_BYTES = 50 * 1024 ** 2;
/** Readers that in the end read on at full speed, to see that they get everything. */
const FINISHERS = 5;
/** How long all read slowly after NovelAI has ended. */
const SLOW_SECONDS = 15;
const SAMPLE_MS = 250;
/** What NovelAI has handed to the network can still be megabytes on their way. */
const BUFFERED_MS = 3000;

class SlowReader {
  receivedBytes = 0;
  readonly #hash: Hash = createHash('sha256');
  readonly #response: IncomingMessage;
  readonly #timer: NodeJS.Timeout;

  constructor(response: IncomingMessage) {
    this.#response = response;
    response.on('error', () => undefined);
    this.#timer = setInterval(() => this.#take(response.read(PACE_BYTES) as Buffer | null), 1000);
  }

  #take(chunk: Buffer | null): void {
    if (!chunk) return;
    this.receivedBytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** Reads the rest at full speed; gives the hash of everything. */
  async finish(): Promise<string> {
    clearInterval(this.#timer);
    for await (const chunk of this.#response) this.#take(chunk as Buffer);
    return this.#hash.digest('hex');
  }

  leave(): void {
    clearInterval(this.#timer);
    this.#response.destroy();
  }
}

function startReader(proxy: ProxyProcess, prompt: string): Promise<SlowReader> {
  const body = generationBody({ prompt });
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${proxy.address}/ai/generate-image`,
      {
        method: 'POST',
        agent: false,
        headers: {
          authorization: `Bearer ${proxy.token}`,
          'content-type': 'application/json',
          'content-length': body.length,
        },
      },
      (response) => {
        if (response.statusCode === 200) resolve(new SlowReader(response));
        else reject(new Error(`the proxy answered ${response.statusCode}`));
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

async function readQuickly({ address, token }: ProxyProcess, prompt: string): Promise<void> {
  await call(`${address}/ai/generate-image`, {
    body: generationBody({ prompt }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    agent: new Agent(),
  });
}

/** What was seen while the answers came, and after. */
interface Samples {
  peakBytes: number;
  /** The longest that the proxy held an account although NovelAI had nothing open, by consecutive samples. */
  heldMs: number;
}

/** Looks at memory and slots until `isOver`, and once more. */
async function watch(proxy: ProxyProcess, simulator: SimulatorProcess, isOver: () => boolean): Promise<Samples> {
  const samples: Samples = { peakBytes: 0, heldMs: 0 };
  let heldSinceMs: number | undefined;
  for (;;) {
    const isLast = isOver();
    samples.peakBytes = Math.max(samples.peakBytes, await proxy.rssBytes());
    // The proxy is asked first: what NovelAI has open afterwards can only be less.
    const running = await runningIn(proxy);
    const { openRequests } = await simulator.state();
    if (running > openRequests) heldSinceMs ??= performance.now();
    else heldSinceMs = undefined;
    if (heldSinceMs !== undefined) samples.heldMs = Math.max(samples.heldMs, performance.now() - heldSinceMs);
    if (isLast) return samples;
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
}

async function runningIn({ address, token }: ProxyProcess): Promise<number> {
  const { text } = await call(`${address}/v1/queue`, { method: 'GET', headers: { authorization: `Bearer ${token}` } });
  return (JSON.parse(text) as { totals: { image: { running: number } } }).totals.image.running;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

const accounts = madeUpAccounts(ACCOUNTS);
const simulator = await startSimulatorProcess({
  fixedLatencyMs: LATENCY_MS,
  cannedAnswerBytes: ANSWER_BYTES,
  accounts,
});
let proxy: ProxyProcess | undefined;
try {
  proxy = await startProxyProcess(simulator, accounts, { QUEUE_TIMEOUT: '2h' });
  const runningProxy = proxy;
  const coldBytes = await proxy.rssBytes();
  // As many quick clients first, all at once as well: the rest is what slowness costs.
  await Promise.all(Array.from({ length: READERS }, (_, index) => readQuickly(runningProxy, `quick ${index}`)));
  const warmBytes = await proxy.rssBytes();
  await simulator.forget();

  const startedMs = performance.now();
  let hasStarted = false;
  const whileStarting = watch(proxy, simulator, () => hasStarted);
  const readers = await Promise.all(
    Array.from({ length: READERS }, (_, index) => startReader(runningProxy, `slow ${index}`)),
  );
  while ((await simulator.state()).openRequests > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const novelAiSeconds = (performance.now() - startedMs) / 1000;
  hasStarted = true;
  const starting = await whileStarting;
  const slowUntilMs = performance.now() + SLOW_SECONDS * 1000;
  const reading = await watch(proxy, simulator, () => performance.now() > slowUntilMs);
  const readShares = readers.map(({ receivedBytes }) => receivedBytes / ANSWER_BYTES);
  const pace = readers.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0) / READERS;

  const finished = await Promise.all(readers.slice(0, FINISHERS).map((reader) => reader.finish()));
  const rows = (await simulator.rows()).filter(({ endpoint }) => endpoint === 'generate-image');
  const wholeCount = finished.filter((hash) => hash === rows[0]?.answerSha256).length;
  const { lockRefusals, greatestOverlap } = await simulator.totals();
  for (const reader of readers) reader.leave();

  const peakBytes = Math.max(starting.peakBytes, reading.peakBytes);
  const heldMs = Math.max(starting.heldMs, reading.heldMs);
  const heldWithoutSpoolSeconds = (READERS * ANSWER_BYTES) / PACE_BYTES / ACCOUNTS;
  report([
    {
      what: `memory of the proxy, ${READERS} slow readers of ${ANSWER_BYTES} bytes after as many quick ones`,
      target: `grows by <= ${megabytes(ALLOWED_GROWTH_BYTES)}`,
      reached: `${megabytes(peakBytes - warmBytes)} (${megabytes(warmBytes)} to ${megabytes(peakBytes)}; ${megabytes(coldBytes)} at start)`,
      isMet: peakBytes - warmBytes <= ALLOWED_GROWTH_BYTES,
    },
    {
      what: 'an account held by the proxy that NovelAI had done with',
      target: `< ${BUFFERED_MS} ms, for what the system has in its buffers`,
      reached: `${heldMs.toFixed(0)} ms at most; a reader takes ${(ANSWER_BYTES / PACE_BYTES).toFixed(0)} s`,
      isMet: heldMs < BUFFERED_MS,
    },
    {
      what: `all ${READERS} generations on ${ACCOUNTS} accounts`,
      target: "at NovelAI's pace",
      reached: `${novelAiSeconds.toFixed(1)} s (${((READERS * LATENCY_MS) / ACCOUNTS / 1000).toFixed(1)} s of generating; ${heldWithoutSpoolSeconds.toFixed(0)} s if readers held them)`,
      isMet: novelAiSeconds < heldWithoutSpoolSeconds / 20 && rows.length === READERS,
    },
    {
      what: 'what the readers have when all accounts are free',
      target: '< 20 % of their answers',
      reached: `${(100 * Math.max(...readShares)).toFixed(1)} % at most, ${(pace / 1024).toFixed(0)} KiB each`,
      isMet: Math.max(...readShares) < 0.2 && Math.min(...readShares) > 0,
    },
    {
      what: `answers of ${FINISHERS} that then read on at full speed`,
      target: `${FINISHERS} whole`,
      reached: String(wholeCount),
      isMet: wholeCount === FINISHERS,
    },
    {
      what: 'upstream 429, greatest overlap',
      target: '0, 1',
      reached: `${lockRefusals}, ${greatestOverlap}`,
      isMet: lockRefusals === 0 && greatestOverlap === 1,
    },
  ]);
} finally {
  await proxy?.stop();
  await simulator.stop();
}
