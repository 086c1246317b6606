// Clients that only know how to log in: their name is the e-mail address, their token the password.
import { createHash, createHmac } from 'node:crypto';
import type { Client, ClientRegistry } from '../../clients/client-registry.ts';
import type { ClientConfig } from '../../config/config.ts';
import { deriveAccessKey } from '../../novelai/access-key.ts';
import { registerSecret } from '../../telemetry/hide-secrets.ts';

/** A client as far as logins go. */
export interface LoginIdentity {
  client: Client;
  /** Signs this client's sessions; another one whenever its token changes, so that old sessions end with the old token. */
  sessionKey: Buffer;
}

/** Where logins are looked up. Clients kept elsewhere than in the configuration bring their own. */
export interface LoginDirectory {
  /** Finds the client whose name and token give this access key (contract 2.2), in NovelAI's spelling. */
  byAccessKey(accessKey: string): LoginIdentity | undefined | Promise<LoginIdentity | undefined>;
  byName(clientName: string): LoginIdentity | undefined;
}

/** Logins of the clients in the configuration. Their access keys are derived at the first login, once: 10 ms each. */
export class ConfiguredLogins implements LoginDirectory {
  readonly #configured: readonly ClientConfig[];
  readonly #clients: Pick<ClientRegistry, 'find'>;
  #tokenByKeyDigest: Promise<ReadonlyMap<string, string>> | undefined;

  constructor(configured: readonly ClientConfig[], clients: Pick<ClientRegistry, 'find'>) {
    this.#configured = configured;
    this.#clients = clients;
  }

  byName(clientName: string): LoginIdentity | undefined {
    return this.#byToken(this.#configured.find(({ name }) => name === clientName)?.token);
  }

  /** Looked up by digest, so that the time it takes tells nothing about the keys. */
  async byAccessKey(accessKey: string): Promise<LoginIdentity | undefined> {
    this.#tokenByKeyDigest ??= this.#deriveAll();
    return this.#byToken((await this.#tokenByKeyDigest).get(digestOf(accessKey)));
  }

  #byToken(token: string | undefined): LoginIdentity | undefined {
    const client = token === undefined ? undefined : this.#clients.find(token);
    return client && token !== undefined ? { client, sessionKey: sessionKeyOf(token) } : undefined;
  }

  async #deriveAll(): Promise<ReadonlyMap<string, string>> {
    const tokens = new Map<string, string>();
    for (const { name, token } of this.#configured)
      for (const email of spellings(name)) {
        const accessKey = await deriveAccessKey(email, token);
        registerSecret(accessKey);
        tokens.set(digestOf(accessKey), token);
      }
    return tokens;
  }
}

/** Clients send the e-mail address as typed or in lower case (contract 2.2, "E-mail case"). */
function spellings(name: string): Set<string> {
  return new Set([name, name.toLowerCase()]);
}

/** Only who knows the token can make or check its sessions; they need no secret of the service's and outlast its restarts. */
function sessionKeyOf(token: string): Buffer {
  return createHmac('sha256', token).update('novelai-proxy session').digest();
}

function digestOf(accessKey: string): string {
  return createHash('sha256').update(accessKey).digest('base64');
}
