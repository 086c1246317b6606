// A client's end of the line that a test slows down, cuts and watches; notes everything that no real one would bear.
import type { ProxyError } from '../../src/lib/proxy-error.ts';
import type { ReplyHeaders, ReplySink } from '../../src/dispatch/reply-sink.ts';

export class FakeSink implements ReplySink {
  isOpen = true;
  status: number | undefined;
  headers: ReplyHeaders = {};
  readonly chunks: Buffer[] = [];
  hasEnded = false;
  wasCut = false;
  refusal: ProxyError | undefined;
  /** What was done that must not be: a write after the end, a second head, callbacks piling up. */
  readonly violations: string[] = [];
  /** Whether the client keeps up with the next write. */
  takes: () => boolean = () => true;
  /** Calls back at once when the answer ends; otherwise `finish` does. */
  finishesAtOnce = true;
  readonly #gone: (() => void)[] = [];
  #drain: (() => void)[] = [];
  #finish: (() => void) | undefined;

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get isSlow(): boolean {
    return this.#drain.length > 0;
  }

  onGone(callback: () => void): void {
    if (this.isOpen) this.#gone.push(callback);
    else callback();
  }

  head(status: number, headers: ReplyHeaders): void {
    if (this.status !== undefined) this.violations.push('a second head');
    this.#check('head');
    this.status = status;
    this.headers = headers;
  }

  write(chunk: Buffer): boolean {
    this.#check('write');
    if (this.status === undefined) this.violations.push('a body without a head');
    if (this.isSlow) this.violations.push('a write to a client that is slow');
    this.chunks.push(chunk);
    return this.takes();
  }

  onDrain(callback: () => void): void {
    this.#drain.push(callback);
    if (this.#drain.length > 1) this.violations.push('drain callbacks pile up');
  }

  end(callback: () => void): void {
    this.#check('end');
    this.hasEnded = true;
    this.#finish = callback;
    if (this.finishesAtOnce) queueMicrotask(() => this.finish());
  }

  cut(): void {
    this.#check('cut');
    this.wasCut = true;
  }

  refuse(error: ProxyError): void {
    this.#check('refuse');
    if (this.status !== undefined) this.cut();
    else {
      this.refusal = error;
      this.status = error.status;
      this.hasEnded = true;
    }
  }

  /** The client has caught up. */
  drain(): void {
    for (const callback of this.#drain.splice(0)) callback();
  }

  /** The last byte has gone out. */
  finish(): void {
    const callback = this.#finish;
    this.#finish = undefined;
    callback?.();
  }

  /** The client goes away. */
  leave(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const callback of this.#gone.splice(0)) callback();
    this.finish();
  }

  #check(what: string): void {
    if (this.hasEnded) this.violations.push(`${what} after the end`);
    if (this.wasCut) this.violations.push(`${what} after the cut`);
    if (!this.isOpen) this.violations.push(`${what} after the client left`);
  }
}
