// Where a request's pictures are: inline base64, form parts, or kept from an earlier request under a cache key (contract 3.4).
import { NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import type { AccountState } from '../accounts/accounts.ts';
import { Refusal } from '../refusal.ts';
import { arrayOf, isMembers, textOf } from '../request-body.ts';
import type { Members } from '../request-body.ts';

/** How much of a wrong part name the error repeats: `iVBORw0KGgo...`, as captured. */
const QUOTED_CHARACTERS = 11;
const KEPT_PER_ACCOUNT = 200;

const keptByAccount = new WeakMap<AccountState, Map<string, Buffer>>();

/** Reads the image fields of one request and remembers those that come with a cache key. */
export class ImageFields {
  readonly #parts: ReadonlyMap<string, Buffer> | undefined;
  readonly #kept: Map<string, Buffer>;
  readonly #invalidKeys: string[] = [];

  constructor(account: AccountState, parts: ReadonlyMap<string, Buffer> | undefined) {
    this.#parts = parts;
    this.#kept = keptByAccount.get(account) ?? new Map<string, Buffer>();
    keptByAccount.set(account, this.#kept);
  }

  /** Gives the picture of a single field, e.g. `image`, with its `image_cache_secret_key`; undefined where there is none. */
  single(members: Members, field: string): Buffer | undefined {
    return this.#resolve(field, textOf(members, field), textOf(members, `${field}_cache_secret_key`));
  }

  /** Gives the pictures of a list field, plain or as `..._cached` objects. */
  list(members: Members, field: string): Buffer[] {
    const plain = arrayOf(members, field).map((value) => this.#resolve(field, String(value), undefined));
    const cached = arrayOf(members, `${field}_cached`)
      .filter(isMembers)
      .map((entry) => this.#resolve(`${field}_cached`, textOf(entry, 'data'), textOf(entry, 'cache_secret_key')));
    return [...plain, ...cached].filter((picture) => picture !== undefined);
  }

  /** Throws Refusal 400 INVALID_CACHE_KEYS, with all of them, when keys without data were not known. */
  requireKnownKeys(): void {
    if (this.#invalidKeys.length === 0) return;
    throw new Refusal(400, NOVELAI_MESSAGES.invalidCacheKeys, { details: { invalidKeys: this.#invalidKeys } });
  }

  #resolve(field: string, data: string | undefined, key: string | undefined): Buffer | undefined {
    if (data === undefined || data === '') {
      if (key === undefined) return undefined;
      const kept = this.#kept.get(key);
      if (!kept) this.#invalidKeys.push(key);
      return kept;
    }
    const picture = this.#parts ? this.#part(this.#parts, field, data) : Buffer.from(data, 'base64');
    if (key !== undefined) this.#keep(key, picture);
    return picture;
  }

  #part(parts: ReadonlyMap<string, Buffer>, field: string, name: string): Buffer {
    const part = parts.get(name);
    if (part) return part;
    const quoted = name.length > QUOTED_CHARACTERS ? `${name.slice(0, QUOTED_CHARACTERS)}...` : name;
    throw new Refusal(400, NOVELAI_MESSAGES.unknownFormPart(field, quoted));
  }

  #keep(key: string, picture: Buffer): void {
    const oldest = this.#kept.size >= KEPT_PER_ACCOUNT ? this.#kept.keys().next().value : undefined;
    if (oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, picture);
  }
}
