// The simulated accounts: their balances, subscriptions, V5 allowance and credentials.
import { createHash } from 'node:crypto';
import { deriveAccessKey } from '../../src/novelai/access-key.ts';
import type { PayingAccount } from '../../src/novelai/price.ts';
import type { SimulatorClock } from '../clock.ts';
import type { SimulatedAccount, Tier } from '../options.ts';

/** Seconds for the allowance to grow by 1 %: 11 % a day (contract 3.9). */
export const SECONDS_PER_ALLOWANCE_PERCENT = 7888;
/** V5 images that 1 % of the allowance pays for (contract 3.9). */
export const IMAGES_PER_ALLOWANCE_PERCENT = 17.3;
const FULL_ALLOWANCE_PERCENT = 100;
const THIRTY_DAYS_SECONDS = 30 * 24 * 3600;

/** What can be set on a running account; what is left out stays. */
export interface BalanceChange {
  fixedAnlas?: number;
  purchasedAnlas?: number;
  allowancePercent?: number;
  tier?: Tier;
  isActive?: boolean;
}

/** One item of `/user/objects` (contract 3.9, "Userdata"). */
export interface StoredObject {
  id: string;
  type: string;
  meta: string;
  data: string;
  lastUpdatedAt: number;
  changeIndex: number;
  status: 'ok';
}

export class AccountState {
  readonly email: string;
  readonly password: string;
  /** 21 characters, as the `id` claim of a session token. */
  readonly id: string;
  readonly createdAtUnix: number;
  tier: Tier;
  isActive: boolean;
  fixedAnlas: number;
  purchasedAnlas: number;
  expiresAtUnix: number;
  /** Session tokens with a smaller serial number are refused. */
  firstValidSerial = 0;
  persistentToken: string | undefined;
  /** The private data of `/user/keystore`, `/user/clientsettings` and `/user/objects`. */
  readonly storage = {
    keystore: '',
    keystoreChangeIndex: 0,
    clientSettings: '',
    objects: new Map<string, StoredObject>(),
  };

  readonly #clock: SimulatorClock;
  #allowancePercent: number;
  #allowanceAtMs: number;
  #accessKey: Promise<string> | undefined;

  constructor(account: SimulatedAccount, clock: SimulatorClock) {
    this.#clock = clock;
    this.email = account.email;
    this.password = account.password;
    this.id = createHash('sha256').update(account.email).digest('base64url').slice(0, 21);
    this.createdAtUnix = clock.wallSeconds() - 400 * 24 * 3600;
    this.tier = account.tier ?? 3;
    this.isActive = account.isActive ?? this.tier > 0;
    this.fixedAnlas = account.fixedAnlas ?? 10_000;
    this.purchasedAnlas = account.purchasedAnlas ?? 0;
    this.persistentToken = account.persistentToken;
    this.expiresAtUnix = this.isActive ? clock.wallSeconds() + THIRTY_DAYS_SECONDS : 0;
    this.#allowancePercent = account.allowancePercent ?? FULL_ALLOWANCE_PERCENT;
    this.#allowanceAtMs = clock.wallMs();
  }

  /** Gives the key that `POST /user/login` must bring (contract 2.2). Derived once, off the event loop. */
  accessKey(): Promise<string> {
    this.#accessKey ??= deriveAccessKey(this.email, this.password);
    return this.#accessKey;
  }

  get balanceAnlas(): number {
    return this.fixedAnlas + this.purchasedAnlas;
  }

  /** Whether V5 has an allowance here at all: only an active Opus subscription does (contract 3.9). */
  get hasAllowance(): boolean {
    return this.isActive && this.tier >= 3;
  }

  payingAccount(): PayingAccount {
    const isAllowanceExhausted = this.hasAllowance && this.allowance().isNegative;
    return { tier: this.tier, isActive: this.isActive, isAllowanceExhausted };
  }

  /** Takes Anlas, the subscription's first (contract 7.2, "Billing pool"). What is not there is not taken. */
  charge(costAnlas: number): void {
    const fromFixed = Math.min(costAnlas, this.fixedAnlas);
    this.fixedAnlas -= fromFixed;
    this.purchasedAnlas -= Math.min(costAnlas - fromFixed, this.purchasedAnlas);
  }

