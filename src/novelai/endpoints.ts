// The one table of every NovelAI path a client may ask for, and how each is served (contract 3.1-3.10).

/** Which of NovelAI's hosts serves a path (contract 1). */
export type UpstreamRole = 'image' | 'text' | 'api';

/** What a request occupies on an account: one generation of each kind at a time (contract 6). */
export type Slot = 'image' | 'text' | 'none';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** How the service answers: passes NovelAI's answer on, makes one up for the client, or refuses with a reason. */
export type Answering = { by: 'relay' } | { by: 'made-up' } | { by: 'refused'; why: string };

interface EndpointRow {
  id: string;
  /** Allowed methods; the first is the one used upstream. */
  methods: readonly [HttpMethod, ...HttpMethod[]];
  /** Exact, or ending in `/*` for everything below. */
  path: string;
  role: UpstreamRole;
  slot: Slot;
  mayCostAnlas: boolean;
  answers: Answering;
  /** Stricter than the service's own limit, where only small bodies make sense. */
  bodyLimitBytes?: number;
  /** The answer can come in pieces over time and must never be held back. */
  isStream: boolean;
  /** The answer hangs on nothing but the request: reads keep it for a short while, paid requests for good. */
  isCacheable: boolean;
}

const SMALL_BODY_BYTES = 64 * 1024;
/** An `input` of 100,000 characters and its token lists, generously (contract 3.10). */
const TEXT_BODY_BYTES = 4 * 1024 * 1024;

const RELAY: Answering = { by: 'relay' };
const MADE_UP: Answering = { by: 'made-up' };
const PRIVATE: Answering = {
  by: 'refused',
  why: 'This holds the private data of the account owner, which the proxy does not hand out.',
};
const CHANGES_ACCOUNT: Answering = {
  by: 'refused',
  why: 'This would change the NovelAI account itself, which only its owner may do, at novelai.net.',
};

type PartialRow<Id extends string> = Partial<EndpointRow> & Pick<EndpointRow, 'methods' | 'path'> & { id: Id };

/** Image generation: takes the image slot, since it is not known which paths share NovelAI's lock (design 13). */
function image<const Id extends string>(row: PartialRow<Id>): EndpointRow & { id: Id } {
  return {
    role: 'image',
    slot: 'image',
    mayCostAnlas: true,
    answers: RELAY,
    isStream: false,
    isCacheable: false,
    ...row,
  };
}

function text<const Id extends string>(row: PartialRow<Id>): EndpointRow & { id: Id } {
  const defaults = { role: 'text', slot: 'text', mayCostAnlas: false, answers: RELAY, isCacheable: false } as const;
  return { ...defaults, isStream: false, bodyLimitBytes: TEXT_BODY_BYTES, ...row };
}

function account<const Id extends string>(row: PartialRow<Id> & { answers: Answering }): EndpointRow & { id: Id } {
  const defaults = { role: 'image', slot: 'none', mayCostAnlas: false, isStream: false, isCacheable: false } as const;
  return { ...defaults, bodyLimitBytes: SMALL_BODY_BYTES, ...row };
}

const POST = ['POST'] as const;
const GET = ['GET'] as const;

