// One NovelAI account: its token, its balance, its health, and so whether it can take work now.
import type { AccountConfig } from '../config/config.ts';
import type { Clock } from '../lib/clock.ts';
import { deriveAccessKey } from '../novelai/access-key.ts';
import { registerSecret } from '../telemetry/hide-secrets.ts';
import type { Log } from '../telemetry/log.ts';
import type { Subscription } from '../novelai/subscription.ts';
import {
  fetchSubscription,
  logIn,
  type AccountRoute,
  type LoginResult,
  type SubscriptionResult,
} from '../upstream/account-api.ts';
import { OutlierGuard } from '../upstream/outlier-guard.ts';
import type { AccountEffect } from './outcome-table.ts';
import { Balance } from './balance.ts';
import { Cooldowns } from './cooldowns.ts';
import { Session } from './session.ts';
import type { SlotKind, WorkClass } from './work-class.ts';

/** One look at an account's Anlas, as the ledger follows it. */
export interface BalanceReading {
  finish(balance: { fixedAnlas: number; purchasedAnlas: number }): Promise<{ stillHeld: number }>;
  cancel(): void;
}

export interface AccountDeps {
  clock: Clock;
  random: () => number;
  log: Log;
  /** How the account's own calls reach NovelAI, through its proxy where it has one. */
  route: AccountRoute;
  /** Has a reading of this account's balance watched: it may tell what an attempt of unknown cost was charged. */
  startReading?: ((account: string) => BalanceReading) | undefined;
  /** Told of every login that ended, and of every pause and ejection, for the metrics. */
  onLogin?: ((account: string, result: LoginResult['kind']) => void) | undefined;
  onCooldown?: ((account: string, why: CooldownReason) => void) | undefined;
  /** Least pause between two generations. */
  gapMs: number;
  onChange: (account: Account) => void;
  /** Whether the group can spare this account while it recovers. */
  mayEject: (account: Account) => boolean;
}

/** Why an account rests: what {@link AccountEffect} says, or that the end of its last request was not seen. */
export type CooldownReason = 'blocked' | 'locked' | 'ejected' | 'unreached' | 'end_unseen';

/** `ready` to take work, or why not (design section 5). `busy` is the scheduler's knowledge, not the account's. */
export type AccountState = 'ready' | 'cooling' | 'refreshing' | 'draining' | 'disabled';

export interface Availability {
  state: AccountState;
  /** One sentence without secrets; absent when ready. */
  why?: string | undefined;
  /** When it ends by itself, monotonic milliseconds; absent when that is not known. */
  untilMs?: number | undefined;
}

/** What is known of an exchange when its effect on the account is applied. */
export interface EffectDetail {
  kind: SlotKind;
  work: WorkClass;
  /** `Retry-After` of the answer. */
  retryAfterMs?: number | undefined;
  /** Until when NovelAI may still be working on a request whose end was not seen; monotonic milliseconds. */
  restUntilMs?: number | undefined;
}

/** While the cost of an attempt is not known, the balance is read again after this. */
const UNRESOLVED_REREAD_MS = 15_000;

export class Account {
  readonly name: string;
  readonly concurrency: number;
  readonly route: AccountRoute;
  readonly session: Session;
  readonly balance: Balance;
  readonly #deps: AccountDeps;
  readonly #guard = new OutlierGuard();
  readonly #cooldowns: Cooldowns;
  #administration: { state: 'draining' | 'disabled'; why: string } | undefined;
  #isClosed = false;
  /** What the group was told last. */
  #toldStanding = '';
  #stopWake: () => void = () => undefined;

