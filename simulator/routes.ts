// Which path is what, on which of NovelAI's hosts, and who may call it (contract 1 and 3).
import { NOVELAI_MESSAGES } from '../src/novelai/error-form.ts';
import type { EndpointId } from '../src/novelai/endpoints.ts';
import { generateImage } from './endpoints/generate-image.ts';
import {
  createPersistentToken,
  giftKeys,
  information,
  login,
  priority,
  subscription,
  userData,
} from './endpoints/user-account.ts';
import type { Role } from './options.ts';
import { Refusal } from './refusal.ts';
import type { Slot } from './truth-log.ts';
import type { Handler } from './world.ts';

export interface Route {
  readonly endpoint: EndpointId;
  readonly method: string;
  /** Exact; or a prefix, when it ends in a slash. */
  readonly path: string;
  readonly role: Role;
  /** `none`: answers anybody; `any`: both kinds of token; `session`: no persistent token (contract 2.4). */
  readonly auth: 'none' | 'any' | 'session';
  /** The lock that one request of this kind holds (design 13). */
  readonly slot?: Slot;
  readonly handle: Handler;
}

const IMAGE = { role: 'image', auth: 'any' } as const;

const ROUTES: readonly Route[] = [
  {
    ...IMAGE,
    endpoint: 'generate-image',
    method: 'POST',
    path: '/ai/generate-image',
    slot: 'image',
    handle: generateImage,
  },
  { ...IMAGE, endpoint: 'user-login', method: 'POST', path: '/user/login', auth: 'none', handle: login },
  { ...IMAGE, endpoint: 'user-subscription', method: 'GET', path: '/user/subscription', handle: subscription },
  { ...IMAGE, endpoint: 'user-data', method: 'GET', path: '/user/data', handle: userData },
  { ...IMAGE, endpoint: 'user-information', method: 'GET', path: '/user/information', handle: information },
  { ...IMAGE, endpoint: 'user-priority', method: 'GET', path: '/user/priority', handle: priority },
  { ...IMAGE, endpoint: 'user-giftkeys', method: 'GET', path: '/user/giftkeys', handle: giftKeys },
  {
    ...IMAGE,
    endpoint: 'user-create-persistent-token',
    method: 'POST',
    path: '/user/create-persistent-token',
    auth: 'session',
    handle: createPersistentToken,
  },
];

/** Where NovelAI's account calls used to live, and what is answered there now (contract 1). */
const MOVED_PATHS: ReadonlySet<string> = new Set([
  '/user/subscription',
  '/user/data',
  '/user/information',
  '/user/priority',
  '/user/giftkeys',
]);

const movedHost: Handler = () => {
  throw new Refusal(400, NOVELAI_MESSAGES.movedHost);
};

export type RouteMatch = { found: Route } | { status: 404 | 405 };

/** Finds the route on a server that answers for these hosts; the first host named wins. Paths must match to the letter. */
export function findRoute(roles: readonly Role[], method: string, path: string): RouteMatch {
  let status: 404 | 405 = 404;
  for (const role of roles) {
    for (const route of ROUTES_BY_ROLE[role]) {
      if (route.path !== path && !(route.path.endsWith('/') && path.startsWith(route.path))) continue;
      if (route.method === method) return { found: route };
      status = 405;
    }
  }
  return { status };
}

/** The same path answered by the old host. */
function onApiHost(route: Route, changes: Partial<Route>): Route {
  return { ...route, role: 'api', ...changes };
}

const ROUTES_BY_ROLE: Readonly<Record<Role, readonly Route[]>> = {
  image: ROUTES.filter(({ role }) => role === 'image'),
  text: ROUTES.filter(({ role }) => role === 'text'),
  api: [
    ...ROUTES.filter(({ role }) => role === 'api'),
    ...ROUTES.filter(({ path }) => path === '/user/login').map((route) => onApiHost(route, {})),
    ...ROUTES.filter(({ path }) => MOVED_PATHS.has(path)).map((route) =>
      onApiHost(route, { auth: 'none', handle: movedHost }),
    ),
  ],
};
