// Reads an account's tier, Anlas and allowance out of NovelAI's answers (contract 3.9).

export interface Subscription {
  /** 0 Paper, 1 Tablet, 2 Scroll, 3 Opus. Never refuse work for it: a free account with Anlas generates too. */
  tier: number;
  isActive: boolean;
  /** When the subscription ends, Unix seconds; 0 for none. */
  expiresAtUnix: number;
  /** Anlas of the subscription, spent first. */
  fixedAnlas: number;
  /** Anlas bought on top. */
  purchasedAnlas: number;
  /** V5 allowance; only an active Opus has one. */
  allowance?: Allowance;
}

export interface Allowance {
  /** 0 to 100, sometimes more; about 17.3 V5 images a percent. */
  percent: number;
  /** Used up: V5 costs Anlas until it has refilled. */
  isNegative: boolean;
  /** Seconds until one more percent; 0 while the refill is paused at the cap. */
  secondsUntilNextPercent: number;
}

/**
 * Reads the parsed answer of `/user/subscription`, or the one of `/user/data` that holds it under `subscription`. Gives
 * undefined when it lacks a tier or the Anlas, so that a changed form is noticed instead of read as "no Anlas". Single absent
 * or odd members become 0 or false. `isActive` is NovelAI's own word; the time is not looked at.
 */
export function readSubscription(json: unknown): Subscription | undefined {
  if (!isRecord(json)) return undefined;
  const body = isRecord(json['subscription']) ? json['subscription'] : json;
  const steps = body['trainingStepsLeft'];
  if (typeof body['tier'] !== 'number' || !Number.isFinite(body['tier'])) return undefined;
  const anlas = readAnlas(steps);
  if (anlas === undefined) return undefined;
  const allowance = readAllowance(body['usage']);
  return {
    tier: body['tier'],
    isActive: body['active'] === true,
    expiresAtUnix: numberOrZero(body['expiresAt']),
    ...anlas,
    ...(allowance === undefined ? {} : { allowance }),
  };
}

function readAnlas(steps: unknown): { fixedAnlas: number; purchasedAnlas: number } | undefined {
  // Very old answers gave one number here.
  if (typeof steps === 'number') return { fixedAnlas: numberOrZero(steps), purchasedAnlas: 0 };
  if (!isRecord(steps)) return undefined;
  const { fixedTrainingStepsLeft: fixed, purchasedTrainingSteps: purchased } = steps;
  if (typeof fixed !== 'number' && typeof purchased !== 'number') return undefined;
  return { fixedAnlas: numberOrZero(fixed), purchasedAnlas: numberOrZero(purchased) };
}

function readAllowance(usage: unknown): Allowance | undefined {
  if (!isRecord(usage) || (typeof usage['percent'] !== 'number' && typeof usage['isNegative'] !== 'boolean'))
    return undefined;
  return {
    percent: numberOrZero(usage['percent']),
    isNegative: usage['isNegative'] === true,
    secondsUntilNextPercent: numberOrZero(usage['timeUntilNextPercent']),
  };
}

function numberOrZero(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
