// A PostgreSQL server for the tests: the one TEST_POSTGRES_URL names, or one of Debian's package in a folder of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';

export interface PostgresServer {
  /** Makes an empty database and gives its URL. */
  newDatabase(): Promise<string>;
  stop(): Promise<void>;
}

/** Why there is no PostgreSQL here, or undefined when there is one. */
export function reasonForNoPostgres(): string | undefined {
  if (process.env['TEST_POSTGRES_URL'] || binFolder()) return undefined;
  const reason = 'PostgreSQL is not installed, and TEST_POSTGRES_URL is not set';
  // Where everything must hold, a suite that quietly did nothing would be a lie.
  if (process.env['CI'] === 'true') throw new Error(`${reason}.`);
  return reason;
}

export async function startPostgres(): Promise<PostgresServer> {
  const given = process.env['TEST_POSTGRES_URL'];
  const local = given ? undefined : await startLocal();
  const adminUrl = given ?? local?.url ?? '';
  let count = 0;
  const made: string[] = [];
  return {
    async newDatabase() {
      count += 1;
      const name = `proxy_test_${process.pid}_${count}`;
      await run(adminUrl, `create database ${name}`);
      made.push(name);
      const url = new URL(adminUrl);
      url.pathname = `/${name}`;
      return url.href;
    },
    async stop() {
      if (local) await local.stop();
      else for (const name of made) await run(adminUrl, `drop database if exists ${name} with (force)`);
    },
  };
}

async function run(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Debian keeps the programs out of the path, in a folder for each version. */
function binFolder(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).toSorted((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, 'bin')).find((folder) => existsSync(join(folder, 'initdb')));
}

/** The server refuses to run as root, so root becomes the user that Debian's package has made for it. */
function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [, , uid, gid] = /^postgres:.*$/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[0].split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

async function startLocal(): Promise<{ url: string; stop: () => Promise<void> }> {
  const bin = binFolder() ?? '';
  const user = serverUser();
  const folder = mkdtempSync(join(tmpdir(), 'proxy-pg-'));
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const options = { stdio: 'ignore', cwd: folder, ...user } as const;
  await succeed(spawn(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'], options));
  // Only a socket in the test's own folder, so that nothing else can meet it and no port is needed.
  const settings = [
    'listen_addresses=',
    `unix_socket_directories=${folder}`,
    'max_connections=60',
    'deadlock_timeout=50ms',
  ];
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], options);
  // Also when the test process is stopped before it could tidy up.
  const killServer = () => server.kill('SIGINT');
  const onTerm = () => process.exit(143);
  process.once('exit', killServer);
  process.once('SIGTERM', onTerm);
  const url = `postgres://postgres@localhost/postgres?host=${encodeURIComponent(folder)}`;
  await untilUp(url, server);
  return {
    url,
    async stop() {
      process.off('exit', killServer);
      process.off('SIGTERM', onTerm);
      const gone = once(server, 'exit');
      killServer();
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function succeed(child: ChildProcess): Promise<void> {
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}.`);
}

async function untilUp(url: string, server: ChildProcess): Promise<void> {
  for (let tries = 0; server.exitCode === null && tries < 300; tries += 1) {
    try {
      await run(url, 'select 1');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error('The PostgreSQL server did not come up.');
}
