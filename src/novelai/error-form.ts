// NovelAI's error answers: their exact bytes, their literal sentences, and how to recognise those sentences again.

/** The content type of every NovelAI error; never with a charset, because some clients compare it whole (contract 5). */
export const ERROR_CONTENT_TYPE = 'application/json';

/**
 * Gives the bytes of an error answer: compact JSON and a newline (contract 5). `details` is left out when undefined.
 * `statusCode` is the HTTP status; the caller sends the same one.
 */
export function errorBody(statusCode: number, message: string, details?: unknown): Buffer {
  return Buffer.from(`${JSON.stringify({ statusCode, message, details })}\n`, 'utf8');
}

/** NovelAI's literal sentences (contract 1, 2.4, 3 and 5). Where a name or value is part of one, it is a function. */
export const NOVELAI_MESSAGES = Object.freeze({
  unauthorized: 'Unauthorized',
  persistentTokenNotAllowed: 'Usage of persistent access tokens is not allowed for this endpoint',
  notEnoughAnlas: 'Not enough Anlas',
  concurrentGenerationLocked: 'Concurrent generation is locked',
  textRateLimited: 'Rate limited. API clients should not attempt to retry.',
  movedHost: 'Please refresh NovelAI.net. If using a third-party tool, update to the image URL.',
  internalServerError: 'Internal Server Error',
  invalidCacheKeys: 'INVALID_CACHE_KEYS',
  modelNotFound: 'Model not found',
  invalidPackedInputSize: 'Invalid request: Invalid packed input size',
  /** The name is inserted as it is, so an absent model gives two spaces, as NovelAI's does (contract 1). */
  modelDoesNotExist: (model: string) => `Validation error: model ${model} doesn't exist`,
  /** Only the tail of this one is on record; the beginning follows modelDoesNotExist. */
  actionNotSupported: (model: string, action: string) =>
    `Validation error: model ${model} doesn't support action ${action}`,
  unknownFormPart: (field: string, part: string) => `${field} field references unknown form part "${part}"`,
  /** Diffusion V5 does not know character references; `host` is the inner service it failed to find. */
  noSuchReferenceHost: (host: string) =>
    `Error encoding v4 director references: dial tcp: lookup ${host}: no such host`,
} as const);

/** What an error answer says about the account or the host, as far as its sentence tells. */
export type ErrorMeaning = 'moved-host' | 'locked' | 'no-anlas' | 'persistent-token' | 'unauthorized';

const MEANINGS: readonly (readonly [ErrorMeaning, RegExp])[] = [
  ['moved-host', /update to the image URL|Please refresh NovelAI\.net/i],
  ['locked', /Concurrent generation is locked/i],
  ['no-anlas', /not enough anlas|insufficient anlas/i],
  ['persistent-token', /persistent access tokens is not allowed/i],
  ['unauthorized', /^Unauthorized\.?$/i],
];

/** Gives what a NovelAI error sentence means for the account or host, or undefined for all others (contract 5). */
export function recogniseError(message: string): ErrorMeaning | undefined {
  return MEANINGS.find(([, pattern]) => pattern.test(message))?.[0];
}

/**
 * Reads an error answer: gives its message and details, or undefined when the body is no NovelAI error. Takes only the first
 * JSON value, because NovelAI was seen to append a ZIP after the JSON of a 400 (contract 3.2, "Trap").
 */
export function readErrorBody(body: Uint8Array): { message: string; details?: unknown } | undefined {
  const text = new TextDecoder('utf-8').decode(body.subarray(0, LONGEST_ERROR_BYTES)).trimStart();
  const end = endOfFirstObject(text);
  if (end === undefined) return undefined;
  try {
    const parsed = JSON.parse(text.slice(0, end)) as { message?: unknown; details?: unknown };
    if (typeof parsed.message !== 'string') return undefined;
    return parsed.details === undefined
      ? { message: parsed.message }
      : { message: parsed.message, details: parsed.details };
  } catch {
    return undefined;
  }
}

/** More than any error on record; what follows is never needed to understand it. */
const LONGEST_ERROR_BYTES = 65_536;

function endOfFirstObject(text: string): number | undefined {
  if (text[0] !== '{') return undefined;
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (isInString) {
      if (character === '\\') at++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) return at + 1;
  }
  return undefined;
}
