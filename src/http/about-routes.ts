// What the service says of itself: to programs its OpenAPI document, to people a few lines.
import type { FastifyInstance } from 'fastify';
import { VERSION } from '../lib/version.ts';

const ABOUT = `NovelAI Proxy Service ${VERSION}

NovelAI's own API on this address, for programs with a token of their own: point a NovelAI client here.

  /openapi.json   what the service defines beside NovelAI's API: routes, headers, errors
  /readyz         whether a generation could be served now, and if not, why
  /version        what runs here

The manual is README.md and the folder docs/ of the service.
`;

/** `GET /` and `GET /openapi.json`. */
export function registerAboutRoutes(app: FastifyInstance): void {
  app.get('/', (_request, reply) => reply.type('text/plain; charset=utf-8').send(ABOUT));
  let document: Promise<string> | undefined;
  app.get('/openapi.json', async (_request, reply) => {
    document ??= writeDocument();
    return reply.type('application/json; charset=utf-8').send(await document);
  });
}

/** Made when it is first asked for: a service that starts has better things to do. */
async function writeDocument(): Promise<string> {
  const { openApiDocument } = await import('./openapi-document.ts');
  return JSON.stringify(openApiDocument());
}
