// Faults that a storm must notice: each replaces one piece of sound source with a plausible mistake.
import type { StormOptions } from './storm.ts';

export interface Plant {
  file: string;
  sound: string;
  faulty: string;
  /** What the storm's report must complain about. */
  breaks: RegExp;
  /** The storm that brings it to light. */
  weather?: Partial<StormOptions>;
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  'freed when the client leaves': {
    file: '/src/dispatch/attempt.ts',
    sound: 'stopDrain = afterPatiently(deps.clock, deps.drainMs, () => exchange.abort());',
    faulty: 'lease.release();',
    breaks: /I1/,
    weather: { faultShare: 0, leaverShare: 0.5, latencyMs: 30, accounts: 10, openAtOnce: 20 },
  },
  'sent again after a reset': {
    file: '/src/accounts/outcome-table.ts',
    sound: 'return wasSent ? {',
    faulty:
      "if (kind === 'reset' && !arguments[0].hasHead) return { account: 'suspect', action: 'wait_again' };\n  return wasSent ? {",
    breaks: /I2/,
  },
  'one slot given to two requests': {
    file: '/src/scheduler/slot-table.ts',
    sound: 'return slot.isAvailable && slot.leaseId === 0 &&',
    faulty: 'return slot.isAvailable && (slot.leaseId === 0 || slot.leaseId % 7 === 0) &&',
    breaks: /I1/,
  },
  'no rest after an end that was not seen': {
    file: '/src/dispatch/attempt.ts',
    sound: 'restUntilMs: isEndUnseen ?',
    faulty: 'restUntilMs: isEndUnseen && request.id === "" ?',
    breaks: /I1/,
    weather: {
      requests: 300,
      faultShare: 0,
      leaverShare: 0.3,
      latencyMs: 250,
      drainMs: 20,
      accounts: 10,
      openAtOnce: 20,
    },
  },
};
