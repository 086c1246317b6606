// Says on what machine a bench runs, and what else ran there meanwhile. Linux only.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { basename } from 'node:path';
import { processTree } from './process-figures.ts';
import { publishNote } from './publish.ts';

/** Shares of one core below this are not worth telling. */
const LEAST_SHARE = 0.05;
const MOST_NAMED = 4;
/** The kernel counts processes' time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

interface ProcessTicks {
  name: string;
  ticks: number;
  /** Of its children that have ended. */
  childTicks: number;
}

/** Gives one line that describes the machine. */
export function machineDescription(): string {
  const gibibytes = Math.round(totalmem() / 1024 ** 3);
  return `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ${gibibytes} GiB, ${process.platform}, Node ${process.versions.node}`;
}

/** What others did: how much in all, and who most of it. */
export interface Others {
  shares: string;
  busiest: string;
}

/** Notes what runs now; the function it gives tells, later, what others did since. */
export function watchOthers(): () => Others {
  const before = ticksByProcess();
  const ownBefore = ownTicks(before);
  const machineBefore = machineTicks();
  const startMs = performance.now();
  return () => {
    const after = ticksByProcess();
    const own = new Set(processTree(process.pid));
    const machine = machineTicks();
    const seconds = (performance.now() - startMs) / 1000;
    const ofMachine = (ticks: number) =>
      `${((100 * Math.max(ticks, 0)) / (machine.all - machineBefore.all)).toFixed(0)} %`;
    const others = machine.busy - machineBefore.busy - (ownTicks(after) - ownBefore);
    const named = [...after]
      .filter(([pid]) => !own.has(pid))
      .map(([pid, { name, ticks }]) => ({
        name,
        share: (ticks - (before.get(pid)?.ticks ?? 0)) / TICKS_PER_SECOND / seconds,
      }))
      .filter(({ share }) => share > LEAST_SHARE)
      .toSorted((a, b) => b.share - a.share)
      .slice(0, MOST_NAMED)
      .map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} % of a core`);
    return {
      shares: `load ${loadavg()[0]?.toFixed(1)}; others took ${ofMachine(others)} of the machine, the host ${ofMachine(machine.stolen - machineBefore.stolen)}`,
      busiest: named.length > 0 ? named.join(', ') : 'nobody to speak of',
    };
  };
}

/** Prints what others did, and keeps how much it was, so that figures are never read without it. */
export function publishOthers(othersDid: () => Others): void {
  const { shares, busiest } = othersDid();
  publishNote(`Meanwhile: ${shares}.`);
  console.log(`The busiest: ${busiest}.\n`);
}

/** Prints the same for a part of a bench. */
export function printOthers(part: string, othersDid: () => Others): void {
  const { shares, busiest } = othersDid();
  console.log(`${part}: ${shares} (${busiest})`);
}

/** Of this process, what it started, and what it started that has ended. */
function ownTicks(all: ReadonlyMap<number, ProcessTicks>): number {
  return processTree(process.pid)
    .map((pid) => all.get(pid))
    .reduce((sum, found) => sum + (found?.ticks ?? 0) + (found?.childTicks ?? 0), 0);
}

function machineTicks(): { all: number; busy: number; stolen: number } {
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, softInterrupts = 0, stolen = 0] =
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').map(Number) ?? [];
  const busy = user + nice + system + interrupts + softInterrupts;
  return { all: busy + idle + waiting + stolen, busy, stolen };
}

function ticksByProcess(): Map<number, ProcessTicks> {
  const found = new Map<number, ProcessTicks>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      // The name may hold spaces and brackets; the numbers begin after its last bracket.
      const numbers = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const [file = '', script = ''] = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      found.set(Number(entry), {
        name: [file, script]
          .filter((part) => part !== '')
          .map((part) => basename(part))
          .join(' '),
        ticks: (numbers[11] ?? 0) + (numbers[12] ?? 0),
        childTicks: (numbers[13] ?? 0) + (numbers[14] ?? 0),
      });
    } catch {
      continue;
    }
  }
  return found;
}