  constructor(config: AccountConfig, deps: AccountDeps) {
    const { route } = deps;
    this.name = config.name;
    this.concurrency = config.concurrency;
    this.route = route;
    this.#deps = deps;
    this.#cooldowns = new Cooldowns(deps.random);
    const { login, proxyUrl } = config;
    for (const secret of [login?.email, login?.password, proxyUrl, proxyUrl && passwordIn(proxyUrl)])
      if (secret) registerSecret(secret);
    // Made once: deriving it costs 2 MB and 7 ms of a thread each time.
    let accessKey: Promise<string> | undefined;
    this.session = new Session(config, {
      clock: deps.clock,
      random: deps.random,
      logIn:
        login &&
        (async () => {
          accessKey ??= deriveAccessKey(login.email, login.password);
          // One that could not be made (for want of memory) is made anew by the next login.
          accessKey.catch(() => (accessKey = undefined));
          const result = await logIn(route, await accessKey);
          deps.onLogin?.(config.name, result.kind);
          return result;
        }),
      checkToken: async (token) => {
        const { kind } = await fetchSubscription(route, token);
        return kind === 'ok' ? 'works' : kind === 'refused' ? 'refused' : 'unknown';
      },
      onToken: registerSecret,
      onChange: () => this.#onSessionChange(),
    });
    this.balance = new Balance({
      clock: deps.clock,
      fetch: () => this.#readBalance(),
      onChange: () => this.#changed(),
    });
  }

  /** Logs in where needed and reads the balance; returns at once, changes are reported as they come. */
  start(): void {
    this.session.start();
    if (this.session.state === 'ready') void this.balance.refresh();
  }

  /** Whether the account can take work of this kind now. */
  availability(kind: SlotKind): Availability {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#administration) return this.#administration;
    const { session } = this;
    if (session.state === 'refused') return { state: 'disabled', why: session.why };
    if (session.state === 'failing') return { state: 'disabled', why: session.why };
    if (session.state === 'refreshing') return { state: 'refreshing', why: 'a login is under way' };
    if (!this.balance.isFirstReadOver) return { state: 'refreshing', why: 'its balance is being read' };
    const guardState = this.#guard.state(nowMs);
    if (guardState !== 'in')
      return { state: 'cooling', why: 'several requests in a row failed', untilMs: this.#guard.outUntilMs };
    const cooldown = this.#cooldowns.current(kind, nowMs);
    return cooldown ? { state: 'cooling', ...cooldown } : { state: 'ready' };
  }

  /** Whether it is of use to the group: neither switched off, nor without a working login, nor ejected. */
  get isHealthy(): boolean {
    return this.#administration === undefined && !this.#hasLoginTrouble && this.#guard.outUntilMs === undefined;
  }

  get #hasLoginTrouble(): boolean {
    return this.session.state === 'refused' || this.session.state === 'failing';
  }

  /** Whether it was ejected and the next request decides whether it is well again: more than one would be too many. */
  get isOnProbation(): boolean {
    return this.#guard.outUntilMs !== undefined && this.#guard.state(this.#deps.clock.monotonicMs()) === 'in';
  }

  /** A generation is about to be sent. */
  onSend(): void {
    if (this.#guard.onSend()) this.#changed();
  }

  /** A generation's exchange ended: applies what it says about the account. */
  apply(effect: AccountEffect, detail: EffectDetail): void {
    const { clock, log, gapMs } = this.#deps;
    const nowMs = clock.monotonicMs();
    const { kind, work } = detail;
    const costAnlas = this.balance.costOf(work);
    switch (effect) {
      case 'success':
        this.#guard.onSuccess();
        this.#cooldowns.onSuccess(kind, nowMs);
        if (costAnlas > 0) void this.balance.refresh();
        break;
      case 'blocked':
        this.#guard.onNoVerdict();
        this.#cooldowns.grow('account', "NovelAI's edge turned it away (403)", nowMs, detail.retryAfterMs);
        this.#tellCooldown('blocked');
        break;
      case 'locked':
        this.#guard.onNoVerdict();
        this.#cooldowns.grow(kind, 'NovelAI still runs another generation on it (429)', nowMs, detail.retryAfterMs);
        this.#tellCooldown('locked');
        break;
      case 'cannot_pay':
        this.#guard.onNoVerdict();
        this.balance.onPaymentRefused(work);
        break;
      case 'suspect':
        if (this.#guard.onFailure(nowMs, { mayEject: this.#deps.mayEject(this) })) {
          log.warn({ account: this.name }, 'account taken out of use after failures in a row');
          this.#tellCooldown('ejected');
        }
        if (costAnlas > 0) void this.balance.refresh();
        break;
      case 'unreached':
        this.#guard.onNoVerdict();
        // Or it would draw all work to itself: none is free as soon as one whose proxy is gone.
        if (this.route.isProxied === true) {
          this.#cooldowns.grow('account', 'NovelAI could not be reached through its proxy', nowMs);
          this.#tellCooldown('unreached');
        }
        break;
      case 'token_refused':
      case 'untouched':
        this.#guard.onNoVerdict();
        break;
    }
    if (detail.restUntilMs !== undefined && detail.restUntilMs > nowMs) {
      this.#cooldowns.restUntil(kind, 'NovelAI may still be working on its last request', detail.restUntilMs);
      this.#tellCooldown('end_unseen');
      if (costAnlas > 0) clock.after(detail.restUntilMs - nowMs, () => void this.balance.refresh());
    }
    if (gapMs > 0) this.#cooldowns.restUntil(kind, 'pause between generations', nowMs + gapMs);
    this.#changed();
  }

  /** Takes no work of this kind before a time (monotonic): what an earlier run of the service sent may still be at NovelAI. */
  restUntil(kind: SlotKind, untilMs: number): void {
    this.#cooldowns.restUntil(kind, 'NovelAI may still be working on what an earlier run sent', untilMs);
    this.#changed();
  }

  /** Takes no new work; what runs may finish. */
  drain(why: string): void {
    this.#administer({ state: 'draining', why });
  }

  disable(why: string): void {
    this.#administer({ state: 'disabled', why });
  }

  enable(): void {
    this.#administer(undefined);
  }

  close(): void {
    this.#isClosed = true;
    this.#stopWake();
    this.session.close();
    this.balance.close();
  }

  #tellCooldown(why: CooldownReason): void {
    this.#deps.onCooldown?.(this.name, why);
  }

