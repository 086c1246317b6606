// The soak bench: the service at 80 % of what its accounts can do, before a NovelAI that fails in every way, for SOAK_MINUTES (2; the
// whole one is 30). Shows whether memory or open files grow, and that every request has its outcome. `node bench/soak.ts`. Linux only.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { call } from '../test/support/http-client.ts';
import { generationBody } from '../test/support/stack.ts';
import type { FaultyNovelAi } from './faulty-novelai.ts';
import type { KeptMemory } from './kept-memory-probe.ts';
import { machineDescription, publishOthers, watchOthers } from './support/machine.ts';
import { openFilesOf } from './support/process-figures.ts';
import { publishChart } from './support/publish.ts';
import { startService, type ServiceProcess } from './support/service-process.ts';
import { GENERATE_PATH } from './support/ways.ts';
import { report, type Target } from './targets.ts';

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 2);
const ACCOUNTS = 64;
const LATENCY_MS = 1000;
const FAULT_SHARE = 0.02;
const LOAD_SHARE = 0.8;
const PER_SECOND = (LOAD_SHARE * ACCOUNTS * 1000) / LATENCY_MS;
/** Of the run, before figures count: code is compiled and buffers find their size, which takes some twelve minutes. */
const WARM_UP_SHARE = 0.5;
const MOST_GROWTH_MB_PER_HOUR = 1;
/** What comes and goes in seconds hides any growth in a shorter run. */
const LEAST_MINUTES_TO_JUDGE = 10;
/** After this long without work, connections that were kept for more are closed, on both sides. */
const IDLE_MS = 8000;
/** Rotation, timers and the like open one now and then. */
const OPEN_FILES_PLAY = 5;

interface Sample {
  minutes: number;
  rssMegabytes: number;
  keptMegabytes: number;
}

const MEGABYTE = 1024 ** 2;

async function ask(novelAi: ChildProcess): Promise<FaultyNovelAi> {
  novelAi.send({});
  const [told] = (await once(novelAi, 'message')) as [FaultyNovelAi];
  return told;
}

/** Sends at the fixed rate until the time is over; gives how many requests were sent, by what came of them. */
async function drive({ address, token }: ServiceProcess): Promise<Map<string, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const ends = new Map<string, number>();
  const open = new Set<Promise<void>>();
  const startMs = performance.now();
  const total = Math.round(PER_SECOND * MINUTES * 60);
  for (let index = 0; index < total; index += 1) {
    const dueMs = startMs + (index * 1000) / PER_SECOND;
    await new Promise((resolve) => setTimeout(resolve, Math.max(dueMs - performance.now(), 0)));
    const answered = call(address + GENERATE_PATH, {
      agent,
      body: generationBody({ prompt: `soak ${index}` }),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    })
      .then(
        ({ status }) => String(status),
        () => 'broken off',
      )
      .then((end) => {
        ends.set(end, (ends.get(end) ?? 0) + 1);
        open.delete(answered);
      });
    open.add(answered);
  }
  await Promise.all(open);
  agent.destroy();
  return ends;
}

/** Counts the lines in the service's log that say how a request ended. */
async function countOutcomes({ dir }: ServiceProcess): Promise<number> {
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(join(dir, 'logs', 'app.log')) }))
    if (line.includes('"msg":"request"') && line.includes('"outcome"')) count += 1;
  return count;
}

function idle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, IDLE_MS));
}

/** Gives the slope of the line that fits best and its standard error, in megabytes an hour. */
function growth(samples: readonly Sample[], megabytesOf: (sample: Sample) => number) {
  const mean = (pick: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const [meanMinutes, meanMegabytes] = [mean(({ minutes }) => minutes), mean(megabytesOf)];
  const variance = mean(({ minutes }) => (minutes - meanMinutes) ** 2);
  const slope = mean((sample) => (sample.minutes - meanMinutes) * (megabytesOf(sample) - meanMegabytes)) / variance;
  const rest = mean((sample) => (megabytesOf(sample) - meanMegabytes - slope * (sample.minutes - meanMinutes)) ** 2);
  return { perHour: 60 * slope, error: 60 * Math.sqrt(rest / variance / (samples.length - 2)) };
}

function readSamples(file: string, startMs: number): Sample[] {
  const samples: Sample[] = [];
  for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
    const { atMs, rssBytes, keptBytes } = JSON.parse(line) as KeptMemory;
    if (atMs >= startMs)
      samples.push({
        minutes: (atMs - startMs) / 60_000,
        rssMegabytes: rssBytes / MEGABYTE,
        keptMegabytes: keptBytes / MEGABYTE,
      });
  }
  return samples;
}

