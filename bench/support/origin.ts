// A NovelAI that costs next to nothing: canned answers straight from a socket, so that what is measured is the proxy before it.
// A process of its own, told over IPC how large its answers are and whether it holds them back.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** `chunked` is how NovelAI frames its pictures (contract 3). */
export type Framing = 'chunked' | 'length';

interface OriginSettings {
  answerBytes: number;
  framing: Framing;
  /** Keeps answers to generations until this is false. */
  isHolding: boolean;
  /** Events of one stream, and how far apart. */
  events: number;
  eventGapMs: number;
}

export interface Origin {
  address: string;
  pid: number;
  set(settings: Partial<OriginSettings>): Promise<void>;
  /** Generations answered so far. */
  answered(): Promise<number>;
  stop(): Promise<void>;
}

/** What it answers to a generation of this size: bytes that do not compress and tell a shifted copy from a true one. */
export function answerOf(sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let state = 2_463_534_242;
  for (let index = 0; index < sizeBytes; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 0xff;
  }
  return bytes;
}

/** Starts it; resolves when it listens. */
export async function startOrigin(): Promise<Origin> {
  const child = fork(fileURLToPath(import.meta.url), { stdio: 'inherit' });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const ask = async (settings: Partial<OriginSettings>) => {
    child.send(settings);
    const [state] = (await once(child, 'message')) as [{ answered: number }];
    return state;
  };
  return {
    address: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    async set(settings) {
      await ask(settings);
    },
    answered: async () => (await ask({})).answered,
    async stop() {
      if (child.exitCode !== null) return;
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

const CHUNK_BYTES = 64 * 1024;
const FAR_FUTURE_SECONDS = 4_102_444_800;
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

function json(status: string, body: unknown): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

function pictures({ answerBytes, framing }: OriginSettings): Buffer {
  const body = answerOf(answerBytes);
  const type =
    'HTTP/1.1 200 OK\r\ncontent-type: binary/octet-stream\r\ncontent-disposition: attachment; filename=images.zip\r\n';
  if (framing === 'length') return Buffer.concat([Buffer.from(`${type}content-length: ${body.length}\r\n\r\n`), body]);
  const pieces: Buffer[] = [Buffer.from(`${type}transfer-encoding: chunked\r\n\r\n`)];
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const chunk = body.subarray(at, at + CHUNK_BYTES);
    pieces.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...pieces, LAST_CHUNK]);
}

function serveOrigin(): void {
  const settings: OriginSettings = {
    answerBytes: 2048,
    framing: 'chunked',
    isHolding: false,
    events: 100,
    eventGapMs: 10,
  };
  let picture = pictures(settings);
  let answered = 0;
  const held: Socket[] = [];

  const part = (claims: unknown) => Buffer.from(JSON.stringify(claims)).toString('base64url');
  const login = json('201 Created', {
    accessToken: `${part({ alg: 'HS256' })}.${part({ iat: 1, exp: FAR_FUTURE_SECONDS })}.c2lnbmF0dXJl`,
  });
  const subscription = json('200 OK', {
    tier: 3,
    active: true,
    expiresAt: FAR_FUTURE_SECONDS,
    trainingStepsLeft: { fixedTrainingStepsLeft: 1_000_000_000, purchasedTrainingSteps: 0 },
  });

  function stream(socket: Socket): void {
    socket.write(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    let left = settings.events;
    const timer = setInterval(() => {
      if (left === 0 || socket.destroyed) {
        clearInterval(timer);
        socket.write(LAST_CHUNK);
        answered += 1;
        return;
      }
      left -= 1;
      const event = `event: intermediate\ndata: ${process.hrtime.bigint()} ${'x'.repeat(1000)}\n\n`;
      socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
    }, settings.eventGapMs);
  }

  function answer(socket: Socket, path: string): void {
    if (path.endsWith('/user/login')) socket.write(login);
    else if (path.endsWith('/user/subscription')) socket.write(subscription);
    else if (path.endsWith('-stream')) stream(socket);
    else if (settings.isHolding) held.push(socket);
    else {
      answered += 1;
      socket.write(picture);
    }
  }

  const server = createServer({ noDelay: true }, (socket) => {
    const requests = new RequestReader((path) => answer(socket, path));
    socket.on('data', (chunk: Buffer) => requests.push(chunk));
    socket.on('error', () => socket.destroy());
  });
  process.on('message', (changes: Partial<OriginSettings>) => {
    Object.assign(settings, changes);
    if (changes.answerBytes !== undefined || changes.framing !== undefined) picture = pictures(settings);
    if (changes.isHolding === false)
      for (const socket of held.splice(0)) {
        answered += 1;
        socket.write(picture);
      }
    process.send?.({ answered });
  });
  // Ends with the bench, however that ends.
  process.once('disconnect', () => process.exit());
  server.listen(0, '127.0.0.1', 1024, () => process.send?.({ port: (server.address() as AddressInfo).port }));
}

/** Finds where requests begin and end; their bodies are counted and dropped. */
class RequestReader {
  readonly #onRequest: (path: string) => void;
  #head: Buffer = Buffer.alloc(0);
  #path = '';
  /** Of the present request's body; undefined between requests, -1 when only its last chunk tells the end. */
  #bodyLeft: number | undefined;

  constructor(onRequest: (path: string) => void) {
    this.#onRequest = onRequest;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    if (this.#bodyLeft === undefined) {
      this.#head = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
      const end = this.#head.indexOf(HEAD_END);
      if (end === -1) return;
      const head = this.#head.toString('latin1', 0, end);
      rest = this.#head.subarray(end + HEAD_END.length);
      this.#head = Buffer.alloc(0);
      this.#path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'));
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      this.#bodyLeft = length === undefined ? (/\r\ntransfer-encoding:/i.test(head) ? -1 : 0) : Number(length);
    }
    if (this.#bodyLeft === -1) {
      // The end may be split over two reads: what was read is kept small by keeping only its end.
      this.#head = Buffer.concat([this.#head, rest]).subarray(-LAST_CHUNK.length);
      if (!this.#head.equals(LAST_CHUNK)) return;
      this.#head = Buffer.alloc(0);
      this.#finish();
      return;
    }
    const taken = Math.min(this.#bodyLeft, rest.length);
    this.#bodyLeft -= taken;
    if (this.#bodyLeft > 0) return;
    this.#finish();
    if (rest.length > taken) this.push(rest.subarray(taken));
  }

  #finish(): void {
    this.#bodyLeft = undefined;
    this.#onRequest(this.#path);
  }
}

if (import.meta.main) serveOrigin();
