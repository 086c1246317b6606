// Runs wrk, the load generator that is not itself the bottleneck, and reads what it counted.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface WrkRun {
  url: string;
  headers: Readonly<Record<string, string>>;
  /** With `SEED` in it, which is another number in each request: the same request twice is not what programs send. */
  body: string;
  connections: number;
  seconds: number;
  /** Folder for its script. */
  dir: string;
}

export interface WrkResult {
  requests: number;
  seconds: number;
  /** Bytes of one answer, head included, on average. */
  answerBytes: number;
  /** Answers that were no 2xx or 3xx, and connections that broke or were too slow. */
  errors: number;
}

/** Posts on so many connections at once, each waiting for its answer before it sends again. */
export async function runWrk({ url, headers, body, connections, seconds, dir }: WrkRun): Promise<WrkResult> {
  const script = join(dir, 'post.lua');
  const [before = '', after = ''] = body.split(SEED);
  writeFileSync(
    script,
    [
      'wrk.method = "POST"',
      `local before, after, seed = ${quoted(before)}, ${quoted(after)}, ${newSeed()}`,
      ...Object.entries(headers).map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`),
      'function request()',
      '  seed = seed + 1',
      '  return wrk.format(nil, nil, nil, before .. string.format("%.0f", seed) .. after)',
      'end',
      'function done(summary)',
      '  local e = summary.errors',
      '  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,',
      '    e.connect + e.read + e.write + e.status + e.timeout))',
      'end',
    ].join('\n'),
  );
  const { stdout } = await promisify(execFile)(
    'wrk',
    ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, url],
    { timeout: (seconds + 20) * 1000 },
  );
  const [requests = 0, durationUs = 0, bytes = 0, errors = 0] =
    /RESULT (\d+) (\d+) (\d+) (\d+)/.exec(stdout)?.slice(1).map(Number) ?? [];
  return { requests, seconds: durationUs / 1e6, answerBytes: bytes / Math.max(requests, 1), errors };
}

/** Where in a body each request's own number goes. */
export const SEED = '"SEED"';

/** Gives a seed of ten digits that no earlier run came near. */
export function newSeed(): number {
  return 1_000_000_000 + Math.floor(Math.random() * 3_000_000_000);
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
