// Which addresses can be an account's proxy.

const SCHEMES: ReadonlySet<string> = new Set(['http:', 'https:', 'socks5:']);

/** What an account's proxy must be, for messages. */
export const EXPECTED_PROXY_URL =
  'expected an http://, https:// or socks5:// address, with a % in its password written as %25';

/** Whether the service can use this as a proxy. A login that is not percent-encoded would fail every connection. */
export function isProxyUrl(text: string): boolean {
  const url = URL.parse(text);
  if (!url || !SCHEMES.has(url.protocol)) return false;
  try {
    decodeURIComponent(`${url.username}:${url.password}`);
    return true;
  } catch {
    return false;
  }
}
