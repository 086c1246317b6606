// The one port everything comes in on: NovelAI's paths go straight to their dialect, the rest to Fastify.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import { asProxyError } from '../dialects/as-proxy-error.ts';
import { sendError } from '../dialects/native/native-sink.ts';
import type { NativeDialect } from '../dialects/native/native-dialect.ts';
import { lingerOverBody, whenBodyIsOver } from '../dialects/native/read-body.ts';
import { unknownPath } from '../dialects/native/unknown-path.ts';
import type { Clock } from '../lib/clock.ts';
import { registerAboutRoutes } from './about-routes.ts';
import { limitBodies } from './body-limit.ts';
import type { Door } from './door.ts';
import { registerHealthRoutes, type HealthSource } from './health-routes.ts';
import { registerVersionRoutes } from './version-routes.ts';

// An `import` reads every export of the module, and one of node:http's loads a whole second HTTP client (17 MB, 70 ms).
const { createServer } = process.getBuiltinModule('node:http');

export interface HttpServerOptions {
  native: NativeDialect;
  health: HealthSource;
  /** Adds the dialects' own routes. */
  dialects: (app: FastifyInstance) => void;
  door: Door;
  clock: Clock;
  /** Asked for each request. */
  bodyLimitBytes: () => number;
}

/** What supervisors ask is answered also while the service stops. */
const ALWAYS_OPEN: ReadonlySet<string | undefined> = new Set(['/livez', '/readyz', '/version', '/metrics']);

/** Idle client connections are kept longer than common clients and front proxies keep theirs, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

/** Gives a Fastify server that is ready to listen, and what it serves beside NovelAI's paths, as `GET /livez`. */
export function createHttpServer(options: HttpServerOptions): { app: FastifyInstance; routes: readonly string[] } {
  const { native, health, dialects, door, clock, bodyLimitBytes } = options;
  const app = Fastify({
    logger: false,
    // What holds is the limit of the moment.
    bodyLimit: Number.MAX_SAFE_INTEGER,
    // NovelAI's paths must reach NovelAI byte for byte and at the least cost: they never enter Fastify.
    serverFactory: (fastifyHandler) => {
      const route = (request: IncomingMessage, response: ServerResponse) => {
        door.receive(response);
        if (native.owns(request.url ?? '/')) void native.serve(request, response);
        else fastifyHandler(request, response);
      };
      return withTimeouts(createServer(route)).on('checkContinue', route);
    },
    forceCloseConnections: 'idle',
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  });
  app.setNotFoundHandler(({ method, url }, reply) => {
    reply.hijack();
    sendError(reply.raw, unknownPath(method, url));
  });
  app.setErrorHandler(async (error, request, reply) => {
    reply.hijack();
    if (door.isShut) await whenBodyIsOver(request.raw, reply.raw);
    else lingerOverBody(request.raw, reply.raw);
    sendError(reply.raw, asProxyError(error));
  });
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => void routes.push(...[method].flat().map((name) => `${name} ${url}`)));
  app.addHook('onRequest', ({ routeOptions: { url } }, _reply, done) =>
    done(ALWAYS_OPEN.has(url) ? undefined : door.refusal()),
  );
  limitBodies(app, bodyLimitBytes);
  registerHealthRoutes(app, health, door);
  registerVersionRoutes(app, clock);
  registerAboutRoutes(app);
  dialects(app);
  return { app, routes };
}

/** Zod checks what comes in. Fastify's own two compilers, loaded without this, take a few MB and a tenth of the start. */
function noSchemas(): never {
  throw new Error('no route has a schema of Fastify');
}

function withTimeouts(server: Server): Server {
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = 30_000;
  // A client may take its time over a large body, and waits in the queue for long: the queue's deadline bounds that.
  server.requestTimeout = 0;
  return server;
}
