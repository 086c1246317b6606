// The account answers a client reads first, made up in NovelAI's shape (contract 3.9): today's members and those of before.

/** What a client is told of "its" account. */
export interface ShownAccount {
  /** The client's name; also stands for its e-mail address. */
  name: string;
  /** 0 Paper, 1 Tablet, 2 Scroll, 3 Opus. */
  tier: number;
  isActive: boolean;
  /** Unix seconds; 0 for none. */
  expiresAtUnix: number;
  /** Anlas it may spend. */
  anlas: number;
  /** V5 allowance; only an active Opus has one. */
  allowance?: { percent: number; isNegative: boolean; secondsUntilNextPercent: number } | undefined;
}

interface Perks {
  maxPriorityActions: number;
  startPriority: number;
  contextTokens: number;
  unlimitedMaxPriority: boolean;
  moduleTrainingSteps: number;
}

const NO_PERKS: Perks = {
  maxPriorityActions: 0,
  startPriority: 0,
  contextTokens: 0,
  unlimitedMaxPriority: false,
  moduleTrainingSteps: 0,
};
const TABLET_PERKS: Perks = { ...NO_PERKS, maxPriorityActions: 1000, startPriority: 10, contextTokens: 4096 };
const SCROLL_PERKS: Perks = { ...TABLET_PERKS, contextTokens: 8192, moduleTrainingSteps: 1000 };
const OPUS_PERKS: Perks = { ...SCROLL_PERKS, unlimitedMaxPriority: true, moduleTrainingSteps: 10_000 };
const PERKS = [NO_PERKS, TABLET_PERKS, SCROLL_PERKS, OPUS_PERKS] as const;
/** The area and number of samples that Opus has free (contract 7.1). */
const FREE_LIMITS = [{ resolution: 1_048_576, maxPrompts: 1 }];

/** Gives the answer of `/user/subscription`. */
export function subscriptionOf({ tier, isActive, expiresAtUnix, anlas, allowance }: ShownAccount) {
  return {
    tier,
    active: isActive,
    paymentProcessor: '',
    // Clients type it as an object or null, never a string (contract 3.9).
    paymentProcessorData: null,
    expiresAt: expiresAtUnix,
    perks: { ...perksOf(tier), ...oldPerksOf(tier) },
    trainingStepsLeft: { fixedTrainingStepsLeft: anlas, purchasedTrainingSteps: 0 },
    accountType: 0,
    isGracePeriod: false,
    isPaypal: false,
    ...(allowance && {
      usage: {
        percent: allowance.percent,
        isNegative: allowance.isNegative,
        timeUntilNextPercent: allowance.secondsUntilNextPercent,
      },
    }),
  };
}

/** Gives the answer of `/user/priority`. */
export function priorityOf({ tier }: ShownAccount) {
  const { maxPriorityActions, startPriority } = perksOf(tier);
  return { maxPriorityActions, nextRefillAt: 0, taskPriority: startPriority };
}

/** Gives the answer of `/user/information`. Nothing in it is the owner's. */
export function informationOf({ name }: ShownAccount) {
  return {
    emailVerified: true,
    emailVerificationLetterSent: true,
    hasPlaintextEmail: true,
    plainTextEmail: name,
    allowMarketingEmails: false,
    trialActivated: true,
    trialActionsLeft: 0,
    trialImagesLeft: 0,
    accountCreatedAt: 0,
    banStatus: 'not_banned',
    banMessage: '',
    loginMethod: 'password',
    needsAddressChange: false,
  };
}

/** Gives the answer of `/user/data`. Keystore and settings are empty: the owner's are private, and clients have none here. */
export function userDataOf(account: ShownAccount) {
  return {
    priority: priorityOf(account),
    subscription: subscriptionOf(account),
    keystore: { keystore: '', changeIndex: 0 },
    settings: '{}',
    information: informationOf(account),
  };
}

function perksOf(tier: number): Perks {
  return PERKS[tier] ?? OPUS_PERKS;
}

/** NovelAI no longer sends these; one client demands them, and another shows by them what is free (contract 3.9). */
function oldPerksOf(tier: number) {
  return {
    voiceGeneration: tier > 0,
    imageGeneration: tier > 0,
    unlimitedImageGeneration: tier >= 3,
    unlimitedImageGenerationLimits: tier >= 3 ? FREE_LIMITS : [],
  };
}
