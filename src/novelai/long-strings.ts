// Parses JSON whose pictures stand in it as base64, without parsing the pictures.
//
// JSON.parse stops the loop for about 20 ms on a 3 MB body, nearly all of it spent on base64 that nobody reads. So one scan
// over the bytes cuts every long string out (finding its end costs next to nothing: Buffer.indexOf), leaves a marker in its
// place, and JSON.parse gets the small rest. The scan does not judge the grammar, JSON.parse does; it only bounds what
// JSON.parse must do: depth, size of the rest, UTF-8, and it sees what JSON.parse hides, namely repeated members.
import { isUtf8 } from 'node:buffer';
import { RequestBodyError } from './request-body-error.ts';

export interface LongStringLimits {
  /** Strings longer than this (in bytes, as written) are cut out. */
  longFromBytes?: number;
  /** The most that may be left after cutting. */
  largestRestBytes?: number;
  /** Nested objects and arrays. */
  deepest?: number;
  /** Members one level down of these top-level objects are watched for repetition too. */
  watchInside?: readonly string[];
}

export interface ParsedJson {
  /** The parsed value; a long string in it is a short marker that only `longString` understands. */
  value: unknown;
  /**
   * Gives the bytes of a long string as written in the body (a view, escapes not resolved), or undefined when `value` is not
   * the marker of one. A client that forges a marker gets no more than another string of its own body.
   */
  longString: (value: unknown) => Buffer | undefined;
  /**
   * Folded names of members given more than once with the same spelling, such as `model` or `parameters.width`, which
   * JSON.parse hides. Go, in which NovelAI is written, takes the last of scalars but merges objects.
   */
  repeated: ReadonlySet<string>;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** Ends nearer than this are found byte by byte, which beats a call into indexOf. */
const NEAR_BYTES = 64;
/** Member names that matter are shorter; longer ones are compared by their beginning. */
const LONGEST_NAME_BYTES = 128;
/** U+0001 cannot stand in JSON unescaped, so a marker is never a string that a person wrote by chance. */
// oxlint-disable-next-line no-control-regex
const MARKER = /^\u0001(\d+)$/;

/**
 * Parses a JSON body with its long strings cut out. A byte order mark is skipped. Throws RequestBodyError for anything that is
 * not one JSON value in UTF-8 within the limits.
 */
export function parseWithoutLongStrings(body: Buffer, limits: LongStringLimits = {}): ParsedJson {
  if (!isUtf8(body))
    throw new RequestBodyError({ field: 'body', expected: 'JSON in UTF-8', given: 'bytes that are not UTF-8' });
  const scanner = new JsonScanner(body, limits);
  const rest = scanner.scan();
  const { longStrings } = scanner;
  const value = parseRest(rest, body.length, scanner.isOpen);
  return {
    value,
    repeated: scanner.hasAllNamesIn(value) ? NONE : repeatedNames(body, limits),
    longString(value) {
      const index = typeof value === 'string' ? MARKER.exec(value)?.[1] : undefined;
      const range = index === undefined ? undefined : longStrings[Number(index)];
      return range === undefined ? undefined : body.subarray(range.from, range.to);
    },
  };
}

const NONE: ReadonlySet<string> = new Set();

/** The slow way, which looks at every name; only for a body whose members were counted and do not add up. */
function repeatedNames(body: Buffer, limits: LongStringLimits): ReadonlySet<string> {
  const scanner = new JsonScanner(body, limits, new Map());
  scanner.scan();
  return scanner.repeated;
}

/** Folds a member name as Go's encoding/json does when it looks for a field: letter case, also of the long s and the Kelvin sign. */
export function foldName(name: string): string {
  return name.toUpperCase().toLowerCase();
}

function parseRest(rest: string, sizeBytes: number, isCut: boolean): unknown {
  if (rest.trim() === '')
    throw new RequestBodyError({ field: 'body', expected: 'a JSON object', given: 'an empty body' });
  try {
    return JSON.parse(rest);
  } catch {
    // The parser's own message would quote the body, and with it a prompt.
    const given = isCut ? `${sizeBytes} bytes that end too early` : `${sizeBytes} bytes that are not`;
    throw new RequestBodyError({ field: 'body', expected: 'valid JSON', given });
  }
}

/** One pass over the bytes. Knows no grammar but strings, brackets and "a string before a colon is a name". */
class JsonScanner {
  readonly longStrings: { from: number; to: number }[] = [];
  readonly repeated = new Set<string>();
  readonly #body: Buffer;
  readonly #longFromBytes: number;
  readonly #largestRestBytes: number;
  readonly #deepest: number;
  readonly #watched: ReadonlySet<string>;
  readonly #pieces: string[] = [];
  #restBytes = 0;
  #keptTo = 0;
  #depth = 0;
  /** Where the last name of the top object stands, and how many there were. */
  #topName = { from: 0, to: 0 };
  #topNames = 0;
  /** The watched object that was opened last: its name, and how many names it had. */
  #inner: { name: string; names: number } | undefined;
  #isInsideWatched = false;
  /** Names seen, by object; only kept when they are asked for, since it makes the scan three times as dear. */
  readonly #seen: Map<string, Set<string>> | undefined;

