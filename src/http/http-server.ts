// The one port everything comes in on: NovelAI's paths go straight to their dialect, the rest to Fastify.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import { asProxyError } from '../dialects/as-proxy-error.ts';
import { sendError } from '../dialects/native/native-sink.ts';
import type { NativeDialect } from '../dialects/native/native-dialect.ts';
import { unknownPath } from '../dialects/native/unknown-path.ts';
import { registerHealthRoutes, type HealthSource } from './health-routes.ts';

export interface HttpServerOptions {
  native: NativeDialect;
  health: HealthSource;
  /** Adds the dialects' own routes. */
  dialects: (app: FastifyInstance) => void;
  bodyLimitBytes: number;
}

/** Idle client connections are kept longer than common clients and front proxies keep theirs, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

/** Gives a Fastify server that is ready to listen. */
export function createHttpServer({ native, health, dialects, bodyLimitBytes }: HttpServerOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: bodyLimitBytes,
    // NovelAI's paths must reach NovelAI byte for byte and at the least cost: they never enter Fastify.
    serverFactory: (fastifyHandler) => {
      const route = (request: IncomingMessage, response: ServerResponse) => {
        if (native.owns(request.url ?? '/')) void native.serve(request, response);
        else fastifyHandler(request, response);
      };
      return withTimeouts(createServer(route)).on('checkContinue', route);
    },
    forceCloseConnections: 'idle',
  });
  app.setNotFoundHandler(({ method, url }, reply) => {
    reply.hijack();
    sendError(reply.raw, unknownPath(method, url));
  });
  app.setErrorHandler((error, _request, reply) => {
    reply.hijack();
    sendError(reply.raw, asProxyError(error));
  });
  registerHealthRoutes(app, health);
  dialects(app);
  return app;
}

function withTimeouts(server: Server): Server {
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = 30_000;
  // A client may take its time over a large body, and waits in the queue for long: the queue's deadline bounds that.
  server.requestTimeout = 0;
  return server;
}
