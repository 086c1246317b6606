// POST /user/login: gives a client that proves to know its own token a session that works here (contract 2.3).
import type { Client } from '../../clients/client-registry.ts';
import type { Clock } from '../../lib/clock.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import type { Arrival } from './arrival.ts';
import type { LoginDirectory } from './client-logins.ts';
import { sendJson } from './native-sink.ts';
import { readBody } from './read-body.ts';
import { signSession, verifySession } from './session-tokens.ts';

const LOGIN_BODY_BYTES = 64 * 1024;

/**
 * Answers a login; gives the client that logged in.
 * @throws {ProxyError} when the body holds no key, or one that is nobody's.
 */
export async function answerLogin(
  { request, response, id, endpoint }: Arrival,
  { logins, clock }: { logins: LoginDirectory; clock: Clock },
): Promise<Client> {
  const body = await readBody(request, response, endpoint.bodyLimitBytes ?? LOGIN_BODY_BYTES);
  const identity = await logins.byAccessKey(urlSafe(readKey(body)));
  if (!identity) throw new ProxyError('client_unauthorized');
  const accessToken = signSession(identity.client.name, identity.sessionKey, unixSeconds(clock));
  sendJson(response, 201, { accessToken }, { 'x-request-id': id });
  return identity.client;
}

/** Gives the client of a session token, or undefined when it is none, over, or of a client that is gone or has another token. */
export function clientOfSession(token: string, { logins, clock }: { logins: LoginDirectory; clock: Clock }) {
  const name = verifySession(token, (clientName) => logins.byName(clientName)?.sessionKey, unixSeconds(clock));
  return name === undefined ? undefined : logins.byName(name)?.client;
}

/** Members beside `key` are ignored, as NovelAI does (contract 2.3). */
function readKey(body: Buffer | null): string {
  let json: unknown;
  try {
    json = JSON.parse(body?.toString('utf8') ?? '');
  } catch (cause) {
    throw new ProxyError('client_invalid_body', {
      cause,
      message: 'Validation error: expected a JSON body with "key"',
    });
  }
  const key = typeof json === 'object' && json !== null && 'key' in json ? json.key : undefined;
  if (typeof key === 'string' && key !== '') return key;
  throw new ProxyError('client_invalid_field', { message: 'Validation error: key is required' });
}

/** One client writes the key in the other base64 alphabet (contract 2.2, 7xrk). */
function urlSafe(key: string): string {
  return key.replaceAll('+', '-').replaceAll('/', '_');
}

function unixSeconds(clock: Clock): number {
  return Math.floor(clock.wallMs() / 1000);
}
