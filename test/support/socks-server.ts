// A real SOCKS5 proxy for tests (RFC 1928, with the login of RFC 1929): leads connections to their goal, and keeps count.
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { joinSockets, keep, type Login, type TestProxy } from './forward-proxy.ts';

const VERSION = 5;
const NO_LOGIN = 0;
const BY_PASSWORD = 2;
const NO_METHOD = 0xff;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const NOT_ALLOWED = 2;
const UNREACHABLE = 4;

/** Reads a socket in pieces of known length. */
class Reader {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async bytes(count: number): Promise<Buffer> {
    for (;;) {
      const chunk = this.#socket.read(count) as Buffer | null;
      if (chunk && chunk.length === count) return chunk;
      if (this.#socket.readableEnded || this.#socket.destroyed) throw new Error('the client left');
      await new Promise<void>((resolve) => {
        this.#socket.once('readable', resolve);
        this.#socket.once('close', resolve);
      });
    }
  }

  async byte(): Promise<number> {
    return (await this.bytes(1)).readUInt8();
  }

  async text(): Promise<string> {
    return (await this.bytes(await this.byte())).toString('utf8');
  }
}

/** Starts it on a free port. */
export async function startSocksServer({ login }: { login?: Login } = {}): Promise<TestProxy> {
  const sockets = new Set<Duplex>();
  const ports = new Set<number>();
  const server = createServer((socket) => {
    proxy.connections += 1;
    keep(sockets, socket);
    serve(socket).catch(() => socket.destroy());
  });

  async function serve(socket: Socket): Promise<void> {
    const reader = new Reader(socket);
    if ((await reader.byte()) !== VERSION) throw new Error('not SOCKS5');
    const methods = await reader.bytes(await reader.byte());
    const method = login ? BY_PASSWORD : NO_LOGIN;
    if (proxy.isRefusing || !methods.includes(method)) {
      proxy.refusals += 1;
      socket.end(Buffer.from([VERSION, NO_METHOD]));
      return;
    }
    socket.write(Buffer.from([VERSION, method]));
    if (login && !(await isWelcome(reader, login))) {
      proxy.refusals += 1;
      socket.end(Buffer.from([1, 1]));
      return;
    }
    if (login) socket.write(Buffer.from([1, 0]));
    const [, command] = await reader.bytes(3);
    const { host, port } = await readGoal(reader);
    if (command !== CONNECT) {
      socket.end(reply(NOT_ALLOWED));
      return;
    }
    const onward = connect(port, host, () => {
      proxy.tunnels.push(`${host}:${port}`);
      ports.add(onward.localPort ?? 0);
      socket.write(reply(0));
      joinSockets(socket, onward);
    });
    onward.once('error', () => socket.end(reply(UNREACHABLE)));
    keep(sockets, onward);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const proxy: TestProxy = {
    url: `socks5://${login ? `${login.username}:${login.password}@` : ''}127.0.0.1:${address.port}`,
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

async function isWelcome(reader: Reader, { username, password }: Login): Promise<boolean> {
  await reader.byte();
  return (await reader.text()) === username && (await reader.text()) === password;
}

async function readGoal(reader: Reader): Promise<{ host: string; port: number }> {
  const type = await reader.byte();
  let host: string;
  if (type === NAME) host = await reader.text();
  else if (type === IPV4) host = [...(await reader.bytes(4))].join('.');
  else if (type === IPV6) host = (await reader.bytes(16)).toString('hex').replace(/(.{4})(?!$)/g, '$1:');
  else throw new Error(`address type ${type} is unknown`);
  return { host, port: (await reader.bytes(2)).readUInt16BE() };
}

function reply(code: number): Buffer {
  return Buffer.from([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]);
}