const ROWS = [
  // GET too, with a body: older gateways of this kind took it, and clients written for them still send it.
  image({ id: 'generate-image', methods: ['POST', 'GET'], path: '/ai/generate-image' }),
  image({ id: 'generate-image-stream', methods: POST, path: '/ai/generate-image-stream', isStream: true }),
  image({ id: 'augment-image', methods: POST, path: '/ai/augment-image' }),
  image({ id: 'encode-vibe', methods: POST, path: '/ai/encode-vibe', isCacheable: true }),
  image({ id: 'upscale', methods: POST, path: '/ai/upscale' }),
  image({ id: 'annotate-image', methods: POST, path: '/ai/annotate-image', role: 'api' }),
  image({
    id: 'suggest-tags',
    methods: GET,
    path: '/ai/generate-image/suggest-tags',
    slot: 'none',
    mayCostAnlas: false,
    isCacheable: true,
    bodyLimitBytes: SMALL_BODY_BYTES,
  }),
  image({ id: 'trial-status', methods: GET, path: '/ai/trial-status', slot: 'none', mayCostAnlas: false }),

  text({ id: 'text-generate', methods: POST, path: '/ai/generate' }),
  text({ id: 'text-generate-stream', methods: POST, path: '/ai/generate-stream', isStream: true }),
  text({ id: 'text-completions', methods: POST, path: '/oa/v1/completions', isStream: true }),
  text({ id: 'text-chat-completions', methods: POST, path: '/oa/v1/chat/completions', isStream: true }),
  text({ id: 'text-token-count', methods: POST, path: '/oa/v1/internal/token-count', slot: 'none' }),
  text({ id: 'text-models', methods: GET, path: '/oa/v1/models', slot: 'none', isCacheable: true }),
  text({ id: 'generate-prompt', methods: ['POST', 'GET'], path: '/ai/generate-prompt', role: 'api' }),
  text({ id: 'generate-voice', methods: GET, path: '/ai/generate-voice', role: 'api', slot: 'none', isStream: true }),

  account({ id: 'user-login', methods: POST, path: '/user/login', answers: MADE_UP }),
  account({ id: 'user-subscription', methods: GET, path: '/user/subscription', answers: MADE_UP }),
  account({ id: 'user-data', methods: GET, path: '/user/data', answers: MADE_UP }),
  account({ id: 'user-information', methods: GET, path: '/user/information', answers: MADE_UP }),
  account({ id: 'user-priority', methods: GET, path: '/user/priority', answers: MADE_UP }),

  account({ id: 'user-giftkeys', methods: GET, path: '/user/giftkeys', answers: PRIVATE }),
  account({ id: 'user-keystore', methods: ['GET', 'PUT'], path: '/user/keystore', answers: PRIVATE }),
  account({ id: 'user-clientsettings', methods: ['GET', 'PUT'], path: '/user/clientsettings', answers: PRIVATE }),
  account({
    id: 'user-objects',
    methods: ['GET', 'PUT', 'PATCH', 'DELETE'],
    path: '/user/objects/*',
    answers: PRIVATE,
  }),
  account({
    id: 'user-create-persistent-token',
    methods: POST,
    path: '/user/create-persistent-token',
    answers: CHANGES_ACCOUNT,
  }),
  account({ id: 'user-subscription-bind', methods: POST, path: '/user/subscription/bind', answers: CHANGES_ACCOUNT }),
  account({
    id: 'user-subscription-change',
    methods: POST,
    path: '/user/subscription/change',
    answers: CHANGES_ACCOUNT,
  }),
  account({ id: 'user-consent', methods: ['PUT'], path: '/user/consent', answers: CHANGES_ACCOUNT }),
  account({
    id: 'user-resend-email-verification',
    methods: POST,
    path: '/user/resend-email-verification',
    answers: CHANGES_ACCOUNT,
  }),
  account({ id: 'user-verify-email', methods: POST, path: '/user/verify-email', answers: CHANGES_ACCOUNT }),
  account({ id: 'user-register', methods: POST, path: '/user/register', answers: CHANGES_ACCOUNT }),
  account({ id: 'user-change-access-key', methods: POST, path: '/user/change-access-key', answers: CHANGES_ACCOUNT }),
  account({ id: 'user-recovery', methods: POST, path: '/user/recovery/*', answers: CHANGES_ACCOUNT }),
  account({ id: 'user-delete', methods: ['POST', 'DELETE'], path: '/user/delete', answers: CHANGES_ACCOUNT }),
  account({ id: 'user-billing', methods: ['GET', 'POST'], path: '/user/cb/*', answers: CHANGES_ACCOUNT }),
  // Training a module spends the account's training steps, which are its Anlas.
  account({
    id: 'module',
    methods: ['GET', 'POST', 'DELETE'],
    path: '/ai/module/*',
    role: 'api',
    answers: CHANGES_ACCOUNT,
  }),
] as const;

export type EndpointId = (typeof ROWS)[number]['id'];

/** One row of the table. */
export interface Endpoint extends Readonly<EndpointRow> {
  readonly id: EndpointId;
}

/** Every path NovelAI is known to have for clients; frozen. */
export const ENDPOINTS: readonly Endpoint[] = Object.freeze(ROWS.map((row) => Object.freeze(row)));

const EXACT: ReadonlyMap<string, Endpoint> = new Map(ENDPOINTS.map((endpoint) => [endpoint.path, endpoint]));
const BELOW: readonly (readonly [prefix: string, endpoint: Endpoint])[] = ENDPOINTS.flatMap((endpoint) =>
  endpoint.path.endsWith('/*') ? [[endpoint.path.slice(0, -1), endpoint]] : [],
);

export type EndpointMatch =
  | {
      found: Endpoint;
      /** The path as NovelAI knows it: one slash each, none at the end. For the table's exact paths, the table's own. */
      path: string;
    }
  | { methodNotAllowed: true; allow: readonly HttpMethod[] };

/**
 * Finds the row for a request; undefined when NovelAI has no such path. Tolerates doubled slashes (clients that join a base
 * URL and a path carelessly) and one at the end; takes a path with or without its query. Case matters, as upstream.
 */
export function findEndpoint(method: string, path: string): EndpointMatch | undefined {
  const normalPath = normalisePath(path);
  const endpoint = EXACT.get(normalPath) ?? BELOW.find(([prefix]) => normalPath.startsWith(prefix))?.[1];
  if (endpoint === undefined) return undefined;
  const isAllowed = endpoint.methods.some((allowed) => allowed === method);
  return isAllowed ? { found: endpoint, path: normalPath } : { methodNotAllowed: true, allow: endpoint.methods };
}

/** Gives the row with this id, for callers that know which one they mean. */
export function endpointById(id: EndpointId): Endpoint {
  const endpoint = ENDPOINTS.find((candidate) => candidate.id === id);
  if (endpoint === undefined) throw new Error(`There is no endpoint "${id}".`);
  return endpoint;
}

function normalisePath(path: string): string {
  const query = path.indexOf('?');
  const withoutQuery = query === -1 ? path : path.slice(0, query);
  const single = withoutQuery.includes('//') ? withoutQuery.replaceAll(/\/{2,}/g, '/') : withoutQuery;
  return single.length > 1 && single.endsWith('/') ? single.slice(0, -1) : single;
}
