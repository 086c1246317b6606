// `npm run bench`: every bench in turn, each within a stated time; the whole table of aims and figures at the end, and all of it in
// docs/performance.md, each bench in a section of its own. BENCH_ONLY=overhead,memory runs some. Exits with 1 on a missed aim.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { machineDescription } from './support/machine.ts';
import { DETAILS_VARIABLE, markdownRow } from './support/publish.ts';
import { report, RESULTS_VARIABLE, type Target } from './targets.ts';

interface Stage {
  name: string;
  title: string;
  limitMinutes: number;
}

const SOAK_MINUTES = Number(process.env['SOAK_MINUTES'] ?? 2);
const STAGES: readonly Stage[] = [
  { name: 'overhead', title: 'Beside other proxies', limitMinutes: 40 },
  { name: 'memory', title: 'Memory with a long queue', limitMinutes: 6 },
  { name: 'cold-start', title: 'Start and idle memory', limitMinutes: 6 },
  { name: 'soak', title: 'Soak', limitMinutes: SOAK_MINUTES + 4 },
  { name: 'real-run', title: 'The queue over sockets', limitMinutes: 6 },
  { name: 'stream-delay', title: 'Streams', limitMinutes: 6 },
  { name: 'slow-readers', title: 'Slow readers', limitMinutes: 6 },
  { name: 'blocked-loop', title: 'A blocked event loop', limitMinutes: 6 },
  { name: 'ledger', title: 'The ledger', limitMinutes: 6 },
  { name: 'scheduler', title: 'The scheduler', limitMinutes: 10 },
];

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/performance.md');

function readLines(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}

/** Runs one bench; gives its rows, one more when it broke off or ran out of time, and its tables as Markdown. */
async function run({ name, limitMinutes }: Stage, dir: string): Promise<{ rows: Target[]; details: string }> {
  const results = join(dir, `${name}.results`);
  const details = join(dir, `${name}.md`);
  const child = spawn(process.execPath, [join(ROOT, 'bench', `${name}.ts`)], {
    stdio: 'inherit',
    // A group of its own, so that all of it can be ended.
    detached: true,
    env: { ...process.env, [RESULTS_VARIABLE]: results, [DETAILS_VARIABLE]: details },
  });
  const endGroup = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', endGroup);
  let isCutOff = false;
  const timer = setTimeout(() => {
    isCutOff = true;
    endGroup();
  }, limitMinutes * 60_000);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(timer);
  process.off('exit', endGroup);
  const rows = readLines(results).map((line) => JSON.parse(line) as Target);
  const isWhole = !isCutOff && (code === 0 || (code === 1 && rows.some(({ isMet }) => !isMet)));
  // A bench that tells by its exit code alone has one row all the same.
  if (rows.length === 0 || !isWhole) {
    const reached = isCutOff ? 'cut off' : code === 0 ? 'met' : `ended with ${code}`;
    rows.push({
      what: `bench ${name}`,
      target: `its own, within ${limitMinutes} minutes`,
      reached,
      isMet: isWhole && code === 0,
    });
  }
  return { rows, details: existsSync(details) ? readFileSync(details, 'utf8') : '' };
}

/** Puts a bench's figures where its section is in the document. */
function write({ name, title }: Stage, rows: readonly Target[], details: string): void {
  const begin = `<!-- bench:${name} -->`;
  const end = `<!-- /bench:${name} -->`;
  const section = [
    begin,
    '',
    `## ${title}`,
    '',
    `Machine: ${machineDescription()}.`,
    '',
    markdownRow(['what', 'aim', 'reached', 'met']),
    markdownRow(['---', '---', '---', '---']),
    ...rows.map(({ what, target, reached, isMet }) => markdownRow([what, target, reached, isMet ? 'yes' : 'no'])),
    '',
    ...(details === '' ? [] : [details]),
    end,
  ].join('\n');
  const text = readFileSync(DOCUMENT, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  const changed =
    from === -1 || to === -1
      ? `${text.trimEnd()}\n\n${section}\n`
      : text.slice(0, from) + section + text.slice(to + end.length);
  writeFileSync(DOCUMENT, changed);
}

async function format(): Promise<void> {
  const child = spawn(join(ROOT, 'node_modules/.bin/oxfmt'), [DOCUMENT], { stdio: 'ignore' });
  await once(child, 'exit');
}

const only = process.env['BENCH_ONLY']?.split(',').map((name) => name.trim());
const stages = STAGES.filter(({ name }) => only === undefined || only.includes(name));
const dir = mkdtempSync(join(tmpdir(), 'bench-all-'));
try {
  const all: Target[] = [];
  for (const stage of stages) {
    console.log(`\n=== ${stage.title} (bench/${stage.name}.ts, at most ${stage.limitMinutes} minutes)\n`);
    const { rows, details } = await run(stage, dir);
    write(stage, rows, details);
    all.push(...rows);
  }
  await format();
  console.log('\n=== All\n');
  report(all);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