  constructor(body: Buffer, limits: LongStringLimits, seen?: Map<string, Set<string>>) {
    this.#body = body;
    this.#longFromBytes = limits.longFromBytes ?? 1024;
    this.#largestRestBytes = limits.largestRestBytes ?? 1024 * 1024;
    this.#deepest = limits.deepest ?? 64;
    this.#watched = new Set(limits.watchInside);
    this.#seen = seen;
  }

  /** Whether brackets were left open: the body was cut short. */
  get isOpen(): boolean {
    return this.#depth > 0;
  }

  /** Whether JSON.parse kept every name counted; if not, some were given more than once. */
  hasAllNamesIn(value: unknown): boolean {
    if (!isObject(value)) return true;
    if (Object.keys(value).length !== this.#topNames) return false;
    const inner = this.#inner === undefined ? undefined : value[this.#inner.name];
    return !isObject(inner) || Object.keys(inner).length === this.#inner?.names;
  }

  /** Gives the JSON text with markers in place of the long strings. */
  scan(): string {
    const body = this.#body;
    let at = body.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
    this.#keptTo = at;
    let stop = this.#stop();
    while (at < stop) {
      const byte = body[at];
      if (byte === QUOTE) {
        const end = endOfString(body, at + 1);
        if (end === -1) throw unterminated(body.length);
        if (this.#depth <= 2) this.#noteName(at + 1, end);
        if (end - at - 1 > this.#longFromBytes) {
          this.#cut(at, end);
          stop = this.#stop();
        }
        at = end + 1;
      } else {
        if (byte === 0x7b || byte === 0x5b) this.#open(byte);
        else if (byte === 0x7d || byte === 0x5d) this.#depth--;
        at++;
      }
    }
    if (stop < body.length) throw this.#tooMuch();
    this.#pieces.push(body.toString('utf8', this.#keptTo));
    return this.#pieces.join('');
  }

  /** Where the rest would become too large if nothing more were cut out. */
  #stop(): number {
    return Math.min(this.#body.length, this.#keptTo + this.#largestRestBytes - this.#restBytes);
  }

  #cut(quote: number, end: number): void {
    const marker = `"\\u0001${this.longStrings.length}"`;
    this.#pieces.push(this.#body.toString('utf8', this.#keptTo, quote), marker);
    this.#restBytes += quote - this.#keptTo + marker.length;
    this.longStrings.push({ from: quote + 1, to: end });
    this.#keptTo = end + 1;
  }

  #open(byte: number): void {
    this.#depth++;
    if (this.#depth > this.#deepest) {
      const expected = `JSON nested at most ${this.#deepest} deep`;
      throw new RequestBodyError({ field: 'body', expected, given: 'more' });
    }
    if (this.#depth === 2 && byte === 0x7b) this.#openInner();
  }

  #openInner(): void {
    const name = nameBetween(this.#body, this.#topName.from, this.#topName.to);
    this.#isInsideWatched = this.#watched.has(foldName(name));
    if (this.#isInsideWatched) this.#inner = { name, names: 0 };
  }

  #noteName(from: number, to: number): void {
    const isTop = this.#depth === 1;
    if (!(isTop || this.#isInsideWatched) || !this.#isBeforeColon(to + 1)) return;
    if (isTop) {
      this.#topNames++;
      this.#topName = { from, to };
    } else if (this.#inner !== undefined) this.#inner.names++;
    if (this.#seen !== undefined) this.#noteSpelling(isTop ? '' : `${foldName(this.#inner?.name ?? '')}.`, from, to);
  }

  #noteSpelling(prefix: string, from: number, to: number): void {
    const name = foldName(nameBetween(this.#body, from, Math.min(to, from + LONGEST_NAME_BYTES)));
    const names = this.#seen?.get(prefix) ?? new Set();
    if (names.has(name)) this.repeated.add(prefix + name);
    this.#seen?.set(prefix, names.add(name));
  }

  #isBeforeColon(from: number): boolean {
    let at = from;
    while (isWhiteSpace(this.#body[at])) at++;
    return this.#body[at] === COLON;
  }

  #tooMuch(): RequestBodyError {
    const expected = `at most ${this.#largestRestBytes} bytes of JSON besides long strings`;
    return new RequestBodyError({ field: 'body', expected, given: 'more' });
  }
}

/** Gives the index of the quote that ends the string whose content begins at `from`, or -1. */
function endOfString(body: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const near = Math.min(at + NEAR_BYTES, body.length);
    while (at < near) {
      const byte = body[at];
      if (byte === QUOTE) return at;
      at += byte === BACKSLASH ? 2 : 1;
    }
    if (at >= body.length) return -1;
    const quote = body.indexOf(QUOTE, at);
    if (quote === -1) return -1;
    let backslashes = 0;
    while (quote - backslashes > at && body[quote - backslashes - 1] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    at = quote + 1;
  }
}

function nameBetween(body: Buffer, from: number, to: number): string {
  const written = body.toString('utf8', from, to);
  if (!written.includes('\\')) return written;
  try {
    return String(JSON.parse(`"${written}"`));
  } catch {
    return written;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhiteSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function unterminated(sizeBytes: number): RequestBodyError {
  return new RequestBodyError({
    field: 'body',
    expected: 'valid JSON',
    given: `${sizeBytes} bytes that end within a string`,
  });
}
