// Which version of the service answers, on which Node, and for how long already.
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../lib/clock.ts';
import { VERSION } from '../lib/version.ts';
import type { VersionAnswer } from './openapi-schemas.ts';

const SERVICE_NAME = 'novelai-proxy-service';

/** `GET /version`; the time it runs is counted from now on. */
export function registerVersionRoutes(app: FastifyInstance, clock: Clock): void {
  const startedAt = new Date(clock.wallMs()).toISOString();
  const startedMs = clock.monotonicMs();
  app.get('/version', (): VersionAnswer => ({
    name: SERVICE_NAME,
    version: VERSION,
    node: process.versions.node,
    startedAt,
    // Not from the wall clock, which may be set meanwhile.
    uptimeSeconds: Math.floor((clock.monotonicMs() - startedMs) / 1000),
  }));
}
