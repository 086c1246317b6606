// A client's request that a test holds in its hand: reads nothing until told, and can be dropped at any moment.
import { request, type ClientRequest, type IncomingMessage } from 'node:http';

export class StagedCall {
  readonly #outgoing: ClientRequest;
  readonly #ended: Promise<string>;
  #response: IncomingMessage | undefined;
  #isReading = false;

  constructor(url: string, { headers, body }: { headers: Record<string, string>; body: Buffer }) {
    this.#outgoing = request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': String(body.length) },
    });
    this.#ended = new Promise((resolve) => {
      this.#outgoing.on('response', (response) => {
        this.#response = response;
        const status = `${response.statusCode}${told(response)}`;
        response.on('error', () => resolve(`${status}, cut off`));
        response.on('end', () => resolve(response.complete ? status : `${status}, cut off`));
        if (this.#isReading) response.resume();
      });
      this.#outgoing.on('error', () => resolve('broken'));
      this.#outgoing.on('close', () => resolve(this.#response ? `${this.#response.statusCode}, cut off` : 'broken'));
    });
    this.#outgoing.end(body);
  }

  /** Whether the answer's head has come. */
  get hasHead(): boolean {
    return this.#response !== undefined;
  }

  /** Reads to the end; gives the status and how it ended. */
  read(): Promise<string> {
    this.#isReading = true;
    this.#response?.resume();
    return this.#ended;
  }

  /** Leaves. */
  drop(): void {
    this.#outgoing.destroy();
  }
}

function told({ headers }: IncomingMessage): string {
  const code = headers['x-proxy-error'];
  return code === undefined ? '' : ` ${String(code)}`;
}
