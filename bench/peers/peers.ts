// The proxies that the service is compared with: how each is set up and started. Each in its plainest quick form, one process or
// thread, connections to the origin kept, no log, so that it is nobody's weakest side that we are compared with.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A way for a request to the origin: through a proxy, or straight. */
export interface Way {
  name: string;
  /** Base URL, to which the request's path is added. */
  base: string;
  headers: Readonly<Record<string, string>>;
  /** The proxy's first process; undefined for the straight way. */
  pid?: number;
  stop: () => Promise<void>;
}

interface Command {
  file: string;
  arguments: string[];
  environment?: Record<string, string>;
  /** What to say to the proxy beside the request's own headers. */
  headers?: Record<string, string>;
  /** Before the request's path. */
  prefix?: string;
}

interface Place {
  port: number;
  originPort: number;
  dir: string;
}

interface Peer {
  name: string;
  /** What must be there, and how it gets there. */
  needs: { path: string; hint: string };
  command(place: Place): Command;
}

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MODULES = join(HERE, 'node_modules');
const VENV = join(HERE, '.venv');
const NPM_HINT = 'npm ci --prefix bench/peers';
const START_LIMIT_MS = 30_000;

const PEERS: readonly Peer[] = [
  {
    name: 'nginx',
    needs: { path: findProgram('nginx'), hint: 'apt-get install nginx-light' },
    command({ port, originPort, dir }) {
      const file = join(dir, 'nginx.conf');
      writeFileSync(file, nginxConfig(port, originPort, dir));
      return { file: findProgram('nginx'), arguments: ['-p', dir, '-e', join(dir, 'error.log'), '-c', file] };
    },
  },
  {
    name: 'HAProxy',
    needs: { path: findProgram('haproxy'), hint: 'apt-get install haproxy' },
    command({ port, originPort, dir }) {
      const file = join(dir, 'haproxy.cfg');
      writeFileSync(file, haproxyConfig(port, originPort));
      return { file: findProgram('haproxy'), arguments: ['-q', '-db', '-f', file] };
    },
  },
  {
    name: 'Node pipe',
    needs: { path: join(HERE, 'node-pipe.mjs'), hint: 'a whole clone' },
    command: ({ port, originPort }) => nodeCommand(join(HERE, 'node-pipe.mjs'), String(port), String(originPort)),
  },
  {
    name: 'http-proxy',
    needs: { path: join(MODULES, 'http-proxy'), hint: NPM_HINT },
    command: ({ port, originPort }) => nodeCommand(join(HERE, 'http-proxy.mjs'), String(port), String(originPort)),
  },
  {
    name: 'Portkey',
    needs: { path: join(MODULES, '@portkey-ai/gateway'), hint: NPM_HINT },
    command: ({ port, originPort }) => ({
      ...nodeCommand(join(HERE, 'portkey.mjs'), `--port=${port}`, '--headless'),
      environment: { NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost' },
      headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `http://127.0.0.1:${originPort}` },
      prefix: '/v1/proxy',
    }),
  },
  {
    name: 'NyaProxy',
    needs: {
      path: join(VENV, 'bin/nyaproxy'),
      hint: 'python3 -m venv bench/peers/.venv && bench/peers/.venv/bin/pip install -r bench/peers/requirements.txt',
    },
    command({ port, originPort, dir }) {
      const file = join(dir, 'nya.yaml');
      writeFileSync(file, nyaConfig(originPort));
      return {
        file: join(VENV, 'bin/nyaproxy'),
        arguments: ['--config', file, '--host', '127.0.0.1', '--port', String(port)],
        headers: { authorization: 'Bearer made-up' },
        prefix: '/api/novelai',
      };
    },
  },
];

/** Starts every peer that is installed, and tells of the others what they lack. `only` chooses by name. */
export async function startPeers(
  originPort: number,
  dir: string,
  only: (name: string) => boolean = () => true,
): Promise<{ ways: Way[]; missing: string[] }> {
  const ways: Way[] = [];
  const missing: string[] = [];
  for (const peer of PEERS.filter(({ name }) => only(name))) {
    const { name, needs } = peer;
    if (!existsSync(needs.path)) missing.push(`${name} is not here, so it is left out (${needs.hint})`);
    else
      await start(peer, originPort, join(dir, name)).then(
        (way) => ways.push(way),
        (error: unknown) => missing.push(`${name} is left out: ${String(error)}`),
      );
  }
  return { ways, missing };
}

async function start(peer: Peer, originPort: number, dir: string): Promise<Way> {
  const { name } = peer;
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const { file, arguments: args, environment, headers = {}, prefix = '' } = peer.command({ port, originPort, dir });
  const child = spawn(file, args, {
    cwd: dir,
    stdio: 'ignore',
    env: { PATH: process.env['PATH'] ?? '', HOME: dir, ...environment },
  });
  // Politely: killed outright, nginx would leave its worker behind.
  const onExit = () => child.kill('SIGTERM');
  process.once('exit', onExit);
  let failure = '';
  child.once('error', (error) => (failure = error.message));
  const stop = async () => {
    process.off('exit', onExit);
    if (child.exitCode !== null || child.signalCode !== null || failure !== '') return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(killer);
  };
  const endMs = performance.now() + START_LIMIT_MS;
  while (!(await isListening(port))) {
    if (failure !== '' || child.exitCode !== null || performance.now() > endMs) {
      await stop();
      throw new Error(failure || `it did not start (exit code ${child.exitCode})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { name, base: `http://127.0.0.1:${port}${prefix}`, headers, pid: child.pid ?? 0, stop };
}

/** Gives a port nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Gives a program's path, or a path at which nothing is. Debian keeps servers out of people's PATH. */
function findProgram(name: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? `/nowhere/${name}`;
}

function nodeCommand(script: string, ...rest: string[]): Command {
  return { file: process.execPath, arguments: [script, ...rest] };
}

function nginxConfig(port: number, originPort: number, dir: string): string {
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `${user}worker_processes 1;
daemon off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path ${dir}/${name};`).join('\n')}
  client_max_body_size 64m;
  keepalive_requests 100000000;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
    }
    location ~ -stream$ {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}

function haproxyConfig(port: number, originPort: number): string {
  return `global
  maxconn 4096
  nbthread 1
defaults
  mode http
  http-reuse always
  option http-no-delay
  timeout connect 5s
  timeout client 75s
  timeout server 75s
frontend door
  bind 127.0.0.1:${port}
  default_backend origin
backend origin
  server origin 127.0.0.1:${originPort}
`;
}

function nyaConfig(originPort: number): string {
  return `server:
  api_key:
  logging: { enabled: false }
  dashboard: { enabled: false }
default_settings:
  key_variable: keys
  key_concurrency: true
  queue: { max_size: 2000, max_workers: 128, expiry_seconds: 300 }
  rate_limit: { enabled: false }
  retry: { enabled: false }
apis:
  novelai:
    name: NovelAI
    endpoint: http://127.0.0.1:${originPort}
    headers: { Authorization: 'Bearer \${{keys}}' }
    variables: { keys: [made-up] }
`;
}
