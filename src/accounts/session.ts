// Keeps one account's token good: logs in, reads its expiry ahead, and renews it for all waiters at once.
import type { AccountConfig } from '../config/config.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { singleFlight } from '../lib/single-flight.ts';
import { readJwtExpiry } from '../novelai/jwt-expiry.ts';
import type { LoginResult } from '../upstream/account-api.ts';

/**
 * `ready`: there is a token that NovelAI has not refused. `refreshing`: a login is running, and nothing can be sent until it ends.
 * `failing`: the login did not get through and is tried again. `refused`: NovelAI says that the credentials are wrong.
 */
export type SessionState = 'ready' | 'refreshing' | 'failing' | 'refused';

export interface SessionDeps {
  clock: Clock;
  random: () => number;
  /** Logs in; absent for an account that is only a token. */
  logIn?: (() => Promise<LoginResult>) | undefined;
  /** Asks NovelAI whether a token works, for an account that is only a token. */
  checkToken: (token: string) => Promise<'works' | 'refused' | 'unknown'>;
  /** Called after every change of state. */
  onChange: () => void;
  /** Called with every token as it appears, before it is used (so that it can be kept out of logs). */
  onToken: (token: string) => void;
}

const RETRY_PAUSE = { baseMs: 1000, maxMs: 300_000, jitter: 0.2 } as const;
/** A token refused this soon after its login was never good: logging in again and again at once would only be a flood. */
const FRESH_MS = 1000;
const FRESH_PAUSE = { baseMs: 1000, maxMs: 30_000, jitter: 0.2 } as const;
/** Read-ahead, design section 13: a tenth of the token's life, at most an hour, at least half a minute. */
const READ_AHEAD = { share: 0.1, maxMs: 3_600_000, minMs: 30_000, shortestLifeMs: 60_000 } as const;
/** Timers look at the wall clock at least this often, so that a stepped clock or a month-long token cannot fool them. */
const EXPIRY_CHECK_MS = 600_000;

export class Session {
  readonly #deps: SessionDeps;
  readonly #renew: () => Promise<void>;
  readonly #check: () => Promise<void>;
  #token: string | undefined;
  #state: SessionState;
  #why: string | undefined;
  #failures = 0;
  #logins = 0;
  /** When the last login gave its token, monotonic milliseconds. */
  #loggedInMs = -Infinity;
  /** Tokens in a row that were refused as soon as they were given. */
  #refusedFresh = 0;
  #endRest: () => void = () => undefined;
  /** Wall-clock milliseconds at which the token should be renewed ahead, and ends; undefined when it tells neither. */
  #life: { renewAtMs: number; endsAtMs: number } | undefined;
  #isClosed = false;
  #stopTimer: () => void = () => undefined;

