// nginx and Caddy as they are shipped, for tests: only where they listen, whom they ask and their TLS is changed.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { findTool, readProjectFile, runTool } from './tools.ts';

export type FrontName = 'nginx' | 'caddy';

export interface Front {
  /** Base URL that programs would use. */
  address: string;
  stop(): Promise<void>;
}

export interface FrontOptions {
  /** Empty folder for its files; the caller's to remove. */
  dir: string;
  /** Host and port of who is asked. */
  upstream: string;
}

const START_LIMIT_MS = 10_000;

/** Starts one; resolves when it takes connections. Rejects with what it said when it does not. */
export async function startFront(name: FrontName, { dir, upstream }: FrontOptions): Promise<Front> {
  const port = await freePort();
  mkdirSync(dir, { recursive: true });
  const args = name === 'nginx' ? prepareNginx(dir, port, upstream) : prepareCaddy(dir, port, upstream);
  const child = spawn(findTool(name) ?? name, args, {
    cwd: dir,
    env: { HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4000)));
  const stop = async () => {
    process.off('exit', onExit);
    if (!isOver(child)) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  };
  const address = `http://127.0.0.1:${port}`;
  const endMs = performance.now() + START_LIMIT_MS;
  while (!(await isAnswering(address))) {
    if (isOver(child) || performance.now() > endMs) {
      await stop();
      throw new Error(`${name} did not start:\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { address, stop };
}

/** The shipped file with its address, its upstream and its TLS replaced. Throws when it no longer has them as expected. */
function deriveNginx(shipped: string, port: number, upstream: string): string {
  const withAddress = replaceOnce(shipped, 'listen 443 ssl;', `listen 127.0.0.1:${port};`);
  const withUpstream = replaceOnce(withAddress, 'server 127.0.0.1:5000;', `server ${upstream};`);
  return withUpstream.replaceAll(/^ *ssl_.*\n/gm, '');
}

/** As `deriveNginx`, for the Caddyfile. */
function deriveCaddy(shipped: string, port: number, upstream: string): string {
  const withAddress = replaceOnce(shipped, 'proxy.example.org {', `http://127.0.0.1:${port} {`);
  const withUpstream = replaceOnce(withAddress, 'reverse_proxy 127.0.0.1:5000 {', `reverse_proxy ${upstream} {`);
  return `{\n\tadmin off\n\tauto_https off\n}\n${withUpstream}`;
}

function prepareNginx(dir: string, port: number, upstream: string): string[] {
  return writeNginx(dir, deriveNginx(readProjectFile('deploy/nginx/novelai-proxy.conf'), port, upstream));
}

/** Writes a whole configuration around a front's file, and gives the command line that uses it. */
function writeNginx(dir: string, front: string): string[] {
  writeFileSync(join(dir, 'front.conf'), front);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${dir}/${what};`,
  );
  // Around it the worst that a distribution's own nginx.conf may have: the shipped file has to undo it.
  const main = `
    daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr warn;
    events { worker_connections 512; }
    http {
      access_log off; ${temporary.join(' ')}
      gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0;
      proxy_buffering on; proxy_request_buffering on; proxy_ignore_client_abort on; client_max_body_size 1m;
      include ${dir}/front.conf;
    }`;
  writeFileSync(join(dir, 'nginx.conf'), main);
  return ['-p', dir, '-e', 'stderr', '-c', join(dir, 'nginx.conf')];
}

/** Lets nginx judge the shipped file with its TLS, certificates made up for it. Rejects with what nginx has against it. */
export async function checkNginxWithTls(dir: string): Promise<string> {
  const certificate = ['-keyout', join(dir, 'privkey.pem'), '-out', join(dir, 'fullchain.pem')];
  await runTool('openssl', [
    'req',
    '-x509',
    '-nodes',
    '-newkey',
    'rsa:2048',
    '-subj',
    '/CN=proxy.example.org',
    ...certificate,
  ]);
  const shipped = readProjectFile('deploy/nginx/novelai-proxy.conf');
  const onFreePort = replaceOnce(shipped, 'listen 443 ssl;', `listen 127.0.0.1:${await freePort()} ssl;`);
  const front = onFreePort.replaceAll('/etc/letsencrypt/live/proxy.example.org', dir);
  return runTool('nginx', ['-t', ...writeNginx(dir, front)]);
}

function prepareCaddy(dir: string, port: number, upstream: string): string[] {
  writeFileSync(join(dir, 'Caddyfile'), deriveCaddy(readProjectFile('deploy/caddy/Caddyfile'), port, upstream));
  return ['run', '--adapter', 'caddyfile', '--config', join(dir, 'Caddyfile')];
}

function replaceOnce(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`the shipped file has not exactly one "${from}"`);
  return text.replace(from, to);
}

/** Asks for what the front itself refuses, so that who is behind it hears nothing. */
async function isAnswering(address: string): Promise<boolean> {
  try {
    return (await fetch(`${address}/metrics`)).status === 404;
  } catch {
    return false;
  }
}

function isOver({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** A port that was free a moment ago: neither front can say which one it took. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