  /** Takes `images` V5 pictures from the allowance. */
  drainAllowance(images: number): void {
    this.#allowancePercent = this.#exactAllowancePercent() - images / IMAGES_PER_ALLOWANCE_PERCENT;
    this.#allowanceAtMs = this.#clock.wallMs();
  }

  /** The allowance as `usage` of `/user/subscription` tells it. */
  allowance(): { percent: number; isNegative: boolean; secondsUntilNextPercent: number } {
    const exact = this.#exactAllowancePercent();
    const percent = Math.max(0, Math.floor(exact));
    const isFull = exact >= FULL_ALLOWANCE_PERCENT;
    return {
      percent,
      // What is left must pay for a whole picture; where NovelAI draws the line is not on record (contract 10, item 6).
      isNegative: exact < 1 / IMAGES_PER_ALLOWANCE_PERCENT,
      secondsUntilNextPercent: isFull ? 0 : Math.ceil((Math.floor(exact) + 1 - exact) * SECONDS_PER_ALLOWANCE_PERCENT),
    };
  }

  change(change: BalanceChange): void {
    this.fixedAnlas = change.fixedAnlas ?? this.fixedAnlas;
    this.purchasedAnlas = change.purchasedAnlas ?? this.purchasedAnlas;
    this.tier = change.tier ?? this.tier;
    if (change.isActive !== undefined) {
      this.isActive = change.isActive;
      this.expiresAtUnix = this.#clock.wallSeconds() + (change.isActive ? THIRTY_DAYS_SECONDS : -1);
    }
    if (change.allowancePercent !== undefined) {
      this.#allowancePercent = change.allowancePercent;
      this.#allowanceAtMs = this.#clock.wallMs();
    }
  }

  #exactAllowancePercent(): number {
    const grown = (this.#clock.wallMs() - this.#allowanceAtMs) / 1000 / SECONDS_PER_ALLOWANCE_PERCENT;
    return Math.min(Math.max(FULL_ALLOWANCE_PERCENT, this.#allowancePercent), this.#allowancePercent + grown);
  }
}

/** All accounts of a simulator. */
export class AccountBook {
  readonly #byEmail = new Map<string, AccountState>();
  /** Remembers who had a persistent token last; only a guess, since tokens change. */
  readonly #tokenOwners = new Map<string, AccountState>();
  readonly #clock: SimulatorClock;

  constructor(accounts: readonly SimulatedAccount[], clock: SimulatorClock) {
    this.#clock = clock;
    for (const account of accounts) this.add(account);
  }

  /** Adds an account. Throws RangeError when there is one with this e-mail. */
  add(account: SimulatedAccount): AccountState {
    if (this.#byEmail.has(account.email))
      throw new RangeError(`The simulator already has an account ${account.email}.`);
    const state = new AccountState(account, this.#clock);
    this.#byEmail.set(state.email, state);
    return state;
  }

  all(): AccountState[] {
    return [...this.#byEmail.values()];
  }

  /** Gives the account with exactly this e-mail. Throws RangeError when there is none. */
  get(email: string): AccountState {
    const account = this.#byEmail.get(email);
    if (!account) throw new RangeError(`The simulator has no account ${email}.`);
    return account;
  }

  byId(id: string): AccountState | undefined {
    return this.all().find((account) => account.id === id);
  }

  byPersistentToken(token: string): AccountState | undefined {
    const guess = this.#tokenOwners.get(token);
    if (guess?.persistentToken === token) return guess;
    const owner = this.all().find((account) => account.persistentToken === token);
    if (owner) this.#tokenOwners.set(token, owner);
    return owner;
  }

  /** Gives the account this access key opens; `email`, when known, is only the first guess, since NovelAI goes by the key. */
  async byAccessKey(key: string, email?: string): Promise<AccountState | undefined> {
    const guess = email === undefined ? undefined : this.#byEmail.get(email);
    if (guess && (await guess.accessKey()) === key) return guess;
    const keys = await Promise.all(this.all().map(async (account) => ({ account, key: await account.accessKey() })));
    return keys.find((candidate) => candidate.key === key)?.account;
  }
}
