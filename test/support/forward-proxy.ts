// A real HTTP proxy for tests: leads tunnels (CONNECT) to their goal, asks for a login where told to, and keeps count.
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What tests ask of a proxy of either kind. */
export interface TestProxy {
  /** `http://` or `socks5://`, with the login where one is wanted. */
  url: string;
  /** Goals of the tunnels it opened, such as `127.0.0.1:4321`. */
  tunnels: string[];
  /** Local ports of its own connections to the goals: whose requests come from there came through it. */
  ports: ReadonlySet<number>;
  /** Tunnels it refused, for a wrong login or because it was told to. */
  refusals: number;
  /** Connections it got. */
  connections: number;
  /** Refuses whatever comes from now on. */
  isRefusing: boolean;
  close(): Promise<void>;
}

export interface Login {
  username: string;
  password: string;
}

/** Starts it on a free port, or on a given one. */
export async function startForwardProxy({
  login,
  port = 0,
}: { login?: Login; port?: number } = {}): Promise<TestProxy> {
  const sockets = new Set<Duplex>();
  const ports = new Set<number>();
  const server = createServer((_request, response) => {
    // Undici asks for tunnels only; anything else would be a request that went astray.
    proxy.refusals += 1;
    response.writeHead(405).end();
  });
  server.on('connection', (socket: Socket) => {
    proxy.connections += 1;
    keep(sockets, socket);
  });
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    keep(sockets, socket);
    if (proxy.isRefusing || !isWelcome(request, login)) {
      proxy.refusals += 1;
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const goal = request.url ?? '';
    const [host = '', goalPort = ''] = goal.split(':');
    const onward = connect(Number(goalPort), host, () => {
      proxy.tunnels.push(goal);
      ports.add(onward.localPort ?? 0);
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      joinSockets(socket, onward);
    });
    onward.once('error', () => socket.destroy());
    keep(sockets, onward);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const proxy: TestProxy = {
    url: `http://${login ? `${login.username}:${login.password}@` : ''}127.0.0.1:${address.port}`,
    tunnels: [],
    ports,
    refusals: 0,
    connections: 0,
    isRefusing: false,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

function isWelcome({ headers }: IncomingMessage, login: Login | undefined): boolean {
  if (!login) return true;
  const expected = Buffer.from(`${login.username}:${login.password}`).toString('base64');
  return headers['proxy-authorization'] === `Basic ${expected}`;
}

/** Remembers a socket until it is closed, so that it can be ended with the proxy. */
export function keep(sockets: Set<Duplex>, socket: Duplex): void {
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.once('close', () => sockets.delete(socket));
}

/** Carries bytes both ways; when one end closes, so does the other. */
export function joinSockets(a: Duplex, b: Duplex): void {
  a.pipe(b);
  b.pipe(a);
  a.once('close', () => b.destroy());
  b.once('close', () => a.destroy());
}
