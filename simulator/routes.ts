// Which path is what, on which of NovelAI's hosts, and who may call it (contract 1 and 3).
import { NOVELAI_MESSAGES } from '../src/novelai/error-form.ts';
import type { EndpointId } from '../src/novelai/endpoints.ts';
import { annotateImage, augmentImage } from './endpoints/director-tools.ts';
import { encodeVibe } from './endpoints/encode-vibe.ts';
import { generateImageStream } from './endpoints/generate-image-stream.ts';
import { generateImage } from './endpoints/generate-image.ts';
import { generateVoice } from './endpoints/generate-voice.ts';
import { suggestTags } from './endpoints/suggest-tags.ts';
import { generateText, generateTextStream } from './endpoints/text-generate.ts';
import { chatCompletions, completions, textModels, tokenCount } from './endpoints/text-openai.ts';
import { upscale } from './endpoints/upscale.ts';
import {
  createPersistentToken,
  giftKeys,
  information,
  login,
  priority,
  subscription,
  userData,
} from './endpoints/user-account.ts';
import {
  getClientSettings,
  getKeystore,
  objects,
  putClientSettings,
  putConsent,
  putKeystore,
} from './endpoints/user-storage.ts';
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

type PlainRoute = Pick<Route, 'endpoint' | 'method' | 'path' | 'handle'> & Partial<Route>;

/** A generation of pictures, which takes the image lock. */
function image(endpoint: EndpointId, path: string, handle: Handler, role: Role = 'image'): Route {
  return { endpoint, method: 'POST', path, handle, role, auth: 'any', slot: 'image' };
}

function text(route: PlainRoute): Route {
  return { role: 'text', auth: 'any', ...route };
}

function user(method: string, path: string, handle: Handler, auth: Route['auth'] = 'any'): Route {
  const endpoint = path.startsWith('/user/objects/') ? 'user-objects' : path.slice(1).replaceAll('/', '-');
  return { endpoint: endpoint as EndpointId, method, path, handle, role: 'image', auth };
}

const ROUTES: readonly Route[] = [
  image('generate-image', '/ai/generate-image', generateImage),
  image('generate-image-stream', '/ai/generate-image-stream', generateImageStream),
  image('augment-image', '/ai/augment-image', augmentImage),
  image('encode-vibe', '/ai/encode-vibe', encodeVibe),
  image('upscale', '/ai/upscale', upscale),
  image('annotate-image', '/ai/annotate-image', annotateImage, 'api'),
  {
    endpoint: 'suggest-tags',
    method: 'GET',
    path: '/ai/generate-image/suggest-tags',
    role: 'image',
    auth: 'none',
    handle: suggestTags,
  },
  {
    endpoint: 'generate-voice',
    method: 'GET',
    path: '/ai/generate-voice',
    role: 'api',
    auth: 'any',
    handle: generateVoice,
  },

  text({ endpoint: 'text-generate', method: 'POST', path: '/ai/generate', slot: 'text', handle: generateText }),
  text({
    endpoint: 'text-generate-stream',
    method: 'POST',
    path: '/ai/generate-stream',
    slot: 'text',
    handle: generateTextStream,
  }),
  text({
    endpoint: 'text-completions',
    method: 'POST',
    path: '/oa/v1/completions',
    slot: 'text',
    handle: completions,
  }),
  text({
    endpoint: 'text-chat-completions',
    method: 'POST',
    path: '/oa/v1/chat/completions',
    slot: 'text',
    handle: chatCompletions,
  }),
  text({ endpoint: 'text-token-count', method: 'POST', path: '/oa/v1/internal/token-count', handle: tokenCount }),
  text({ endpoint: 'text-models', method: 'GET', path: '/oa/v1/models', handle: textModels }),

  user('POST', '/user/login', login, 'none'),
  user('POST', '/user/create-persistent-token', createPersistentToken, 'session'),
  user('GET', '/user/subscription', subscription),
  user('GET', '/user/data', userData),
  user('GET', '/user/information', information),
  user('GET', '/user/priority', priority),
  user('GET', '/user/giftkeys', giftKeys),
  user('PUT', '/user/consent', putConsent),
  user('GET', '/user/keystore', getKeystore, 'session'),
  user('PUT', '/user/keystore', putKeystore, 'session'),
  user('GET', '/user/clientsettings', getClientSettings, 'session'),
  user('PUT', '/user/clientsettings', putClientSettings, 'session'),
  ...['GET', 'PUT', 'PATCH', 'DELETE'].map((method) => user(method, '/user/objects/', objects, 'session')),
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
