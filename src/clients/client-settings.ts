// Checks what an operator sets for a client, wherever it comes from: command line, admin API or page.
import * as z from 'zod';
import { ENDPOINTS } from '../novelai/endpoints.ts';
import { BANDS, DIALECTS, FREE_ONLY_MODES, type ClientSettings } from './client.ts';
import { ClientError } from './client-error.ts';

/** Far above any sensible limit, far below where whole numbers end. */
const LARGEST_AMOUNT = 1_000_000_000;
/** The end of the year 9999. */
const LATEST_TIME_MS = 253_402_300_799_999;
const LONGEST_NAME = 64;
/** Offered to clients; the others are refused to everybody (design section 9). */
const ENDPOINT_IDS: ReadonlySet<string> = new Set(
  ENDPOINTS.filter(({ answers }) => answers.by !== 'refused').map(({ id }) => id),
);

const amount = (least: number) =>
  z
    .int({ error: `expected a whole number from ${least}, or null for no limit` })
    .min(least, { error: `expected ${least} or more` })
    .max(LARGEST_AMOUNT, { error: `expected at most ${LARGEST_AMOUNT}` })
    .nullable();

const settingsSchema = z.strictObject({
  expiresAtMs: z
    .int({ error: 'expected a time in Unix milliseconds, or null for never' })
    .min(0)
    .max(LATEST_TIME_MS, { error: 'expected a time that a calendar has' })
    .nullable(),
  endpoints: z
    .array(
      z.string().refine((id) => ENDPOINT_IDS.has(id), {
        error: ({ input }) =>
          `expected ids such as generate-image, upscale or text-generate, got "${String(input)}"; all of them: ${[...ENDPOINT_IDS].join(', ')}`,
      }),
    )
    .min(1, { error: 'expected at least one endpoint, or null for all' })
    .nullable(),
  dialects: z
    .array(z.enum(DIALECTS, { error: `expected of ${DIALECTS.join(', ')}` }))
    .min(1, { error: 'expected at least one dialect, or null for all' })
    .nullable(),
  weight: z
    .number({ error: 'expected a number above 0' })
    .min(0.01, { error: 'expected 0.01 to 1000' })
    .max(1000, { error: 'expected 0.01 to 1000' }),
  band: z.enum(BANDS, { error: `expected one of ${BANDS.join(', ')}` }),
  maxQueued: amount(0),
  maxInFlight: amount(1),
  maxWaitMs: amount(1000),
  requestsPerMinute: amount(1),
  anlasPerDay: amount(0),
  anlasPerMonth: amount(0),
  anlasTotal: amount(0),
  imagesPerDay: amount(0),
  freeOnly: z.enum(FREE_ONLY_MODES, { error: `expected one of ${FREE_ONLY_MODES.join(', ')}` }),
});

const partialSchema = settingsSchema.partial();

/**
 * Gives the settings that a change names, checked.
 * @throws {ClientError} `invalid`, with every fault.
 */
export function readClientChanges(changes: unknown): Partial<ClientSettings> {
  const parsed = partialSchema.safeParse(changes);
  if (parsed.success) return dropUndefined(parsed.data);
  const faults = parsed.error.issues.map(
    ({ path, message }) => `${path.map(String).join('.') || 'settings'}: ${message}`,
  );
  throw new ClientError('invalid', faults.join('\n'));
}

/**
 * Gives the name without the spaces around it.
 * @throws {ClientError} `invalid`.
 */
export function readClientName(name: string): string {
  const trimmed = name.trim();
  // Names end up in tables, log lines and headers.
  if (trimmed === '' || trimmed.length > LONGEST_NAME || /\p{C}/u.test(trimmed))
    throw new ClientError('invalid', `name: expected 1 to ${LONGEST_NAME} printable characters`);
  return trimmed;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function dropUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Defined<T>;
}
