// Liveness and readiness for supervisors and people.
import type { FastifyInstance } from 'fastify';
import type { Door } from './door.ts';
import type { Liveness, Readiness } from './openapi-schemas.ts';

export interface HealthSource {
  /** Whether a generation sent now could be served, and what stands in the way of each account otherwise. */
  readiness(): { isReady: boolean; accounts: { name: string; state: string; why?: string | undefined }[] };
}

/** `GET /livez` and `GET /readyz`; both also answer while the service stops. */
export function registerHealthRoutes(app: FastifyInstance, health: HealthSource, door: Pick<Door, 'isShut'>): void {
  app.get('/livez', (): Liveness => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const { isReady, accounts } = health.readiness();
    const status = door.isShut ? 'stopping' : isReady ? 'ready' : 'not ready';
    return reply.status(status === 'ready' ? 200 : 503).send({ status, accounts } satisfies Readiness);
  });
}
