// Finds the parts of a multipart/form-data body as views into it, without copying the pictures (contract 3.4).
import { RequestBodyError } from './request-body-error.ts';

/** More than the web client can send: request, image, mask, 16 vibes and some references. */
const MOST_PARTS = 64;
const LARGEST_HEADER_BYTES = 8192;
/** RFC 2046 allows 70 characters. */
const LONGEST_BOUNDARY = 200;
/** False beginnings of a boundary inside pictures: practically none occur by chance. */
const MOST_FALSE_BOUNDARIES = 1000;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const DASH = 0x2d;

/** Tells whether a content type is the multipart one. */
export function isMultipart(contentType: string | undefined): boolean {
  return contentType !== undefined && /^\s*multipart\/form-data\s*(?:;|$)/i.test(contentType);
}

/**
 * Gives each part's bytes by its name, as views into `body`. Throws RequestBodyError when the boundary is missing, the body
 * ends before the closing boundary, a part has no name, two have the same, or there are more than 64.
 */
export function readParts(contentType: string, body: Buffer): ReadonlyMap<string, Buffer> {
  const boundary = boundaryOf(contentType);
  const delimiter = Buffer.from(`--${boundary}`, 'latin1');
  const parts = new Map<string, Buffer>();
  let current = nextDelimiter(body, delimiter, 0);
  while (!current.isClosing) {
    const next = nextDelimiter(body, delimiter, current.to);
    const { name, content } = readPart(body.subarray(current.to, next.from));
    if (parts.has(name)) throw invalid(`part "${shorten(name)}"`, 'given once', 'it twice');
    parts.set(name, content);
    if (parts.size > MOST_PARTS) throw invalid('body', `a form of at most ${MOST_PARTS} parts`, 'more');
    current = next;
  }
  return parts;
}

/** Shortens what a client sent, for a message; pictures and prompts must not end up in one whole. */
export function shorten(text: string): string {
  const LONGEST = 40;
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}

interface Delimiter {
  /** End of the part before: where the delimiter's own line break begins. */
  from: number;
  /** Begin of the part after. */
  to: number;
  isClosing: boolean;
}

function boundaryOf(contentType: string): string {
  const match = /;\s*boundary=(?:"([^"]+)"|([^;,\s]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined || boundary.length > LONGEST_BOUNDARY) {
    throw invalid(
      'content-type',
      'multipart/form-data with a boundary',
      boundary === undefined ? 'none' : 'one that is too long',
    );
  }
  return boundary;
}

/** A delimiter stands at the beginning of a line, and only white space follows it there (RFC 2046); bare LF is tolerated. */
function nextDelimiter(body: Buffer, delimiter: Buffer, start: number): Delimiter {
  let searchFrom = start;
  for (let falseOnes = 0; falseOnes <= MOST_FALSE_BOUNDARIES; falseOnes++) {
    const at = body.indexOf(delimiter, searchFrom);
    if (at === -1) throw invalid('body', 'a form that ends with its boundary', 'one that ends too early');
    const found =
      at === start || body[at - 1] === LINE_FEED ? delimiterAt(body, at, at + delimiter.length, start) : undefined;
    if (found !== undefined) return found;
    searchFrom = at + 1;
  }
  throw invalid('body', 'a form with a boundary that does not occur in its parts', 'one full of it');
}

function delimiterAt(body: Buffer, at: number, end: number, start: number): Delimiter | undefined {
  const breakBytes = body[at - 1] !== LINE_FEED ? 0 : body[at - 2] === CARRIAGE_RETURN ? 2 : 1;
  const from = Math.max(at - breakBytes, start);
  if (body[end] === DASH && body[end + 1] === DASH) return { from, to: end + 2, isClosing: true };
  let to = end;
  while (body[to] === 0x20 || body[to] === 0x09) to++;
  if (body[to] === CARRIAGE_RETURN) to++;
  return body[to] === LINE_FEED ? { from, to: to + 1, isClosing: false } : undefined;
}

function readPart(part: Buffer): { name: string; content: Buffer } {
  const head = part.subarray(0, LARGEST_HEADER_BYTES);
  const crlf = head.indexOf('\r\n\r\n');
  const lf = head.indexOf('\n\n');
  const usesLf = lf !== -1 && (crlf === -1 || lf < crlf);
  const end = usesLf ? lf : crlf;
  if (end === -1) throw invalid('body', 'a form whose parts have headers', 'a part without');
  const name = nameIn(head.toString('utf8', 0, end));
  if (name === undefined) throw invalid('body', 'a form whose parts have names', 'a part without');
  return { name, content: part.subarray(end + (usesLf ? 2 : 4)) };
}

/** The name of a part; quotes in it come as %22 from browsers and as \" from others. */
function nameIn(headers: string): string | undefined {
  const disposition = /^content-disposition:\s*form-data\b(.*)$/im.exec(headers)?.[1];
  if (disposition === undefined) return undefined;
  const match = /;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(disposition);
  return match?.[1]?.replaceAll(/\\(["\\])/g, '$1').replaceAll('%22', '"') ?? match?.[2];
}

function invalid(field: string, expected: string, given: string): RequestBodyError {
  return new RequestBodyError({ field, expected, given });
}
