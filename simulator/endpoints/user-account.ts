// The account calls: login, persistent token, subscription, and what the web client reads at its start (contract 2.3, 2.4, 3.9).
import { NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import type { AccountState } from '../accounts/accounts.ts';
import type { Exchange } from '../exchange.ts';
import { Refusal } from '../refusal.ts';
import { parseMembers, textOf } from '../request-body.ts';
import type { World } from '../world.ts';

interface Perks {
  readonly maxPriorityActions: number;
  readonly startPriority: number;
  readonly contextTokens: number;
  readonly unlimitedMaxPriority: boolean;
  readonly moduleTrainingSteps: number;
}

const OPUS_PERKS: Perks = {
  maxPriorityActions: 1000,
  startPriority: 10,
  contextTokens: 8192,
  unlimitedMaxPriority: true,
  moduleTrainingSteps: 10_000,
};
const SCROLL_PERKS: Perks = { ...OPUS_PERKS, unlimitedMaxPriority: false, moduleTrainingSteps: 1000 };
const TABLET_PERKS: Perks = { ...SCROLL_PERKS, contextTokens: 4096 };
const NO_PERKS: Perks = {
  maxPriorityActions: 0,
  startPriority: 0,
  contextTokens: 0,
  unlimitedMaxPriority: false,
  moduleTrainingSteps: 0,
};
const PERKS: readonly [Perks, Perks, Perks, Perks] = [NO_PERKS, TABLET_PERKS, SCROLL_PERKS, OPUS_PERKS];

export async function login(exchange: Exchange, world: World): Promise<void> {
  const body = parseMembers(exchange.body);
  const key = textOf(body, 'key');
  if (key === undefined) throw new Refusal(400, 'Validation error: key is required');
  await world.clock.wait(world.latency.smallCallMs());
  const account = await world.accounts.byAccessKey(key, textOf(body, 'email'));
  world.truth.countLogin(account?.email);
  if (!account) throw new Refusal(401, NOVELAI_MESSAGES.unauthorized);
  world.truth.recognise(exchange.row, account.email);
  return exchange.json(201, { accessToken: world.authority.issueSessionToken(account) });
}

export function createPersistentToken(exchange: Exchange, world: World): Promise<void> {
  const { account } = exchange;
  const isOverwriting = parseMembers(exchange.body, true)['overwrite'] === true;
  if (account.persistentToken !== undefined && !isOverwriting) {
    throw new Refusal(409, 'A persistent token already exists');
  }
  return exchange.json(201, { token: world.authority.issuePersistentToken(account) });
}

export async function subscription(exchange: Exchange, world: World): Promise<void> {
  await world.clock.wait(world.latency.smallCallMs());
  return exchange.json(200, subscriptionOf(exchange.account, world));
}

export async function userData(exchange: Exchange, world: World): Promise<void> {
  await world.clock.wait(world.latency.smallCallMs());
  const { account } = exchange;
  const { keystore, keystoreChangeIndex, clientSettings } = account.storage;
  return exchange.json(200, {
    priority: priorityOf(account),
    subscription: subscriptionOf(account, world),
    keystore: { keystore, changeIndex: keystoreChangeIndex },
    settings: clientSettings,
    information: informationOf(account),
  });
}

export function information(exchange: Exchange): Promise<void> {
  return exchange.json(200, informationOf(exchange.account));
}

export function priority(exchange: Exchange): Promise<void> {
  return exchange.json(200, priorityOf(exchange.account));
}

export function giftKeys(exchange: Exchange): Promise<void> {
  return exchange.json(200, { giftKeys: [] });
}

function subscriptionOf(account: AccountState, world: World): Record<string, unknown> {
  const { tier, isActive } = account;
  const { percent, isNegative, secondsUntilNextPercent } = account.allowance();
  return {
    tier,
    active: isActive,
    paymentProcessor: tier > 0 ? 'paddle' : '',
    // Never a string: clients type it as an object or null (contract 3.9).
    paymentProcessorData: null,
    expiresAt: account.expiresAtUnix,
    perks: { ...PERKS[tier], ...(world.options.hasOldPerks ? oldPerks(tier) : {}) },
    trainingStepsLeft: {
      fixedTrainingStepsLeft: account.fixedAnlas,
      purchasedTrainingSteps: account.purchasedAnlas,
    },
    accountType: 0,
    isGracePeriod: false,
    isPaypal: false,
    ...(account.hasAllowance ? { usage: { percent, isNegative, timeUntilNextPercent: secondsUntilNextPercent } } : {}),
  };
}

/** No longer returned since V5, and still demanded by one client (contract 3.9, "Old perks fields"). */
function oldPerks(tier: number): Record<string, unknown> {
  return {
    voiceGeneration: tier > 0,
    imageGeneration: tier > 0,
    unlimitedImageGeneration: tier >= 3,
    unlimitedImageGenerationLimits: tier >= 3 ? [{ resolution: 1_048_576, maxPrompts: 1 }] : [],
  };
}

function informationOf(account: AccountState): Record<string, unknown> {
  return {
    emailVerified: true,
    emailVerificationLetterSent: true,
    hasPlaintextEmail: true,
    plainTextEmail: account.email,
    allowMarketingEmails: false,
    trialActivated: true,
    trialActionsLeft: 0,
    trialImagesLeft: 0,
    accountCreatedAt: account.createdAtUnix,
    banStatus: 'not_banned',
    banMessage: '',
    loginMethod: 'password',
    needsAddressChange: false,
  };
}

function priorityOf({ tier }: AccountState): Record<string, unknown> {
  const { maxPriorityActions, startPriority } = PERKS[tier];
  return { maxPriorityActions, nextRefillAt: 0, taskPriority: startPriority };
}
