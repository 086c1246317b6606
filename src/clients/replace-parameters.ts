// Changes numbers inside a request body and leaves every other byte as it is: the pictures in it are neither parsed nor decoded.
import { foldName } from '../novelai/long-strings.ts';
import { isMultipart, readParts } from '../novelai/multipart-parts.ts';

/** A member of `parameters` and its new value. */
export interface ParameterEdit {
  name: string;
  value: number;
}

interface Member {
  name: string;
  /** Where the value stands, `to` exclusive. */
  from: number;
  to: number;
}

/** The part of a form that holds the JSON (contract 3.4). */
const JSON_PART = 'request';
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPENING: ReadonlySet<number | undefined> = new Set([0x7b, 0x5b]);
const CLOSING: ReadonlySet<number | undefined> = new Set([0x7d, 0x5d]);
const WHITE_SPACE: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Gives the body, JSON or multipart, with these numbers in `parameters` replaced; a shorter number is followed by spaces, which
 * JSON allows, so that in most cases nothing moves. Undefined when one of the members is not there. The body must have been
 * read without an error before (`readRequestBody`), which also makes sure that no member is given twice.
 */
export function replaceParameters(
  contentType: string | undefined,
  body: Buffer,
  edits: readonly ParameterEdit[],
): Buffer | undefined {
  const json =
    contentType !== undefined && isMultipart(contentType) ? readParts(contentType, body).get(JSON_PART) : body;
  if (json === undefined) return undefined;
  const offset = json.byteOffset - body.byteOffset;
  const parameters = memberOf(json, json.indexOf('{'), 'parameters');
  if (parameters === undefined || json[parameters.from] !== 0x7b) return undefined;

  const changes: { from: number; to: number; text: string }[] = [];
  for (const { name, value } of edits) {
    const member = memberOf(json, parameters.from, name);
    if (member === undefined) return undefined;
    const text = String(value).padEnd(member.to - member.from);
    changes.push({ from: offset + member.from, to: offset + member.to, text });
  }
  return splice(
    body,
    changes.toSorted((a, b) => a.from - b.from),
  );
}

function splice(body: Buffer, changes: readonly { from: number; to: number; text: string }[]): Buffer {
  const pieces: Buffer[] = [];
  let keptTo = 0;
  for (const { from, to, text } of changes) {
    pieces.push(body.subarray(keptTo, from), Buffer.from(text, 'latin1'));
    keptTo = to;
  }
  pieces.push(body.subarray(keptTo));
  return Buffer.concat(pieces);
}

/** Finds a member of the object that opens at `at`, by its name in any letter case, as NovelAI's Go does. */
function memberOf(json: Buffer, at: number, name: string): Member | undefined {
  const folded = foldName(name);
  for (const member of membersOf(json, at)) if (foldName(member.name) === folded) return member;
  return undefined;
}

function* membersOf(json: Buffer, objectAt: number): Generator<Member> {
  let at = skipWhiteSpace(json, objectAt + 1);
  while (json[at] === QUOTE) {
    const nameEnd = endOfString(json, at);
    const name = String(JSON.parse(json.toString('utf8', at, nameEnd)));
    const from = skipWhiteSpace(json, skipWhiteSpace(json, nameEnd) + 1);
    const to = endOfValue(json, from);
    yield { name, from, to };
    at = skipWhiteSpace(json, to);
    if (json[at] !== COMMA) return;
    at = skipWhiteSpace(json, at + 1);
  }
}

function endOfValue(json: Buffer, from: number): number {
  if (json[from] === QUOTE) return endOfString(json, from);
  let at = from;
  let depth = 0;
  while (at < json.length) {
    const byte = json[at];
    if (byte === QUOTE) {
      at = endOfString(json, at);
      continue;
    }
    if (depth === 0 && (byte === COMMA || CLOSING.has(byte) || WHITE_SPACE.has(byte))) return at;
    if (OPENING.has(byte)) depth += 1;
    else if (CLOSING.has(byte)) depth -= 1;
    at += 1;
    if (depth === 0 && CLOSING.has(byte)) return at;
  }
  return at;
}

/** Gives the index after the closing quote of the string that opens at `quoteAt`. */
function endOfString(json: Buffer, quoteAt: number): number {
  let quote = json.indexOf(QUOTE, quoteAt + 1);
  while (quote !== -1) {
    let backslashes = 0;
    while (json[quote - backslashes - 1] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
    quote = json.indexOf(QUOTE, quote + 1);
  }
  return json.length;
}

function skipWhiteSpace(json: Buffer, from: number): number {
  let at = from;
  while (WHITE_SPACE.has(json[at])) at += 1;
  return at;
}
