// Runs a trial in a process of its own, over sound source or with one fault planted in it, and gives the report it prints.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const PLANTER = new URL('../faults/plant.ts', import.meta.url).href;

export interface TrialRun<Report> {
  code: number | null;
  /** Undefined when it printed none. */
  report: Report | undefined;
  output: string;
}

/** Runs `script`, which prints its report as JSON. `plant` is the name of a fault of test/faults. */
export async function runTrial<Report>(
  script: string,
  args: readonly string[],
  plant?: string,
): Promise<TrialRun<Report>> {
  const child = spawn(process.execPath, [...(plant === undefined ? [] : ['--import', PLANTER]), script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...(plant !== undefined && { PLANT: plant }) },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  const [code] = (await once(child, 'close')) as [number | null];
  let report: Report | undefined;
  try {
    report = JSON.parse(stdout) as Report;
  } catch {
    report = undefined;
  }
  return { code, report, output: stdout + stderr };
}
