// The overhead bench: what the service costs between a program and NovelAI, beside other proxies on the same machine in the same
// minutes. `node bench/overhead.ts`; BENCH_QUICK=1 for one load and short runs, BENCH_PARTS=cpu,latency,mixed,events for some of it.
// Exits with 1 on a missed aim. Linux only.
import type { Panel } from './chart.ts';
import { runCpuCases, type CpuCase, type CpuCaseResult, type CpuFigure } from './support/cpu-cases.ts';
import { runEventDelays } from './support/event-delay.ts';
import { runLatencyCase, type LatencyFigure } from './support/latency-cases.ts';
import { machineDescription, printOthers, publishOthers, watchOthers } from './support/machine.ts';
import { publishChart, publishNote, publishTable } from './support/publish.ts';
import { DIRECT, openField, OURS, pictureBody, pictureFromPictureBody, type Field } from './support/ways.ts';
import { median, report, type Target } from './targets.ts';

const isQuick = process.env['BENCH_QUICK'] === '1';
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const RUN_SECONDS = isQuick ? 1 : 2;
const REQUEST_BYTES = 2048;
const SIZES = [2048, 100_000, 1_500_000] as const;
const LOADS = isQuick ? [16] : [1, 16, 64];
/** Where ratios are taken. */
const LOAD = 16;
const BARE = 'without books';
/** Requests a second, so few that one is over before the next begins. */
const ONE_IN_FLIGHT: Readonly<Record<number, number>> = { 2048: 100, 100_000: 100, 1_500_000: 20 };
/** Ways whose own time is worth measuring to the tenth of a millisecond. */
const QUICK_WAYS = new Set([DIRECT, OURS, 'nginx', 'HAProxy', 'http-proxy']);
/** Less is noise. */
const LEAST_ADDED_MS = 0.005;
const LARGE_BODY_BYTES = 3_000_000;

interface CpuAim {
  answerBytes: number;
  peer: string;
  mostTimes: number;
}

const CPU_AIMS: readonly CpuAim[] = [
  { answerBytes: 2048, peer: 'nginx', mostTimes: 3.5 },
  { answerBytes: 100_000, peer: 'nginx', mostTimes: 2.5 },
  { answerBytes: 1_500_000, peer: 'HAProxy', mostTimes: 1 },
  ...SIZES.map((answerBytes) => ({ answerBytes, peer: 'http-proxy', mostTimes: 0.5 })),
  ...SIZES.map((answerBytes) => ({ answerBytes, peer: 'Portkey', mostTimes: 0.04 })),
];

function sizeName(sizeBytes: number): string {
  return sizeBytes >= 1e6 ? `${sizeBytes / 1e6} MB` : `${Math.round(sizeBytes / 1000)} KB`;
}

/** Gives the median over the rounds of what `compare` makes of each, or why there is none: a run with errors tells nothing. */
function acrossRounds<T extends { problem?: string }>(
  rounds: readonly Map<string, T>[],
  names: readonly string[],
  compare: (...figures: T[]) => number,
): { value: number } | { why: string } {
  const values: number[] = [];
  for (const round of rounds) {
    const figures: T[] = [];
    for (const name of names) {
      const figure = round.get(name);
      if (!figure) return { why: `${name} is not here` };
      if (figure.problem !== undefined) return { why: `no figure: ${name}: ${figure.problem}` };
      figures.push(figure);
    }
    values.push(compare(...figures));
  }
  if (values.length === 0) return { why: 'no rounds' };
  if (values.some((value) => Number.isNaN(value))) return { why: 'no figure: the machine was too busy to tell' };
  return { value: median(values) };
}

function row(
  what: string,
  most: number,
  unit: string,
  result: { value: number } | { why: string },
  digits = 2,
): Target {
  const target = `<= ${most}${unit}`;
  if ('why' in result) return { what, target, reached: result.why, isMet: false };
  return { what, target, reached: `${result.value.toFixed(digits)}${unit}`, isMet: result.value <= most };
}

