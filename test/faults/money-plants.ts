// Faults in the way money is written down, which the money trials must notice: each replaces one piece of sound source.
import type { Plant } from './plants.ts';

const SETTLED_BEFORE_THE_SEND: Plant = {
  file: '/src/dispatch/serve-generation.ts',
  sound: 'await holding(lease, passage.booking?.markSent(account));',
  faulty: "await holding(lease, passage.booking?.markSent(account));\n    passage.booking?.end('succeeded');",
  breaks: /charges: NovelAI took/,
};

/** For the mixed work with faults. */
export const CHARGES_PLANTS: Readonly<Record<string, Plant>> = {
  'settled before the send': SETTLED_BEFORE_THE_SEND,
  'a success is settled at 0': {
    file: '/src/dispatch/booking.ts',
    sound: 'chargedAnlas: this.#quotedAnlas,\n          images',
    faulty: 'chargedAnlas: 0,\n          images',
    breaks: /charges: NovelAI took/,
  },
  'an unknown charge is given back': {
    file: '/src/dispatch/booking.ts',
    sound: 'await this.#ledger.hold(attemptId);',
    faulty: "await this.#ledger.release(attemptId, 'failed_upstream_free');",
    breaks: /charges: NovelAI took/,
  },
  'the price of an Opus account, wherever it was sent': {
    file: '/src/dispatch/booking.ts',
    sound: 'account.balance.priceOf(this.#request.work)',
    faulty: 'this.#request.work.costAnlas.opus',
    breaks: /charges: NovelAI took/,
  },
  'a charge that a balance has shown is booked as none': {
    file: '/src/ledger/account-readings.ts',
    sound: 'id, { chargedAnlas, resolution,',
    faulty: 'id, { chargedAnlas: 0, resolution,',
    breaks: /charges: NovelAI took/,
  },
};

/** For the process that is killed again and again. */
export const KILL_PLANTS: Readonly<Record<string, Plant>> = {
  'settled before the send': SETTLED_BEFORE_THE_SEND,
  'written down as sent only after the answer': {
    file: '/src/dispatch/serve-generation.ts',
    sound:
      'await holding(lease, passage.booking?.markSent(account));\n    const last = await holding(lease, watchedAttempt(passage, lease, token));',
    faulty:
      'const last = await holding(lease, watchedAttempt(passage, lease, token));\n    await holding(lease, passage.booking?.markSent(account));',
    breaks: /charges: NovelAI took/,
  },
  'no rest after a crash': {
    file: '/src/compose-accounts.ts',
    sound: 'if (leftMs > 0)',
    faulty: 'if (leftMs > 1e9)',
    breaks: /I1/,
  },
};
