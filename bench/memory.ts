// The memory bench: 10,000 small requests, then 500 of a megabyte, wait at once; shows what the service holds, whether it still
// answers status reads, and that none is lost. `node bench/memory.ts`. Exits with 1 on a missed aim. Linux only.
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { call } from '../test/support/http-client.ts';
import { machineDescription, publishOthers, watchOthers } from './support/machine.ts';
import { runOpenLoop } from './support/open-loop.ts';
import { startOrigin, type Origin } from './support/origin.ts';
import { rssBytesOf } from './support/process-figures.ts';
import { startService, type ServiceProcess } from './support/service-process.ts';
import { GENERATE_PATH, pictureBody, pictureFromPictureBody } from './support/ways.ts';
import { newSeed, SEED } from './support/wrk.ts';
import { quantile, report, type Target } from './targets.ts';

interface Load {
  name: string;
  requests: number;
  body: string;
  mostBytes: number;
}

const ACCOUNTS = 16;
const ANSWER_BYTES = 2048;
/** As many connections are made at once as a listening socket surely keeps. */
const ARRIVALS_AT_ONCE = 200;
const READS_PER_SECOND = 500;
const READ_SECONDS = 5;
const MOST_READ_P99_MS = 20;
const SAMPLE_MS = 50;
/** As in the bench of the start: what starting took is given back by then. */
const IDLE_MS = 10_000;
const QUEUED_LIMIT_MS = 60_000;

const LOADS: readonly Load[] = [
  { name: '10,000 of 2 KB', requests: 10_000, body: pictureBody(2048), mostBytes: 180 * 1024 ** 2 },
  { name: '500 of 1 MB', requests: 500, body: pictureFromPictureBody(1_000_000), mostBytes: 110 * 1024 ** 2 },
];

/** Sends one request on a connection of its own; resolves with whether it got a whole good answer. */
function send({ address, token }: ServiceProcess, body: string, onSent: () => void): Promise<boolean> {
  const { hostname, port } = new URL(address);
  const head = [
    `POST ${GENERATE_PATH} HTTP/1.1`,
    `host: ${hostname}`,
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    'connection: close',
    `content-length: ${Buffer.byteLength(body)}`,
  ].join('\r\n');
  return new Promise((resolve) => {
    let receivedBytes = 0;
    let status = '';
    const socket = connect(Number(port), hostname);
    socket.write(`${head}\r\n\r\n${body}`, onSent);
    socket.on('data', (chunk: Buffer) => {
      if (status === '') status = chunk.toString('latin1', 0, 15);
      receivedBytes += chunk.length;
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      onSent();
      resolve(status.startsWith('HTTP/1.1 200') && receivedBytes >= ANSWER_BYTES);
    });
  });
}

/** Read by another program than the one whose requests wait: a program's own are listed one by one. */
async function waiting({ address, watcherToken }: ServiceProcess): Promise<number> {
  const headers = { authorization: `Bearer ${watcherToken}` };
  const { text } = await call(`${address}/v1/queue`, { method: 'GET', headers });
  return (JSON.parse(text) as { totals: { image: { waiting: number } } }).totals.image.waiting;
}

/** Brings all requests in, so many at once as can be taken. */
async function arrive(service: ServiceProcess, { requests, body }: Load): Promise<Promise<boolean>[]> {
  const answers: Promise<boolean>[] = [];
  const seed = newSeed();
  for (let from = 0; from < requests; from += ARRIVALS_AT_ONCE) {
    const sent: Promise<void>[] = [];
    for (let index = from; index < Math.min(requests, from + ARRIVALS_AT_ONCE); index += 1)
      sent.push(
        new Promise((resolve) => {
          answers.push(send(service, body.replace(SEED, String(seed + index)), resolve));
        }),
      );
    await Promise.all(sent);
  }
  return answers;
}

/** One load on a service of its own. */
async function run(origin: Origin, load: Load): Promise<Target[]> {
  const service = await startService({
    upstream: origin.address,
    accounts: ACCOUNTS,
    environment: { QUEUE_LIMIT: '20000', QUEUE_LIMIT_PER_CLIENT: '20000', QUEUE_TIMEOUT: '2h', UPSTREAM_TIMEOUT: '1h' },
  });
  let peakBytes = 0;
  const sampler = setInterval(() => (peakBytes = Math.max(peakBytes, rssBytesOf(service.pid))), SAMPLE_MS);
  try {
    await setTimeout(IDLE_MS);
    peakBytes = 0;
    const coldBytes = rssBytesOf(service.pid);
    await origin.set({ answerBytes: ANSWER_BYTES, isHolding: true });
    const answers = await arrive(service, load);
    const untilMs = performance.now() + QUEUED_LIMIT_MS;
    let queued = 0;
    while (queued < load.requests - ACCOUNTS && performance.now() < untilMs) {
      await setTimeout(100);
      queued = await waiting(service);
    }
    const reads = await runOpenLoop({
      base: service.address,
      path: '/v1/queue',
      headers: { authorization: `Bearer ${service.watcherToken}` },
      body: '',
      method: 'GET',
      perSecond: READS_PER_SECOND,
      seconds: READ_SECONDS,
    });
    const heldBytes = rssBytesOf(service.pid);
    await origin.set({ isHolding: false });
    const good = (await Promise.all(answers)).filter(Boolean).length;
    const p99Ms = quantile(reads.latenciesMs, 0.99);
    const kibEach = (heldBytes - coldBytes) / 1024 / load.requests;
    const megabytes = (bytes: number) => (bytes / 1024 ** 2).toFixed(0);
    return [
      {
        what: `memory of the service, ${load.name} waiting at once`,
        target: `<= ${megabytes(load.mostBytes)} MB`,
        reached: `${megabytes(peakBytes)} MB at most (${megabytes(coldBytes)} idle, ${megabytes(heldBytes)} while they wait, ${kibEach.toFixed(0)} KB for each)`,
        isMet: queued > 0 && peakBytes <= load.mostBytes,
      },
      {
        what: `none lost, ${load.name}`,
        target: `${load.requests} answers`,
        reached: `${good} answers, ${queued} waited at once`,
        isMet: good === load.requests && queued >= load.requests - ACCOUNTS,
      },
      {
        what: `status reads at ${READS_PER_SECOND}/s, ${load.name} waiting, p99`,
        target: `<= ${MOST_READ_P99_MS} ms`,
        reached: `${p99Ms.toFixed(1)} ms of ${reads.latenciesMs.length} reads, ${reads.errors} errors`,
        isMet: p99Ms <= MOST_READ_P99_MS && reads.errors === 0,
      },
    ];
  } finally {
    clearInterval(sampler);
    await service.stop();
  }
}

console.log(machineDescription());
const othersDid = watchOthers();
const origin = await startOrigin();
try {
  const rows: Target[] = [];
  for (const load of LOADS) rows.push(...(await run(origin, load)));
  publishOthers(othersDid);
  report(rows);
} finally {
  await origin.stop();
}
