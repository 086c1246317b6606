// One request and its answer: headers in NovelAI's order, the truth about every byte sent, and the faults of an answer.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERROR_CONTENT_TYPE, errorBody } from '../src/novelai/error-form.ts';
import type { AccountState } from './accounts/accounts.ts';
import { answerWithFault } from './failures/fault-play.ts';
import { FaultyBody } from './failures/faulty-body.ts';
import type { FaultRule } from './faults.ts';
import type { Identity } from './accounts/authority.ts';
import { hashOf } from './hashing.ts';
import { Refusal } from './refusal.ts';
import type { Role } from './options.ts';
import type { TruthRow } from './truth-log.ts';
import type { World } from './world.ts';

/** Header names and values, in the order they are sent. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** An answer as a whole. `chunked` is how NovelAI sends pictures; `length` how it sends short JSON (contract 3). */
export interface Answer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly pieces: readonly Buffer[];
  readonly framing: 'chunked' | 'length';
}

const NO_CONTENT = 204;
const NO_BYTES = Buffer.alloc(0);
const JSON_HEADERS: HeaderList = [['content-type', ERROR_CONTENT_TYPE]];

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly row: TruthRow;
  role: Role;
  body: Buffer = NO_BYTES;
  identity: Identity | undefined;
  fault: FaultRule | undefined;
  /** Resolves when the answer has wholly gone out or the connection is gone. */
  readonly closed: Promise<void>;

  readonly #world: World;
  readonly #hash: Hash | undefined;
  #runningWork = 0;
  #isClosed = false;
  #isCutByUs = false;
  #faulty: FaultyBody | undefined;

  constructor(world: World, request: IncomingMessage, response: ServerResponse, role: Role) {
    this.#world = world;
    this.request = request;
    this.response = response;
    this.role = role;
    const [path = '', query] = (request.url ?? '').split('?', 2);
    this.path = path;
    this.query = new URLSearchParams(query);
    this.row = world.truth.begin({
      role,
      method: request.method ?? '',
      path,
      receivedMs: world.clock.monotonicMs(),
    });
    if (world.options.recordsHeaders) this.row.headers = { ...request.headers };
    this.#hash = world.options.hashesBodies ? createHash('sha256') : undefined;
    this.closed = new Promise((resolve) => {
      response.on('close', () => {
        this.#isClosed = true;
        this.row.wasClientGone = !response.writableFinished && !this.#isCutByUs;
        this.#endIfOver();
        resolve();
      });
    });
  }

  /** The account the request comes from. Throws Refusal 401 when there is none. */
  get account(): AccountState {
    if (!this.identity) throw new Refusal(401, 'Unauthorized');
    return this.identity.account;
  }

  /** Whether nobody is left to answer. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Keeps the row open although the client may go; `endWork` once the work is over. */
  beginWork(): void {
    this.#runningWork++;
  }

  endWork(): void {
    this.#runningWork--;
    this.#endIfOver();
  }

  json(status: number, value: unknown): Promise<void> {
    const pieces = [Buffer.from(`${JSON.stringify(value)}\n`)];
    return this.answer({ status, headers: JSON_HEADERS, pieces, framing: 'length' });
  }

  /** Answers in NovelAI's error form; with trailing bytes the length is not announced. */
  refuse(refusal: Refusal): Promise<void> {
    const json = errorBody(refusal.status, refusal.message, refusal.details);
    return this.answer({
      status: refusal.status,
      headers: JSON_HEADERS,
      pieces: refusal.trailing ? [json, refusal.trailing] : [json],
      framing: refusal.trailing ? 'chunked' : 'length',
    });
  }

  /** Sends a whole answer, or what the request's fault makes of it. */
  async answer(answer: Answer): Promise<void> {
    if (this.fault) await answerWithFault(this, answer, this.fault);
    else this.sendWhole(answer);
  }

  /** Sends a whole answer as it is. */
  sendWhole({ status, headers, pieces, framing }: Answer): void {
    if (this.#isClosed || this.response.headersSent) return;
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#writeHead(status, headers, framing === 'length' ? sizeBytes : undefined);
    const [only] = pieces;
    if (only && pieces.length === 1) {
      // The usual case, and for cached pictures the hash is known: nothing is hashed twice.
      this.row.answerBytes = only.length;
      if (this.#hash) this.row.answerSha256 = hashOf(only);
      this.response.end(only);
      return;
    }
    for (const piece of pieces) this.writeRaw(piece);
    this.endRaw();
  }

  /** Begins an answer whose body comes in pieces, by `write` and `end`. */
  openStream(headers: HeaderList): void {
    if (this.#isClosed || this.response.headersSent) return;
    if (this.fault) {
      this.#faulty = new FaultyBody(this, this.fault);
      this.#faulty.open(headers);
    } else {
      this.sendHead(200, headers, undefined);
      this.response.flushHeaders();
    }
  }

  /** Begins any other answer by hand; a length that is then not kept is a fault of its own. */
  sendHead(status: number, headers: HeaderList, lengthBytes: number | undefined): void {
    if (!this.#isClosed && !this.response.headersSent) this.#writeHead(status, headers, lengthBytes);
  }

  /** Sends a piece of a stream, or what the request's fault makes of it. */
  write(bytes: Buffer): void {
    if (this.#faulty) this.#faulty.write(bytes);
    else this.writeRaw(bytes);
  }

  /** Sends bytes as they are; does nothing once the client is gone. */
  writeRaw(bytes: Buffer): void {
    if (this.#isClosed || this.#isCutByUs) return;
    this.row.answerBytes += bytes.length;
    this.#hash?.update(bytes);
    this.response.write(bytes);
  }

  /** Ends a stream, or does what the request's fault makes of its end. */
  end(): void {
    if (this.#faulty) this.#faulty.end();
    else this.endRaw();
  }

  /** Ends the answer as it should. */
  endRaw(): void {
    if (this.#isClosed || this.#isCutByUs) return;
    if (this.#hash && this.row.answerSha256 === '') this.row.answerSha256 = this.#hash.digest('hex');
    this.response.end();
  }

  /** Ends the connection here and now: by a reset, or politely, which on an unfinished body is a truncation. */
  cut(how: 'reset' | 'fin'): void {
    if (this.#isClosed || this.#isCutByUs) return;
    this.#isCutByUs = true;
    if (this.#hash && this.row.answerSha256 === '') this.row.answerSha256 = this.#hash.digest('hex');
    const { socket } = this.request;
    if (how === 'reset') socket.resetAndDestroy();
    else socket.destroySoon();
  }

  #endIfOver(): void {
    if (!this.#isClosed || this.#runningWork > 0) return;
    if (this.row.answerSha256 === '' && this.#hash && this.row.answerBytes > 0) {
      this.row.answerSha256 = this.#hash.digest('hex');
    }
    this.#world.truth.end(this.row, this.#world.clock.monotonicMs());
  }

  #writeHead(status: number, headers: HeaderList, lengthBytes: number | undefined): void {
    this.row.status = status;
    this.response.sendDate = false;
    this.response.writeHead(status, this.#headerList(status, headers, lengthBytes));
  }

  /** In the order of the contract: alphabetical where a length is known, else as captured for pictures (3.1, 9.1). */
  #headerList(status: number, own: HeaderList, lengthBytes: number | undefined): string[] {
    const isKeptAlive = this.response.shouldKeepAlive && this.request.httpVersionMinor > 0;
    const connection = ['connection', isKeptAlive ? 'keep-alive' : 'close'];
    const list: string[] = [];
    if (lengthBytes === undefined) {
      for (const [name, value] of own) list.push(name, value);
      if (this.request.httpVersionMinor > 0) list.push('transfer-encoding', 'chunked');
      list.push(...connection, 'date', this.#date());
    } else {
      list.push(...connection);
      // A 204 has no body, and so no length to announce (RFC 9110, 8.6).
      if (status !== NO_CONTENT) list.push('content-length', String(lengthBytes));
      for (const [name, value] of own) list.push(name, value);
      list.push('date', this.#date());
    }
    list.push('server', 'cloudflare', 'vary', 'Origin', ...this.#corsHeaders());
    return list;
  }

  /** The image host lets every origin read, also errors (contract 1). */
  #corsHeaders(): string[] {
    if (this.role !== 'image' || this.request.headers.origin === undefined) return [];
    return [
      'access-control-allow-origin',
      '*',
      'access-control-allow-headers',
      'Authorization, Content-Type',
      'access-control-allow-methods',
      this.request.headers['access-control-request-method'] ?? this.request.method ?? 'GET',
    ];
  }

  #date(): string {
    return httpDate(this.#world.clock.wallSeconds());
  }
}

let dateSeconds = -1;
let dateText = '';

/** A date costs more than the rest of the head, and changes once a second. */
function httpDate(seconds: number): string {
  if (seconds !== dateSeconds) {
    dateSeconds = seconds;
    dateText = new Date(seconds * 1000).toUTCString();
  }
  return dateText;
}
