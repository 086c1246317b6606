// What the system tells of a process and its children: CPU time, memory, open files. Linux only.
import { readdirSync, readFileSync } from 'node:fs';

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended in the meantime.
    return '';
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Gives a process and all that it started. */
export function processTree(pid: number): number[] {
  const children = list(`/proc/${pid}/task`).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap((child) => processTree(child))];
}

/**
 * Gives the CPU time of a process tree so far, in microseconds, from the scheduler's own nanoseconds: steady on a machine where
 * others work too, since it counts only what ran.
 */
export function cpuUsOf(pid: number): number {
  let ns = 0;
  for (const each of processTree(pid))
    for (const task of list(`/proc/${each}/task`))
      ns += Number(read(`/proc/${each}/task/${task}/schedstat`).split(' ')[0] ?? 0);
  return ns / 1000;
}

/** Gives the resident memory of one process. */
export function rssBytesOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

/** Gives how many files and sockets one process has open. */
export function openFilesOf(pid: number): number {
  return list(`/proc/${pid}/fd`).length;
}
