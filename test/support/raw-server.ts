// A TCP server for tests of exchanges: says exactly what goes over the wire, byte by byte and when.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface RawServer {
  url: string;
  port: number;
  /** Every connection so far. */
  sockets: Socket[];
  /** All bytes that came in, one text per connection. */
  received: string[];
}

/**
 * Listens on a free port until the test ends; `onRequest` runs when the head of a request has come in, `onConnection` before the
 * first byte, for what is no HTTP.
 */
export async function startRawServer(
  context: TestContext,
  onRequest: (socket: Socket, requestNumber: number) => void,
  onConnection: (socket: Socket) => void = () => undefined,
): Promise<RawServer> {
  const raw: RawServer = { url: '', port: 0, sockets: [], received: [] };
  let requests = 0;
  const server = createServer((socket) => {
    const index = raw.sockets.push(socket) - 1;
    raw.received[index] = '';
    let seen = 0;
    socket.on('error', () => undefined);
    onConnection(socket);
    socket.on('data', (chunk) => {
      raw.received[index] += chunk.toString('latin1');
      for (let end = raw.received[index]!.indexOf('\r\n\r\n', seen); end !== -1;) {
        seen = end + 4;
        requests += 1;
        onRequest(socket, requests);
        end = raw.received[index]!.indexOf('\r\n\r\n', seen);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    for (const socket of raw.sockets) socket.destroy();
    server.close();
  });
  raw.port = (server.address() as AddressInfo).port;
  raw.url = `http://127.0.0.1:${raw.port}`;
  return raw;
}

/** A port on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
