// Faults on order: which request fails, how, and whether it was charged all the same.
import type { SeededRandom } from './random.ts';

/**
 * How a request fails.
 * - `delay`: right, but `delayMs` late.
 * - `hang`: no answer at all until the client leaves.
 * - `reset-before-headers`: the connection is reset instead of an answer.
 * - `reset-after-headers`: headers and the first bytes (`afterBytes`), then a reset.
 * - `truncate`: as before, but the connection ends politely (FIN) in the middle of the body.
 * - `short-body`: sound HTTP around half of the body.
 * - `garbage`: sound HTTP, right headers, a body of noise.
 * - `slow-body`: the right body, in pieces spread over `delayMs`.
 * - `status`: another status, with a JSON, HTML or empty body.
 * - `stream-error`: on streams, an `error` frame after `afterFrames` frames; elsewhere a 500.
 */
export type FaultKind = (typeof FAULT_KINDS)[number];

export const FAULT_KINDS = [
  'delay',
  'hang',
  'reset-before-headers',
  'reset-after-headers',
  'truncate',
  'short-body',
  'garbage',
  'slow-body',
  'status',
  'stream-error',
] as const;

/** Which requests a fault strikes, and how. Conditions left out always hold; those given must all hold. */
export interface FaultRule {
  kind: FaultKind;
  /** Endpoint name, as in the truth log: `generate-image`, `login` ... */
  endpoint?: string;
  /** The path, or what it begins with. */
  path?: string;
  /** E-mail of the account. */
  account?: string;
  /** Strikes only these of the requests that meet the conditions above, counted from 1 since the rule was added. */
  nth?: number | readonly number[];
  /** Strikes every n-th of them. */
  every?: number;
  /** Strikes with this chance, 0 to 1. */
  probability?: number;
  /** Strikes at most so often. */
  times?: number;
  /**
   * Whether the generation runs and is charged although it fails. By default those that need an answer to spoil
   * (`reset-after-headers`, `truncate`, `short-body`, `garbage`, `slow-body`, `delay`) are charged, the others are not and strike at once.
   */
  isCharged?: boolean;
  /** For `delay` and `slow-body`; before any other fault, a pause. 0 by default. */
  delayMs?: number;
  /** For `status`; 500 by default. */
  status?: number;
  /** For `status`; `json` by default. */
  body?: 'json' | 'html' | 'empty';
  /** For `status` with JSON and `stream-error`; a sentence that fits the status by default. */
  message?: string;
  /** Further headers for `status`, e.g. `retry-after`. */
  headers?: Readonly<Record<string, string>>;
  /** For `reset-after-headers` and `truncate`: bytes of the body let through; half of it by default. */
  afterBytes?: number;
  /** For `stream-error`: frames let through; 3 by default. */
  afterFrames?: number;
}

/** A rule in force. */
export interface PlannedFault extends FaultRule {
  readonly id: string;
  /** Requests that met its conditions so far, and how many of those it struck. */
  seen: number;
  struck: number;
}

/** What a rule is matched against. */
export interface FaultTarget {
  readonly endpoint: string;
  readonly path: string;
  readonly account: string;
}

const CHARGED_BY_DEFAULT: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'delay',
  'reset-after-headers',
  'truncate',
  'short-body',
  'garbage',
  'slow-body',
]);

/** Whether the request is handled and charged as usual, and only its answer fails. */
export function isChargedFault(fault: FaultRule): boolean {
  return fault.isCharged ?? CHARGED_BY_DEFAULT.has(fault.kind);
}

/** Whether there is nothing to handle: the fault strikes before the request is looked at. */
export function strikesAtOnce(fault: FaultRule): boolean {
  return !isChargedFault(fault) && !CHARGED_BY_DEFAULT.has(fault.kind) && fault.kind !== 'stream-error';
}

export class FaultPlan {
  readonly #random: SeededRandom;
  readonly #rules = new Map<string, PlannedFault>();
  #nextId = 1;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Puts a rule in force and gives its id. Rules are tried in the order they came; the first that strikes is played. */
  add(rule: FaultRule): string {
    if (!FAULT_KINDS.some((kind) => kind === rule.kind)) {
      throw new RangeError(
        `The fault could not be planned: expected a kind of ${FAULT_KINDS.join(', ')}, given ${rule.kind}.`,
      );
    }
    const id = `fault-${this.#nextId++}`;
    this.#rules.set(id, { ...rule, id, seen: 0, struck: 0 });
    return id;
  }

  /** Takes a rule back; false when there is none of this id. */
  remove(id: string): boolean {
    return this.#rules.delete(id);
  }

  clear(): void {
    this.#rules.clear();
  }

  list(): PlannedFault[] {
    return [...this.#rules.values()];
  }

  /** Whether any rule asks for the account, which for logins costs a look. */
  get hasAccountRules(): boolean {
    return this.list().some(({ account }) => account !== undefined);
  }

  /** Gives the fault that strikes this request, if any, and counts it. */
  pick(target: FaultTarget): FaultRule | undefined {
    for (const rule of this.#rules.values()) {
      if (!meets(rule, target)) continue;
      rule.seen++;
      if (!this.#strikes(rule)) continue;
      rule.struck++;
      return rule;
    }
    return undefined;
  }

  #strikes(rule: PlannedFault): boolean {
    if (rule.times !== undefined && rule.struck >= rule.times) return false;
    if (rule.nth !== undefined && ![rule.nth].flat().includes(rule.seen)) return false;
    if (rule.every !== undefined && rule.seen % rule.every !== 0) return false;
    return rule.probability === undefined || this.#random.next() < rule.probability;
  }
}

function meets(rule: FaultRule, target: FaultTarget): boolean {
  return (
    (rule.endpoint === undefined || rule.endpoint === target.endpoint) &&
    (rule.path === undefined || target.path.startsWith(rule.path)) &&
    (rule.account === undefined || rule.account === target.account)
  );
}
