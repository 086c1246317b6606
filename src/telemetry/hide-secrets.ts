// The last guard before a line leaves the process: nothing shaped like a credential gets out, whoever logged it.

const CREDENTIAL_SHAPES = [
  // NovelAI's persistent tokens, and the client tokens of this service, which have the same form (contract 2.4).
  /pst-[A-Za-z0-9]{16,}/g,
  // Session tokens (JWT): three base64url parts, the first of which is a JSON object and so begins with `ey`.
  /ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g,
];
const BEARER = /\b(bearer)\s+[^\s"\\]+/gi;
/** Credentials inside an address: `scheme://user:password@host`, or a key alone before the `@`. */
const URL_PASSWORD = /(\w+:\/\/)[^\s/?#"]+@/g;

/**
 * Exact secrets of this process (passwords, configured tokens), which need not have a recognisable shape. The longest come
 * first: hiding a part of another one before it would leave the rest of that one readable.
 */
const knownSecrets: string[] = [];

/**
 * Makes `secret` unprintable from now on. Very short ones are left alone: hiding every `me` would garble all lines. Those that
 * are hidden by their shape need no entry, and tokens come anew with every login.
 */
export function registerSecret(secret: string): void {
  if (CREDENTIAL_SHAPES.some((shape) => secret.replace(shape, '') === '')) return;
  const written = JSON.stringify(secret).slice(1, -1);
  if (secret.length < 6 || knownSecrets.includes(written)) return;
  knownSecrets.push(written);
  knownSecrets.sort((a, b) => b.length - a.length);
}

/** Gives `line` with everything that is or looks like a credential replaced by `[hidden]`. */
export function hideSecrets(line: string): string {
  let safe = line;
  for (const secret of knownSecrets) if (safe.includes(secret)) safe = safe.replaceAll(secret, '[hidden]');
  for (const shape of CREDENTIAL_SHAPES) safe = safe.replace(shape, '[hidden]');
  return safe.replace(BEARER, '$1 [hidden]').replace(URL_PASSWORD, '$1[hidden]@');
}
