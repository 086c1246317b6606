// The HTTP servers: one request's way from the socket to its handler, through edge, route, token, lock count and faults.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { NOVELAI_MESSAGES } from '../src/novelai/error-form.ts';
import { Exchange } from './exchange.ts';
import { playAtOnce } from './failures/fault-play.ts';
import { strikesAtOnce } from './faults.ts';
import { hashOf } from './hashing.ts';
import { htmlPage } from './failures/html-page.ts';
import type { Role } from './options.ts';
import { Refusal } from './refusal.ts';
import { findRoute } from './routes.ts';
import type { Route } from './routes.ts';
import type { World } from './world.ts';

/** The one user agent the edge blocks (contract 1). */
const BLOCKED_USER_AGENT = /^Python-urllib\//i;
const METHOD_MESSAGES = { 404: 'Not Found', 405: 'Method Not Allowed' } as const;
/** For a client that announces a large body and never sends it. */
const REQUEST_TIMEOUT_MS = 300_000;

/** Makes a server that answers for these hosts; where two have a path, the first named wins. Does not listen yet. */
export function createRoleServer(world: World, roles: readonly [Role, ...Role[]]): Server {
  const server = createServer(
    { keepAliveTimeout: world.options.keepAliveTimeoutMs, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      void serve(world, roles, request, response);
    },
  );
  // Node's hidden second of grace would keep an idle connection longer than the option says.
  server.keepAliveTimeoutBuffer = 0;
  return server;
}

async function serve(
  world: World,
  roles: readonly [Role, ...Role[]],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const exchange = new Exchange(world, request, response, roles[0]);
  try {
    await handle(world, roles, exchange);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(500, NOVELAI_MESSAGES.internalServerError);
    if (!(error instanceof Refusal)) exchange.row.crash = String(error);
    if (response.headersSent) exchange.cut('reset');
    else await exchange.refuse(refusal);
  }
}

async function handle(world: World, roles: readonly [Role, ...Role[]], exchange: Exchange): Promise<void> {
  const { request, row } = exchange;
  if (BLOCKED_USER_AGENT.test(request.headers['user-agent'] ?? '')) {
    request.resume();
    return exchange.sendWhole(htmlPage(403));
  }
  if (request.method === 'OPTIONS')
    return exchange.sendWhole({ status: 204, headers: [], pieces: [], framing: 'length' });

  const match = findRoute(roles, request.method ?? '', exchange.path);
  if ('found' in match) {
    exchange.role = match.found.role;
    row.endpoint = match.found.endpoint;
  }
  const isWhole = await receiveBody(world, exchange);
  if (!isWhole) return;
  if (!('found' in match)) throw new Refusal(match.status, METHOD_MESSAGES[match.status]);

  const route = match.found;
  identify(world, exchange);
  if (route.slot && exchange.identity) world.truth.openGeneration(row, route.slot);
  const fault = world.faults.pick({
    endpoint: route.endpoint,
    path: exchange.path,
    account: await accountOf(world, exchange, route),
  });
  if (fault) {
    world.truth.countFault(row, fault.kind);
    if (strikesAtOnce(fault)) return playAtOnce(exchange, world, fault);
    if (fault.kind === 'delay') await world.clock.wait(fault.delayMs ?? 0);
    exchange.fault = fault;
  }
  authorise(world, exchange, route);
  await route.handle(exchange, world);
}

function identify(world: World, exchange: Exchange): void {
  exchange.identity = world.authority.identify(exchange.request.headers.authorization);
  if (exchange.identity) world.truth.recognise(exchange.row, exchange.identity.account.email);
}

/** Faults can be aimed at an account's login too, where only the key tells who it is. */
async function accountOf(world: World, exchange: Exchange, route: Route): Promise<string> {
  if (exchange.identity) return exchange.identity.account.email;
  if (route.endpoint !== 'user-login' || !world.faults.hasAccountRules) return '';
  const key = /"key"\s*:\s*"([^"]*)"/.exec(exchange.body.toString())?.[1] ?? '';
  return (await world.accounts.byAccessKey(key))?.email ?? '';
}

function authorise(world: World, { identity }: Exchange, route: Route): void {
  if (route.auth === 'none') return;
  if (!identity) {
    world.truth.countUnauthorized();
    throw new Refusal(401, NOVELAI_MESSAGES.unauthorized);
  }
  if (route.auth === 'session' && identity.kind === 'persistent') {
    throw new Refusal(401, NOVELAI_MESSAGES.persistentTokenNotAllowed);
  }
}

/** Reads the whole body; false when the client left first. Throws Refusal 413 for one that is too long. */
async function receiveBody(world: World, exchange: Exchange): Promise<boolean> {
  const { request, row } = exchange;
  const { bodyLimitBytes, hashesBodies, recordsBodies } = world.options;
  const chunks: Buffer[] = [];
  try {
    // Not destroyed when the loop ends early: the refusal still has to go out on this connection.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      row.requestBytes += (chunk as Buffer).length;
      if (row.requestBytes > bodyLimitBytes) throw tooLong(exchange);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return false;
  }
  const [only] = chunks;
  exchange.body = only && chunks.length === 1 ? only : Buffer.concat(chunks);
  if (hashesBodies) row.requestSha256 = hashOf(exchange.body);
  if (recordsBodies) row.body = exchange.body;
  return true;
}

/** The rest of the body is read to nowhere, and the connection closed behind the answer. */
function tooLong({ request, response }: Exchange): Refusal {
  request.resume();
  response.shouldKeepAlive = false;
  return new Refusal(413, 'Request Entity Too Large');
}
