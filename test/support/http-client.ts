// A plain HTTP client for tests: says exactly what goes over the wire and gives exactly what came back.
import { createHash } from 'node:crypto';
import { request, type Agent, type ClientRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
  sha256: string;
}

export interface CallOptions {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: Buffer | string;
  agent?: Agent;
  /** Gets the request as it starts, to abort it or to write to it. */
  onRequest?: (request: ClientRequest) => void;
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Sends one request. Rejects when the connection breaks, also in the middle of the answer. */
export function call(
  url: string,
  { method = 'POST', headers = {}, body, agent, onRequest }: CallOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length =
      body === undefined || 'transfer-encoding' in headers ? {} : { 'content-length': Buffer.byteLength(body) };
    const outgoing = request(
      url,
      { method, headers: { ...length, ...headers }, ...(agent && { agent }) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          if (!response.complete) {
            reject(new Error('the answer was cut off'));
            return;
          }
          const whole = Buffer.concat(chunks);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: whole,
            text: whole.toString('utf8'),
            sha256: sha256(whole),
          });
        });
      },
    );
    outgoing.once('error', reject);
    onRequest?.(outgoing);
    outgoing.end(body);
  });
}