function chart(samples: readonly Sample[]): void {
  const last = Math.ceil(MINUTES);
  const top = 50 * Math.ceil(Math.max(...samples.map(({ rssMegabytes }) => rssMegabytes)) / 50);
  publishChart('soak-memory', {
    title: 'Memory of the service under load and faults',
    panels: [
      {
        title: 'Memory under load and faults when garbage is collected, megabytes',
        note: `${PER_SECOND} requests a second on ${ACCOUNTS} accounts, ${100 * FAULT_SHARE} % of them struck by a fault`,
        xLabel: 'minutes',
        xTicks: Array.from({ length: Math.min(last, 6) + 1 }, (_, at) => Math.round((at * last) / Math.min(last, 6))),
        yTicks: Array.from({ length: top / 50 + 1 }, (_, at) => ({ at: at * 50, label: String(at * 50) })),
        series: [
          {
            name: 'resident memory',
            color: '#0b6e4f',
            kind: 'line',
            points: samples.map(({ minutes, rssMegabytes }) => [minutes, rssMegabytes] as const),
          },
          {
            name: 'of it objects and Buffers',
            color: '#d68910',
            kind: 'line',
            points: samples.map(({ minutes, keptMegabytes }) => [minutes, keptMegabytes] as const),
          },
        ],
      },
    ],
  });
}

interface SoakResult {
  ends: Map<string, number>;
  outcomes: number;
  novelAi: FaultyNovelAi;
  idleFiles: readonly [before: number, after: number];
}

function show(
  samples: readonly Sample[],
  { ends, outcomes, novelAi, idleFiles: [filesBefore, filesAfter] }: SoakResult,
): void {
  const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const sent = [...ends.values()].reduce((sum, count) => sum + count, 0);
  const growthOf = (what: string, megabytesOf: (sample: Sample) => number): Target => {
    const { perHour, error } = growth(warm, megabytesOf);
    const megabytes = warm.map(megabytesOf);
    return {
      what: `growth of ${what} over ${MINUTES} minutes at ${PER_SECOND} requests/s with faults`,
      target: `<= ${MOST_GROWTH_MB_PER_HOUR} MB/h, judged from ${LEAST_MINUTES_TO_JUDGE} minutes on`,
      reached: `${perHour.toFixed(1)} +/- ${error.toFixed(1)} MB/h (${Math.min(...megabytes).toFixed(0)} to ${Math.max(...megabytes).toFixed(0)} MB)`,
      isMet: warm.length > 2 && (MINUTES < LEAST_MINUTES_TO_JUDGE || perHour <= MOST_GROWTH_MB_PER_HOUR),
    };
  };
  const spread = [...ends].map(([end, count]) => `${count} x ${end}`).join(', ');
  report([
    growthOf('resident memory', ({ rssMegabytes }) => rssMegabytes),
    growthOf('objects and Buffers', ({ keptMegabytes }) => keptMegabytes),
    {
      what: 'open files and sockets when idle, before and after',
      target: `no more, +/- ${OPEN_FILES_PLAY}`,
      reached: `${filesBefore}, ${filesAfter}`,
      isMet: filesBefore > 0 && filesAfter <= filesBefore + OPEN_FILES_PLAY,
    },
    {
      what: 'outcomes written down',
      target: `${sent}, one for each request`,
      reached: `${outcomes} (${spread})`,
      isMet: sent > 0 && outcomes === sent,
    },
    {
      what: 'the soak did something: generations, faults played, greatest overlap on an account',
      target: 'most, some, 1',
      reached: `${novelAi.succeeded}, ${novelAi.faults}, ${novelAi.greatestOverlap}`,
      isMet: novelAi.succeeded > 0.9 * sent && novelAi.faults > 0 && novelAi.greatestOverlap === 1,
    },
  ]);
}

console.log(machineDescription());
const othersDid = watchOthers();
const novelAi = fork(
  fileURLToPath(new URL('faulty-novelai.ts', import.meta.url)),
  [ACCOUNTS, LATENCY_MS, FAULT_SHARE].map(String),
  { stdio: 'inherit' },
);
const [{ origin }] = (await once(novelAi, 'message')) as [FaultyNovelAi];
const probeDir = await mkdtemp(join(tmpdir(), 'soak-'));
const probeFile = join(probeDir, 'kept-memory');
let service: ServiceProcess | undefined;
try {
  service = await startService({
    upstream: origin,
    accounts: ACCOUNTS,
    nodeArguments: ['--expose-gc', '--import', new URL('kept-memory-probe.ts', import.meta.url).href],
    environment: {
      FIRST_BYTE_TIMEOUT: '2s',
      LOG_MAX_SIZE: '1gb',
      SHUTDOWN_TIMEOUT: '20s',
      KEPT_MEMORY_FILE: probeFile,
    },
  });
  const { pid } = service;
  await idle();
  const filesBefore = openFilesOf(pid);
  const startMs = Date.now();
  const ends = await drive(service);
  const samples = readSamples(probeFile, startMs);
  // The log's last lines are on their way, too.
  await idle();
  publishOthers(othersDid);
  chart(samples);
  show(samples, {
    ends,
    outcomes: await countOutcomes(service),
    novelAi: await ask(novelAi),
    idleFiles: [filesBefore, openFilesOf(pid)],
  });
} finally {
  await service?.stop();
  novelAi.disconnect();
  await rm(probeDir, { recursive: true, force: true });
}
