// What of a client's headers goes on to NovelAI: what shapes the answer, and nothing that names or authorises the client.
import type { IncomingHttpHeaders } from 'node:http';
import { randomAlphanumerics } from '../../lib/random-text.ts';
import { USER_AGENT } from '../../upstream/account-api.ts';

const PASSED = ['accept', 'accept-language', 'content-type', 'x-initiated-at'] as const;
/** Contract 2.1: six letters and digits. */
const CORRELATION_ID_LENGTH = 6;

/**
 * Gives the headers for NovelAI. The client's accept-encoding goes on only where `mayBeEncoded`: streams are cut between their
 * events and shared answers are read, neither of which can be done with compressed bytes. The client's token, cookies, Origin and Referer stay here, and so does its User-Agent: NovelAI's
 * edge refuses some, and the service says what it is (contract 8, points 3 and 7).
 */
export function upstreamHeaders(
  client: IncomingHttpHeaders,
  { mayBeEncoded }: { mayBeEncoded: boolean },
): Record<string, string> {
  const headers: Record<string, string> = {
    'user-agent': USER_AGENT,
    'x-correlation-id': String(client['x-correlation-id'] ?? randomAlphanumerics(CORRELATION_ID_LENGTH)),
  };
  const encoding = client['accept-encoding'];
  if (mayBeEncoded && typeof encoding === 'string') headers['accept-encoding'] = encoding;
  for (const name of PASSED) {
    const value = client[name];
    if (typeof value === 'string') headers[name] = value;
  }
  return headers;
}