function showCpu(results: readonly CpuCaseResult[], names: readonly string[]): void {
  const cell = (result: CpuCaseResult, name: string, pick: (figure: CpuFigure) => number) => {
    const found = acrossRounds(result.rounds, [name], (figure) => pick(figure));
    return 'why' in found ? '-' : found.value.toFixed(0);
  };
  const head = ['way', ...results.map((result) => `${sizeName(result.answerBytes)}, ${result.connections}`)];
  publishTable({
    title: 'CPU time of a request, microseconds',
    note: `size of the answer, connections at once; requests of ${sizeName(REQUEST_BYTES)}; medians of ${ROUNDS} rounds; a dash where a run had errors`,
    head,
    rows: names
      .filter((name) => name !== DIRECT)
      .map((name) => [name].concat(results.map((result) => cell(result, name, ({ cpuUs }) => cpuUs)))),
  });
  publishTable({
    title: 'Requests a second',
    note: 'load generator, way and origin share this machine: what the proxy alone could do is more',
    head,
    rows: names.map((name) => [name].concat(results.map((result) => cell(result, name, ({ perSecond }) => perSecond)))),
  });
  for (const result of results)
    for (const [round, figures] of result.rounds.entries())
      for (const [name, { problem }] of figures)
        if (problem !== undefined)
          console.log(
            `${name}, ${sizeName(result.answerBytes)}, ${result.connections} connections, round ${round + 1}: ${problem}`,
          );
}

const COLORS = ['#0b6e4f', '#c0392b', '#d68910', '#2471a3', '#7d3c98', '#616a6b', '#17a589'];

/** One panel for each size, one line for each way. */
function chartCpu(results: readonly CpuCaseResult[], names: readonly string[]): void {
  if (LOADS.length < 2) return;
  const shown = [OURS, ...names.filter((name) => name !== OURS && name !== DIRECT && name !== BARE)];
  const panels = SIZES.map((size): Panel => {
    const cases = results.filter(({ answerBytes }) => answerBytes === size);
    const series = shown.map((name, index) => ({
      name,
      color: COLORS[index % COLORS.length] ?? '#000000',
      kind: 'line' as const,
      points: cases.flatMap(({ connections, rounds }) => {
        const found = acrossRounds(rounds, [name], (figure) => figure.cpuUs);
        return 'why' in found ? [] : [[connections, found.value] as const];
      }),
    }));
    const values = series.flatMap(({ points }) => points.map(([, value]) => value));
    const [least, greatest] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
    const decades = Array.from(
      { length: Math.ceil(greatest) - Math.floor(least) + 1 },
      (_, at) => 10 ** (Math.floor(least) + at),
    );
    return {
      title: `Answers of ${sizeName(size)}`,
      note: 'CPU time of a request, microseconds; each step is ten times the one below',
      xLabel: 'connections at once',
      xTicks: LOADS,
      yTicks: decades.map((at) => ({ at, label: String(at) })),
      isLogarithmic: true,
      series,
    };
  });
  publishChart('overhead-cpu', { title: 'CPU time of a request, by answer size and load', panels });
}

async function compareCpu(field: Field): Promise<Target[]> {
  const cases: CpuCase[] = SIZES.flatMap((answerBytes) => LOADS.map((connections) => ({ answerBytes, connections })));
  let othersDid = watchOthers();
  const results = await runCpuCases(field, {
    cases,
    body: pictureBody(REQUEST_BYTES),
    rounds: ROUNDS,
    seconds: RUN_SECONDS,
    warmUpSeconds: isQuick ? 5 : 20,
    onRound(round) {
      printOthers(round === 0 ? 'warm-up' : `round ${round}`, othersDid);
      othersDid = watchOthers();
    },
  });
  printOthers(`round ${ROUNDS}`, othersDid);
  const names = field.ways.map(({ name }) => name);
  showCpu(results, names);
  chartCpu(results, names);
  const at = (answerBytes: number) =>
    results.find((result) => result.answerBytes === answerBytes && result.connections === LOAD)?.rounds ?? [];
  return [
    ...CPU_AIMS.map(({ answerBytes, peer, mostTimes }) =>
      row(
        `CPU of a request, answers of ${sizeName(answerBytes)}, beside ${peer}`,
        mostTimes,
        ` x ${peer}`,
        acrossRounds(at(answerBytes), [OURS, peer], (ours, theirs) => (ours?.cpuUs ?? 0) / (theirs?.cpuUs ?? 0)),
        3,
      ),
    ),
    row(
      'bookkeeping of a request (token, ledger, log, metrics), CPU',
      15,
      ' us',
      acrossRounds(at(2048), [OURS, BARE], (ours, bare) => (ours?.cpuUs ?? 0) - (bare?.cpuUs ?? 0)),
      0,
    ),
  ];
}

/** What a way adds to the median, milliseconds; NaN where that is not to be told from nothing. */
function addedP50(through: LatencyFigure, straight: LatencyFigure): number {
  const addedMs = through.p50Ms - straight.p50Ms;
  return addedMs > LEAST_ADDED_MS ? addedMs : NaN;
}

