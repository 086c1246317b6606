// The blocked loop's bench: the proxy stands still for 60 s with work running and waiting, past every deadline. Shows that nothing is
// sent twice and nobody is thrown out. Proxy and simulator are a process each. Exits with 1 on a missed target.
import { Agent } from 'node:http';
import { call } from '../test/support/http-client.ts';
import { startProxyProcess } from '../test/support/proxy-process.ts';
import { startSimulatorProcess } from '../test/support/simulator-process.ts';
import { generationBody, madeUpAccounts } from '../test/support/stack.ts';
import { report } from './targets.ts';

const BLOCK_MS = 60_000;
const ACCOUNTS = 8;
const WAITING = 200;
/** Shorter than the block: all who wait are past their deadline afterwards. */
const QUEUE_TIMEOUT_MS = 30_000;
const LATENCY_MS = 300;

const accounts = madeUpAccounts(ACCOUNTS);
const simulator = await startSimulatorProcess({ fixedLatencyMs: LATENCY_MS, cannedAnswerBytes: 100_000, accounts });
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
try {
  const proxy = await startProxyProcess(simulator, accounts, {
    QUEUE_TIMEOUT: `${QUEUE_TIMEOUT_MS}ms`,
    // As long as the block, like NovelAI's silence: those of the running generations pass during it.
    IDLE_TIMEOUT: '30s',
    FIRST_BYTE_TIMEOUT: '30s',
    UPSTREAM_TIMEOUT: '30s',
    NODE_OPTIONS: `--import ${new URL('loop-blocker.ts', import.meta.url).href}`,
    BLOCK_MS: String(BLOCK_MS),
  });
  try {
    const send = async (prompt: string) => {
      const { status } = await call(`${proxy.address}/ai/generate-image`, {
        body: generationBody({ prompt }),
        headers: { authorization: `Bearer ${proxy.token}`, 'content-type': 'application/json' },
        agent,
      });
      return { status, atMs: performance.now() };
    };
    /** How many of those sent the proxy knows of: they wait, run, or have been answered. */
    const countKnown = async (answered: number) => {
      const headers = { authorization: `Bearer ${proxy.token}` };
      const { text } = await call(`${proxy.address}/v1/queue`, { method: 'GET', headers });
      const { waiting, totals } = JSON.parse(text) as { waiting: unknown[]; totals: { image: { running: number } } };
      return waiting.length + totals.image.running + answered;
    };
    // The proxy learns how quick these are, and lets so many wait.
    for (let round = 0; round < 4; round += 1)
      await Promise.all(Array.from({ length: ACCOUNTS }, (_, index) => send(`learn ${round}/${index}`)));
    const before = await simulator.totals();
    let answered = 0;
    const sent = Array.from({ length: WAITING }, (_, index) => send(`blocked ${index}`).finally(() => (answered += 1)));
    // Until the proxy has read them: one whose headers it had not would meet Node's own limit on those, 408.
    while ((await countKnown(answered)) < WAITING) await new Promise((resolve) => setTimeout(resolve, 5));
    const blockedAtMs = performance.now();
    process.kill(proxy.pid, 'SIGWINCH');
    const answers = await Promise.all(sent);
    const during = answers.filter(({ atMs }) => atMs > blockedAtMs + 1000 && atMs < blockedAtMs + BLOCK_MS - 1000);
    const after = answers.filter(({ atMs }) => atMs >= blockedAtMs + BLOCK_MS - 1000);
    const served = answers.filter(({ status }) => status === 200).length;
    const { generations, greatestOverlap, lockRefusals, logins } = await simulator.totals();
    const lastSeconds = (Math.max(...answers.map(({ atMs }) => atMs)) - blockedAtMs - BLOCK_MS) / 1000;
    report([
      {
        what: `the proxy stood still for ${BLOCK_MS / 1000} s`,
        target: 'no answer meanwhile',
        reached: `${during.length} meanwhile, ${after.length} of ${WAITING} after`,
        isMet: during.length === 0 && after.length > WAITING / 2,
      },
      {
        what: `served, though the ${QUEUE_TIMEOUT_MS / 1000} s of all who waited and 30 s of all that ran were over`,
        target: `${WAITING}`,
        reached: `${served} (the last ${lastSeconds.toFixed(1)} s after the block)`,
        isMet: served === WAITING,
      },
      {
        what: 'generations, each request once',
        target: String(WAITING),
        reached: String(generations - before.generations),
        isMet: generations - before.generations === WAITING,
      },
      {
        what: 'greatest overlap, upstream 429, logins',
        target: `1, 0, ${ACCOUNTS}`,
        reached: `${greatestOverlap}, ${lockRefusals}, ${logins}`,
        isMet: greatestOverlap === 1 && lockRefusals === 0 && logins === ACCOUNTS,
      },
    ]);
  } finally {
    await proxy.stop();
  }
} finally {
  agent.destroy();
  await simulator.stop();
}
