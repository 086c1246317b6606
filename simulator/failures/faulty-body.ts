// A streamed body that goes wrong on its way, as the request's fault says.
import type { Exchange, HeaderList } from '../exchange.ts';
import { faultAnswer } from './fault-answer.ts';
import type { FaultRule } from '../faults.ts';
import { SeededRandom } from '../random.ts';

/** Long enough for what was written before a cut to reach the client: a reset overtakes unsent bytes. */
export const BEFORE_CUT_MS = 25;
const DEFAULT_AFTER_BYTES = 4096;

export class FaultyBody {
  readonly #exchange: Exchange;
  readonly #fault: FaultRule;
  #passedBytes = 0;
  #isCutting = false;

  constructor(exchange: Exchange, fault: FaultRule) {
    this.#exchange = exchange;
    this.#fault = fault;
  }

  open(headers: HeaderList): void {
    if (this.#hasNoHead) return;
    this.#exchange.sendHead(200, headers, undefined);
    this.#exchange.response.flushHeaders();
  }

  write(bytes: Buffer): void {
    if (this.#hasNoHead) return;
    const { kind } = this.#fault;
    if (kind === 'garbage') this.#exchange.writeRaw(noise(bytes.length));
    else if (kind === 'hang' || kind === 'short-body') this.#writeUpToLimit(bytes);
    else if (kind === 'reset-after-headers' || kind === 'truncate') {
      this.#writeUpToLimit(bytes);
      if (this.#passedBytes >= this.#limitBytes) this.#cutSoon();
    } else this.#exchange.writeRaw(bytes);
  }

  end(): void {
    switch (this.#fault.kind) {
      case 'hang':
        return;
      case 'reset-before-headers':
        return this.#exchange.cut('reset');
      case 'status':
        return this.#exchange.sendWhole(faultAnswer(this.#fault));
      case 'reset-after-headers':
      case 'truncate':
        return this.#cutSoon();
      case 'delay':
      case 'short-body':
      case 'garbage':
      case 'slow-body':
      case 'stream-error':
        return this.#exchange.endRaw();
    }
  }

  /** Whether the whole stream is replaced at its end. */
  get #hasNoHead(): boolean {
    return this.#fault.kind === 'reset-before-headers' || this.#fault.kind === 'status';
  }

  get #limitBytes(): number {
    return this.#fault.afterBytes ?? DEFAULT_AFTER_BYTES;
  }

  #writeUpToLimit(bytes: Buffer): void {
    const piece = bytes.subarray(0, Math.max(0, this.#limitBytes - this.#passedBytes));
    this.#passedBytes += piece.length;
    if (piece.length > 0) this.#exchange.writeRaw(piece);
  }

  #cutSoon(): void {
    if (this.#isCutting) return;
    this.#isCutting = true;
    setTimeout(() => this.#exchange.cut(this.#fault.kind === 'truncate' ? 'fin' : 'reset'), BEFORE_CUT_MS);
  }
}

/** Gives bytes that are nothing; the same for the same length. */
export function noise(length: number): Buffer {
  return new SeededRandom(length).fill(Buffer.allocUnsafe(length));
}
