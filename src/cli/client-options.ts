// The settings of a client as options of the command line.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { BANDS, DIALECTS, FREE_ONLY_MODES } from '../clients/client.ts';
import { parseDurationMs } from '../lib/units.ts';

/** A value that may be null, which commander itself takes for a failed reading. */
interface Nullable<T> {
  value: T | null;
}

/** As commander gives them; what was not named is absent. */
export interface ClientOptions {
  expires?: ReadTime;
  endpoints?: Nullable<string[]>;
  dialects?: Nullable<string[]>;
  weight?: number;
  priority?: string;
  maxQueued?: Nullable<number>;
  maxInFlight?: Nullable<number>;
  maxWait?: Nullable<number>;
  rate?: Nullable<number>;
  anlasDay?: Nullable<number>;
  anlasMonth?: Nullable<number>;
  anlasTotal?: Nullable<number>;
  imagesDay?: Nullable<number>;
  freeOnly?: string;
}

/** A time told as a date or as "so long from now"; the latter is worked out when the command runs. */
type ReadTime = { atMs: number | null } | { inMs: number };

/** Adds the options for every setting. */
export function addClientOptions(command: Command): Command {
  return command
    .option('--expires <when>', 'when the token ends: 30d, 12h, 2027-01-31, or "never"', readTime)
    .option('--endpoints <ids>', 'only these endpoints, comma separated, or "all"', readList)
    .option('--dialects <names>', `only these interfaces (${DIALECTS.join(', ')}), or "all"`, readList)
    .option('--weight <number>', 'share of account time beside other clients; 1 is usual', readNumber)
    .addOption(new Option('--priority <band>', 'batch lets others go first').choices(BANDS))
    .option('--max-queued <number>', 'most requests waiting at once, or "none" for the usual limit', readLimit)
    .option('--max-in-flight <number>', 'most requests at NovelAI at once, or "none"', readLimit)
    .option(
      '--max-wait <time>',
      'longest a request may wait, such as 90s or 2h, or "none" for the usual limit',
      readWait,
    )
    .option('--rate <number>', 'most requests a minute, or "none"', readLimit)
    .option('--anlas-day <number>', 'Anlas it may spend a UTC day, or "none" for no limit', readLimit)
    .option('--anlas-month <number>', 'Anlas it may spend a UTC month, or "none"', readLimit)
    .option('--anlas-total <number>', 'Anlas it may spend in all, or "none"', readLimit)
    .option('--images-day <number>', 'images it may make a UTC day, or "none"', readLimit)
    .addOption(
      new Option(
        '--free-only <mode>',
        'what costs Anlas is refused (reject), or made smaller until it is free (clamp)',
      ).choices(FREE_ONLY_MODES),
    );
}

/** Gives the settings that the options name, for the client repository, which checks them. */
export function settingsOf(options: ClientOptions, nowMs: number): Record<string, unknown> {
  const { expires } = options;
  const settings = {
    expiresAtMs: expires && ('inMs' in expires ? nowMs + expires.inMs : expires.atMs),
    endpoints: options.endpoints?.value,
    dialects: options.dialects?.value,
    weight: options.weight,
    band: options.priority,
    maxQueued: options.maxQueued?.value,
    maxInFlight: options.maxInFlight?.value,
    maxWaitMs: options.maxWait?.value,
    requestsPerMinute: options.rate?.value,
    anlasPerDay: options.anlasDay?.value,
    anlasPerMonth: options.anlasMonth?.value,
    anlasTotal: options.anlasTotal?.value,
    imagesPerDay: options.imagesDay?.value,
    freeOnly: options.freeOnly,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function readTime(text: string): ReadTime {
  if (text === 'never') return { atMs: null };
  const inMs = /^\d+(?:\.\d+)?[a-z]+$/i.test(text) ? parseDurationMs(text) : undefined;
  if (inMs !== undefined) return { inMs };
  const atMs = /^\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs))
    throw new InvalidArgumentError('Expected a time from now (30d, 12h), a date (2027-01-31, UTC), or "never".');
  return { atMs };
}

function readWait(text: string): Nullable<number> {
  if (text === 'none') return { value: null };
  const value = parseDurationMs(text);
  if (value === undefined) throw new InvalidArgumentError('Expected a time such as 90s or 2h, or "none".');
  return { value };
}

function readList(text: string): Nullable<string[]> {
  if (text === 'all') return { value: null };
  const parts = text.split(',').map((part) => part.trim());
  return { value: parts.filter((part) => part !== '') };
}

function readNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

function readLimit(text: string): Nullable<number> {
  if (text === 'none') return { value: null };
  const value = readNumber(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('Expected a whole number, or "none".');
  return { value };
}