function compareAdded(...[ours, nginx, straight]: LatencyFigure[]): number {
  if (!ours || !nginx || !straight) return NaN;
  return addedP50(ours, straight) / addedP50(nginx, straight);
}

async function compareLatency(field: Field): Promise<Target[]> {
  const quick = { ...field, ways: field.ways.filter(({ name }) => QUICK_WAYS.has(name)) };
  const rows: Target[] = [];
  const tableRows: string[][] = quick.ways.map(({ name }) => [name]);
  for (const answerBytes of SIZES) {
    const rounds = await runLatencyCase(quick, {
      answerBytes,
      body: pictureBody(REQUEST_BYTES),
      perSecond: ONE_IN_FLIGHT[answerBytes] ?? 20,
      seconds: isQuick ? 2 : 4,
      rounds: ROUNDS,
    });
    for (const cells of tableRows) {
      const [name = ''] = cells;
      const p50 = acrossRounds(rounds, [name], (figure) => figure?.p50Ms ?? NaN);
      const p99 = acrossRounds(rounds, [name], (figure) => figure?.p99Ms ?? NaN);
      cells.push('why' in p50 || 'why' in p99 ? '-' : `${p50.value.toFixed(2)} / ${p99.value.toFixed(2)}`);
    }
    rows.push(
      row(
        `added to the median with one request in flight, ${sizeName(answerBytes)}`,
        answerBytes === 1_500_000 ? 2 : 1.3,
        ' x nginx',
        acrossRounds(rounds, [OURS, 'nginx', DIRECT], compareAdded),
      ),
    );
  }
  publishTable({
    title: 'Time of an answer with one request in flight, milliseconds, p50 / p99',
    note: 'at a fixed rate, from when each request should have gone to its last byte',
    head: ['way', ...SIZES.map(sizeName)],
    rows: tableRows,
  });
  return rows;
}

async function compareMixed(field: Field): Promise<Target[]> {
  const quick = { ...field, ways: field.ways.filter(({ name }) => name === OURS || name === 'nginx') };
  const rounds = await runLatencyCase(quick, {
    answerBytes: 2048,
    body: pictureBody(REQUEST_BYTES),
    perSecond: 100,
    seconds: isQuick ? 4 : 10,
    rounds: ROUNDS,
    beside: { body: pictureFromPictureBody(LARGE_BODY_BYTES), perSecond: 8 },
  });
  return [
    row(
      `p99 of small requests beside bodies of ${sizeName(LARGE_BODY_BYTES)}, 8/s`,
      1.7,
      ' x nginx',
      acrossRounds(rounds, [OURS, 'nginx'], (ours, nginx) => (ours?.p99Ms ?? NaN) / (nginx?.p99Ms ?? NaN)),
    ),
  ];
}

async function compareEvents(field: Field): Promise<Target[]> {
  const quick = { ...field, ways: field.ways.filter(({ name }) => name === OURS || name === DIRECT) };
  const rounds = (await runEventDelays(quick, ROUNDS)).map(
    (delays) =>
      new Map(
        [...delays].map(([name, p50Ms]) => [
          name,
          p50Ms === undefined ? { p50Ms: 0, p99Ms: 0, problem: 'an event was lost' } : { p50Ms, p99Ms: 0 },
        ]),
      ),
  ) as Map<string, LatencyFigure>[];
  return [
    row(
      'added to the median of a streamed event, 1,000 events/s',
      0.2,
      ' ms',
      acrossRounds(rounds, [OURS, DIRECT], (ours, straight) => (ours && straight ? addedP50(ours, straight) : NaN)),
    ),
  ];
}

const parts = process.env['BENCH_PARTS']?.split(',');
const does = (part: string) => parts === undefined || parts.includes(part);

console.log(machineDescription());
const othersDid = watchOthers();
const field = await openField({
  variants: [
    {
      name: BARE,
      nodeArguments: ['--import', new URL('without-books.ts', import.meta.url).href],
      environment: { LOG_LEVEL: 'error' },
    },
  ],
});
try {
  for (const sentence of field.missing) publishNote(sentence);
  const rows: Target[] = [];
  if (does('cpu')) rows.push(...(await compareCpu(field)));
  const bare = field.ways.findIndex(({ name }) => name === BARE);
  for (const way of field.ways.splice(bare, 1)) await way.stop();
  if (does('latency')) rows.push(...(await compareLatency(field)));
  if (does('mixed')) rows.push(...(await compareMixed(field)));
  if (does('events')) rows.push(...(await compareEvents(field)));
  publishOthers(othersDid);
  report(rows);
} finally {
  await field.stop();
}
