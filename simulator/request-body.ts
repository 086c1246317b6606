// Reads a request's body as NovelAI does: JSON, or multipart with the JSON in one part and each picture in another (contract 3.4).
import type { Exchange } from './exchange.ts';
import { Refusal } from './refusal.ts';

/** A JSON object nobody has checked yet. */
export type Members = Readonly<Record<string, unknown>>;

/** A read body: the JSON, and the parts its image fields may name; undefined where the body was plain JSON. */
export interface RequestBody {
  readonly json: Members;
  readonly parts: ReadonlyMap<string, Buffer> | undefined;
}

const REQUEST_PART = 'request';

/** Gives the body's JSON and parts. Throws Refusal 400 for what is neither. */
export async function readBody(exchange: Exchange): Promise<RequestBody> {
  const contentType = exchange.request.headers['content-type'] ?? '';
  if (!contentType.toLowerCase().startsWith('multipart/form-data')) {
    return { json: parseMembers(exchange.body), parts: undefined };
  }
  const parts = await readParts(exchange.body, contentType);
  const request = parts.get(REQUEST_PART);
  if (!request) throw new Refusal(400, `Validation error: missing form part "${REQUEST_PART}"`);
  parts.delete(REQUEST_PART);
  return { json: parseMembers(request), parts };
}

/** Gives a JSON body's object; an empty body is an empty object where `isOptional`. Throws Refusal 400. */
export function parseMembers(body: Buffer, isOptional = false): Members {
  if (isOptional && body.length === 0) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8').replace(/^\uFEFF/, ''));
  } catch {
    throw new Refusal(400, 'Validation error: invalid JSON in request body');
  }
  if (!isMembers(parsed)) throw new Refusal(400, 'Validation error: request body must be an object');
  return parsed;
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Gives the member when it is a text, else undefined. */
export function textOf(members: Members, name: string): string | undefined {
  const value = members[name];
  return typeof value === 'string' ? value : undefined;
}

/** Gives the member when it is a finite number, else undefined. */
export function numberOf(members: Members, name: string): number | undefined {
  const value = members[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function arrayOf(members: Members, name: string): readonly unknown[] {
  const value = members[name];
  return Array.isArray(value) ? value : [];
}

async function readParts(body: Buffer, contentType: string): Promise<Map<string, Buffer>> {
  let form: FormData;
  try {
    form = await new Response(Uint8Array.from(body), { headers: { 'content-type': contentType } }).formData();
  } catch {
    throw new Refusal(400, 'Validation error: malformed multipart body');
  }
  const parts = new Map<string, Buffer>();
  for (const [name, value] of form) {
    parts.set(name, typeof value === 'string' ? Buffer.from(value) : Buffer.from(await value.arrayBuffer()));
  }
  return parts;
}
