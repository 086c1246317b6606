// Clients that only know how to log in: their name is the e-mail address, their token the password.
import { createHmac } from 'node:crypto';
import type { Client, ClientRegistry } from '../../clients/client-registry.ts';
import type { StoredClient } from '../../clients/client.ts';
import { loginDigest } from '../../clients/login-digests.ts';
import type { ClientConfig } from '../../config/config.ts';
import { deriveAccessKey } from '../../novelai/access-key.ts';
import { registerSecret } from '../../telemetry/hide-secrets.ts';

/** A client as far as logins go. */
export interface LoginIdentity {
  client: Client;
  /** Signs this client's sessions; another one whenever its token changes, so that old sessions end with the old token. */
  sessionKey: Buffer;
}

/** Where logins are looked up. */
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
    return this.#byToken((await this.#tokenByKeyDigest).get(loginDigest(accessKey)));
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
        tokens.set(loginDigest(accessKey), token);
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

/** Logins of the clients in the database, of which no token is kept: their keys' digests were, when they got their tokens. */
export class StoredLogins implements LoginDirectory {
  readonly #clients: Pick<ClientRegistry, 'identifyDigest'>;
  readonly #serviceKey: Buffer;
  #tokenDigestByKey: ReadonlyMap<string, string> = new Map();
  #tokenDigestByName: ReadonlyMap<string, string> = new Map();

  /** `serviceKey` signs the sessions, together with what is kept of a client's token. */
  constructor(clients: Pick<ClientRegistry, 'identifyDigest'>, serviceKey: Buffer) {
    this.#clients = clients;
    this.#serviceKey = serviceKey;
  }

  /** Takes over what the database now says. */
  replaceStored(clients: readonly StoredClient[]): void {
    this.#tokenDigestByName = new Map(clients.map(({ name, tokenDigest }) => [name, tokenDigest]));
    this.#tokenDigestByKey = new Map(
      clients.flatMap(({ loginDigests, tokenDigest }) =>
        loginDigests.map((digest): [string, string] => [digest, tokenDigest]),
      ),
    );
  }

  byName(clientName: string): LoginIdentity | undefined {
    return this.#byTokenDigest(this.#tokenDigestByName.get(clientName));
  }

  byAccessKey(accessKey: string): LoginIdentity | undefined {
    return this.#byTokenDigest(this.#tokenDigestByKey.get(loginDigest(accessKey)));
  }

  #byTokenDigest(tokenDigest: string | undefined): LoginIdentity | undefined {
    const found = tokenDigest === undefined ? undefined : this.#clients.identifyDigest(tokenDigest);
    if (tokenDigest === undefined || !found || found.refusal !== undefined) return undefined;
    return { client: found.client, sessionKey: createHmac('sha256', this.#serviceKey).update(tokenDigest).digest() };
  }
}

/** Gives the logins of several directories as one; a client's name is in one of them at most. */
export function joinLogins(directories: () => readonly LoginDirectory[]): LoginDirectory {
  return {
    async byAccessKey(accessKey) {
      for (const directory of directories()) {
        const found = await directory.byAccessKey(accessKey);
        if (found) return found;
      }
      return undefined;
    },
    byName(clientName) {
      for (const directory of directories()) {
        const found = directory.byName(clientName);
        if (found) return found;
      }
      return undefined;
    },
  };
}
