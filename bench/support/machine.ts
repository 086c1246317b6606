// Says on what machine a bench runs, and what else ran there meanwhile.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { processTree } from './process-figures.ts';

/** Shares of one core below this are not worth telling. */
const LEAST_SHARE = 0.02;
/** The kernel counts processes' time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

/** Gives one line that describes the machine. */
export function machineDescription(): string {
  const gibibytes = Math.round(totalmem() / 1024 ** 3);
  return `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ${gibibytes} GiB, ${process.platform}, Node ${process.versions.node}`;
}

/** Notes what runs now; the function it gives tells, later, what others did since. */
export function watchOthers(): () => string {
  const before = ticksByProcess();
  const startMs = performance.now();
  return () => {
    const own = new Set(processTree(process.pid));
    const seconds = (performance.now() - startMs) / 1000;
    const busy = [...ticksByProcess()]
      .filter(([pid]) => !own.has(pid))
      .map(([pid, { name, ticks }]) => ({
        name,
        share: (ticks - (before.get(pid)?.ticks ?? 0)) / TICKS_PER_SECOND / seconds,
      }))
      .filter(({ share }) => share > LEAST_SHARE)
      .toSorted((a, b) => b.share - a.share)
      .slice(0, 4);
    const others =
      busy.length === 0
        ? 'nothing else to speak of'
        : busy.map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} %`).join(', ');
    return `load ${loadavg()[0]?.toFixed(1)}; others, of one core: ${others}`;
  };
}

function ticksByProcess(): Map<number, { name: string; ticks: number }> {
  const found = new Map<number, { name: string; ticks: number }>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      // The name may hold spaces and brackets; the numbers begin after its last bracket.
      const numbers = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      found.set(Number(entry), {
        name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
        ticks: Number(numbers[11]) + Number(numbers[12]),
      });
    } catch {
      continue;
    }
  }
  return found;
}
