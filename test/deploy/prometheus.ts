// Debian's Prometheus with the shipped configuration, for tests: only whom it asks and how often is changed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './front.ts';
import { findTool, readProjectFile, ROOT } from './tools.ts';

export interface Prometheus {
  /** Asks one question for now; gives the series that answer. Rejects when it makes no sense. */
  query(expr: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]>;
  /** The alert rules with their health. */
  rules(): Promise<{ name: string; health: string; lastError?: string }[]>;
  stop(): Promise<void>;
}

/** Starts it in an empty folder, the caller's to remove, to read from `target` each second; resolves once it has read often enough for rates. */
export async function startPrometheus(dir: string, target: string): Promise<Prometheus> {
  const address = `127.0.0.1:${await freePort()}`;
  mkdirSync(dir, { recursive: true });
  cpSync(join(ROOT, 'deploy/prometheus/alerts.yml'), join(dir, 'alerts.yml'));
  const config = readProjectFile('deploy/prometheus/prometheus.yml')
    .replace('127.0.0.1:5000', target)
    .replaceAll('_interval: 15s', '_interval: 1s');
  writeFileSync(join(dir, 'prometheus.yml'), config);
  const args = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=${address}`];
  const child = spawn(findTool('prometheus') ?? 'prometheus', args, { cwd: dir, stdio: 'ignore' });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`http://${address}/api/v1/${path}`);
    const { data, error } = (await response.json()) as { data: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return data;
  };
  const prometheus: Prometheus = {
    query: async (expr) =>
      (await ask<{ result: Awaited<ReturnType<Prometheus['query']>> }>(`query?query=${encodeURIComponent(expr)}`))
        .result,
    rules: async () =>
      (await ask<{ groups: { rules: Awaited<ReturnType<Prometheus['rules']>> }[] }>('rules')).groups.flatMap(
        ({ rules }) => rules,
      ),
    async stop() {
      process.off('exit', onExit);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
  const hasReadOften = async () => {
    const [series] = await prometheus.query('count_over_time(up{job="novelai-proxy"}[1m])').catch(() => []);
    return Number(series?.value[1] ?? 0) >= 3;
  };
  const endMs = performance.now() + 30_000;
  while (!(await hasReadOften())) {
    if (performance.now() > endMs || child.exitCode !== null) {
      await prometheus.stop();
      throw new Error('Prometheus did not start, or could not read the service');
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return prometheus;
}