  constructor(account: AccountConfig, deps: SessionDeps) {
    this.#deps = deps;
    this.#check = singleFlight(() => this.#checkToken());
    const { logIn } = deps;
    this.#renew = logIn ? singleFlight(() => this.#logIn(logIn)) : this.#check;
    this.#state = 'refreshing';
    if (account.token !== undefined) this.#adopt(account.token);
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Why there is no usable token, in one sentence without secrets; undefined while there is one. */
  get why(): string | undefined {
    return this.#why;
  }

  /** Successful logins so far. */
  get logins(): number {
    return this.#logins;
  }

  /** Gets the first token where none was given. */
  start(): void {
    if (this.#token === undefined) void this.#renew();
  }

  /** The token to send now, or undefined while there is none (`state` and `why` tell). */
  token(): string | undefined {
    // A token known to have ended is not worth the refusal.
    if (this.#state === 'ready' && this.#deps.logIn && this.#life && this.#deps.clock.wallMs() >= this.#life.endsAtMs) {
      this.#setState('refreshing', undefined);
      void this.#renew();
    }
    return this.#state === 'ready' ? this.#token : undefined;
  }

  /**
   * Tells that NovelAI refused `token`; resolves when a newer one is there or could not be had. Many callers share one login,
   * and a refusal of a token that has been replaced meanwhile starts none.
   */
  async onRefused(token: string): Promise<void> {
    if (token !== this.#token && this.#state === 'ready') return;
    if (this.#state === 'ready') {
      const isFresh = this.#deps.clock.monotonicMs() - this.#loggedInMs < FRESH_MS;
      this.#refusedFresh = isFresh ? this.#refusedFresh + 1 : 0;
      this.#setState('refreshing', undefined);
    }
    if (this.#state === 'refreshing') await this.#renew();
  }

  /**
   * Tells that a request was refused with a token that had just been renewed. NovelAI is asked whether the token or the request
   * was meant; resolves true when it was the request.
   */
  async onRefusedAgain(token: string): Promise<boolean> {
    if (token !== this.#token) return false;
    if (this.#state === 'ready') this.#setState('refreshing', undefined);
    await this.#check();
    return this.#state === 'ready' && token === this.#token;
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
    this.#endRest();
  }

  async #logIn(logIn: () => Promise<LoginResult>): Promise<void> {
    if (this.#refusedFresh > 1) await this.#rest(backoffMs(this.#refusedFresh - 1, FRESH_PAUSE, this.#deps.random));
    if (this.#isClosed) return;
    const result = await orElse(logIn, { kind: 'failed', why: 'the login broke off inside the service' });
    if (this.#isClosed) return;
    if (result.kind === 'ok') {
      this.#logins += 1;
      this.#loggedInMs = this.#deps.clock.monotonicMs();
      this.#adopt(result.token);
      this.#deps.onChange();
      return;
    }
    this.#failures += 1;
    // A login ahead of time that fails takes nothing away: the old token still works.
    if (this.#state !== 'ready') this.#setState(result.kind === 'refused' ? 'refused' : 'failing', result.why);
    this.#tryAgainLater();
  }

  async #checkToken(): Promise<void> {
    if (this.#isClosed) return;
    const token = this.#token;
    const answer = token === undefined ? 'refused' : await orElse(() => this.#deps.checkToken(token), 'unknown');
    // What NovelAI says of a token that a login has replaced meanwhile is of no interest any more.
    if (this.#isClosed || token !== this.#token) return;
    if (answer === 'works') {
      this.#failures = 0;
      this.#watchExpiry();
      this.#setState('ready', undefined);
      return;
    }
    this.#failures += 1;
    if (answer === 'refused') this.#setState('refused', 'NovelAI refuses its token (401)');
    else this.#setState('failing', 'its token was refused, and NovelAI could not be asked about it');
    this.#tryAgainLater();
  }

  /** Waits for a while, or until this is closed. */
  #rest(restMs: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#deps.clock.after(restMs, resolve);
      this.#endRest = () => {
        stop();
        resolve();
      };
    });
  }

  #tryAgainLater(): void {
    this.#armTimer(backoffMs(this.#failures, RETRY_PAUSE, this.#deps.random), () => void this.#renew());
  }

  #adopt(token: string): void {
    this.#deps.onToken(token);
    this.#token = token;
    this.#failures = 0;
    this.#state = 'ready';
    this.#why = undefined;
    this.#life = this.#readLife(token);
    this.#watchExpiry();
  }

  #readLife(token: string): { renewAtMs: number; endsAtMs: number } | undefined {
    const expiryUnix = readJwtExpiry(token);
    if (expiryUnix === undefined) return undefined;
    const endsAtMs = expiryUnix * 1000;
    const lifeMs = endsAtMs - this.#deps.clock.wallMs();
    // So short a life is a test's or a mistake's: such a token is used until it is refused.
    if (lifeMs < READ_AHEAD.shortestLifeMs) return undefined;
    const aheadMs = Math.max(Math.min(lifeMs * READ_AHEAD.share, READ_AHEAD.maxMs), READ_AHEAD.minMs);
    return { renewAtMs: endsAtMs - aheadMs, endsAtMs };
  }

  #watchExpiry(): void {
    this.#stopTimer();
    if (!this.#life || !this.#deps.logIn) return;
    const leftMs = this.#life.renewAtMs - this.#deps.clock.wallMs();
    if (leftMs <= 0) void this.#renew();
    else this.#armTimer(Math.min(leftMs, EXPIRY_CHECK_MS), () => this.#watchExpiry());
  }

  #armTimer(delayMs: number, callback: () => void): void {
    this.#stopTimer();
    if (!this.#isClosed) this.#stopTimer = this.#deps.clock.after(delayMs, callback);
  }

  #setState(state: SessionState, why: string | undefined): void {
    this.#state = state;
    this.#why = why;
    this.#deps.onChange();
  }
}

/** Gives what `action` gives, or `fallback` when it fails: nothing may leave an account waiting for a login that has ended. */
async function orElse<T>(action: () => Promise<T>, fallback: T): Promise<T> {
  try {
    return await action();
  } catch {
    return fallback;
  }
}
