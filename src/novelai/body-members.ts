// Typed access to the members and pictures of a request body, JSON or multipart (contract 3.4).
import { NOVELAI_MESSAGES } from './error-form.ts';
import { imageFormat, isBase64Image, readBase64ImageSize, readImageSize } from './image-size.ts';
import type { ImageSize } from './image-size.ts';
import { foldName, parseWithoutLongStrings } from './long-strings.ts';
import type { ParsedJson } from './long-strings.ts';
import { isMultipart, readParts, shorten } from './multipart-parts.ts';
import { RequestBodyError } from './request-body-error.ts';

/** The part of a form that holds the JSON. */
const JSON_PART = 'request';

/** A picture (or an encoded vibe) that a member of the body holds or refers to. */
export interface Picture {
  /** Reads the size from its header; undefined when that cannot be told. */
  size(): ImageSize | undefined;
  /** PNG, JPEG or WebP, as against an encoded vibe or something unknown. */
  isImage(): boolean;
}

/** More than twice as long as that of the largest request clients send. */
const LONGEST_OUTLINE = 2000;

/**
 * The members of one JSON object. Names are found in any letter case, as Go finds them; a name given twice (so or in another
 * case) is ambiguous, and its value is then not believed.
 */
export class BodyMembers {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #prefix: string;
  readonly #json: ParsedJson;
  readonly #parts: ReadonlyMap<string, Buffer> | undefined;
  /** Names as written that are not plain lower case, by their folded form. */
  readonly #oddNames = new Map<string, string[]>();

  constructor(
    value: Readonly<Record<string, unknown>>,
    prefix: string,
    json: ParsedJson,
    parts: ReadonlyMap<string, Buffer> | undefined,
  ) {
    this.#value = value;
    this.#prefix = prefix;
    this.#json = json;
    this.#parts = parts;
    for (const name of Object.keys(value)) {
      if (!/[^a-z0-9_]/.test(name)) continue;
      const folded = foldName(name);
      this.#oddNames.set(folded, [...(this.#oddNames.get(folded) ?? []), name]);
    }
  }

  /** The names of the members, as written and in their order; of an absurd number only the first. */
  get outline(): string {
    return Object.keys(this.#value).join(',').slice(0, LONGEST_OUTLINE);
  }

  /** Whether a member was given more than once, so that it is not certain which one NovelAI takes. */
  isAmbiguous(name: string): boolean {
    return this.#json.repeated.has(this.#prefix + foldName(name)) || this.#spellings(name).length > 1;
  }

  /** Whether any of these members is ambiguous: gives its full name for a message. */
  firstAmbiguous(names: readonly string[]): string | undefined {
    const name = names.find((candidate) => this.isAmbiguous(candidate));
    return name === undefined ? undefined : this.#prefix + name;
  }

  /** Gives a number; NaN when ambiguous; undefined when absent or null. Throws RequestBodyError for another type. */
  number(name: string): number | undefined {
    if (this.isAmbiguous(name)) return Number.NaN;
    const value = this.#get(name);
    if (value === undefined || typeof value === 'number') return value;
    throw this.#wrongType(name, 'a number', value);
  }

  /** Gives a string; undefined when absent, null, ambiguous or absurdly long. Throws RequestBodyError for another type. */
  string(name: string): string | undefined {
    const value = this.#get(name);
    if (value === undefined || this.isAmbiguous(name)) return undefined;
    if (typeof value !== 'string') throw this.#wrongType(name, 'a string', value);
    return this.#json.longString(value) === undefined ? value : undefined;
  }

  /** True when the member is `true`, or ambiguous and so perhaps. */
  isTrue(name: string): boolean {
    return this.isAmbiguous(name) || this.#get(name) === true;
  }

  /** True when the member is there and neither null nor empty. */
  has(name: string): boolean {
    const value = this.#get(name);
    return value !== undefined && value !== '' && value !== false;
  }

  /** Gives an object's members; undefined when absent or null. Throws RequestBodyError for another type. */
  object(name: string): BodyMembers | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (!isRecord(value)) throw this.#wrongType(name, 'an object', value);
    return new BodyMembers(value, `${this.#prefix}${foldName(name)}.`, this.#json, this.#parts);
  }

  /**
   * Gives the picture of a member; undefined when absent, null or empty. In a form the member names a part; throws
   * RequestBodyError, with NovelAI's own sentence, when there is no such part.
   */
  picture(name: string): Picture | undefined {
    return this.#pictureOf(this.#get(name), name);
  }

  /** Gives the pictures of a list of them, or of a list of `{data}` as the web client sends (contract 3.4). */
  pictures(name: string): (Picture | undefined)[] {
    const list = this.#get(name);
    if (list === undefined) return [];
    if (!Array.isArray(list)) throw this.#wrongType(name, 'a list', list);
    return list.map((item: unknown) => this.#pictureOf(isRecord(item) ? item['data'] : item, name));
  }

  #pictureOf(value: unknown, name: string): Picture | undefined {
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') throw this.#wrongType(name, 'a string', value);
    const long = this.#json.longString(value);
    if (this.#parts === undefined) return base64Picture(long ?? Buffer.from(value, 'utf8'));
    const part = long === undefined ? this.#parts.get(value) : undefined;
    if (part !== undefined) return rawPicture(part);
    const given = shorten(long === undefined ? value : long.toString('latin1', 0, 64));
    const message = NOVELAI_MESSAGES.unknownFormPart(name, given);
    throw new RequestBodyError({ field: this.#prefix + name, expected: 'the name of a part', given, message });
  }

  #get(name: string): unknown {
    const value = this.#value[this.#spellings(name)[0] ?? name];
    return value === null ? undefined : value;
  }

  /** The names as written that NovelAI would take for this one. */
  #spellings(name: string): readonly string[] {
    const odd = this.#oddNames.get(foldName(name)) ?? [];
    return Object.hasOwn(this.#value, name) && !odd.includes(name) ? [name, ...odd] : odd;
  }

  #wrongType(name: string, expected: string, value: unknown): RequestBodyError {
    return new RequestBodyError({ field: this.#prefix + name, expected, given: kindOf(value) });
  }
}

/**
 * Reads a body, JSON or (by its content type) multipart, into its top members. Any other content type is read as JSON, since
 * clients send odd ones. Throws RequestBodyError.
 */
export function readBodyMembers(contentType: string | undefined, body: Buffer): BodyMembers {
  const parts = contentType !== undefined && isMultipart(contentType) ? readParts(contentType, body) : undefined;
  const text = parts === undefined ? body : parts.get(JSON_PART);
  if (text === undefined) {
    throw new RequestBodyError({ field: 'body', expected: `a form with a part "${JSON_PART}"`, given: 'one without' });
  }
  const json = parseWithoutLongStrings(text, { watchInside: ['parameters'] });
  if (!isRecord(json.value))
    throw new RequestBodyError({ field: 'body', expected: 'a JSON object', given: kindOf(json.value) });
  return new BodyMembers(json.value, '', json, parts);
}

function base64Picture(base64: Buffer): Picture {
  return { size: () => readBase64ImageSize(base64), isImage: () => isBase64Image(base64) };
}

function rawPicture(bytes: Buffer): Picture {
  // A part may also hold base64 text: the web client's vibes do.
  return {
    size: () => readImageSize(bytes) ?? readBase64ImageSize(bytes),
    isImage: () => imageFormat(bytes) !== undefined || isBase64Image(bytes),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