  async #readBalance(): Promise<SubscriptionResult | undefined> {
    const token = this.session.token();
    if (token === undefined) return undefined;
    const reading = this.#deps.startReading?.(this.name);
    const result = await fetchSubscription(this.route, token);
    // The balance is often the first to learn that a token has ended.
    if (result.kind === 'refused') void this.session.onRefused(token);
    if (result.kind === 'ok') void this.#finishReading(reading, result.subscription);
    else reading?.cancel();
    return result;
  }

  /** Lets the ledger draw its conclusions, and looks again while it could not draw all of them. */
  async #finishReading(reading: BalanceReading | undefined, balance: Subscription): Promise<void> {
    const { log, clock } = this.#deps;
    try {
      const { stillHeld } = (await reading?.finish(balance)) ?? { stillHeld: 0 };
      if (stillHeld > 0 && !this.#isClosed) clock.after(UNRESOLVED_REREAD_MS, () => void this.balance.refreshIfStale());
    } catch (err) {
      log.warn({ account: this.name, err }, 'a reading of the balance could not be written down; the next one will do');
    }
  }

  #administer(administration: { state: 'draining' | 'disabled'; why: string } | undefined): void {
    this.#administration = administration;
    this.#changed();
  }

  #onSessionChange(): void {
    const { state, why } = this.session;
    const { log } = this.#deps;
    if (state === 'ready') {
      log.info({ account: this.name }, 'account logged in');
      void this.balance.refresh();
    } else if (state === 'refused' || state === 'failing')
      log.error({ account: this.name, why }, 'account cannot log in; will try again');
    this.#changed();
  }

  /**
   * Tells the group where there is something to tell, and again when the pause that now holds the account back is over. Most
   * answers change nothing, and the group would ask all accounts anew what they can serve.
   */
  #changed(): void {
    if (this.#isClosed) return;
    const image = this.availability('image');
    const text = this.availability('text');
    const standing = [
      image.state,
      image.untilMs,
      text.state,
      text.untilMs,
      this.isHealthy,
      this.isOnProbation,
      this.balance.version,
    ].join();
    if (standing === this.#toldStanding) return;
    this.#toldStanding = standing;
    this.#stopWake();
    const nowMs = this.#deps.clock.monotonicMs();
    const ends = [image.untilMs, text.untilMs].filter((ms) => ms !== undefined && ms > nowMs);
    if (ends.length > 0)
      this.#stopWake = this.#deps.clock.after(Math.min(...ends.map(Number)) - nowMs + 1, () => this.#wake());
    this.#deps.onChange(this);
  }

  /** A timer may come early, and must then be set again although nothing is new. */
  #wake(): void {
    this.#toldStanding = '';
    this.#changed();
  }
}

function passwordIn(proxyUrl: string): string {
  return decodeURIComponent(new URL(proxyUrl).password);
}
