// A client's settings as the scheduler takes them.
import type { ClientPolicy } from '../scheduler/scheduler-types.ts';
import type { ClientSettings } from './client.ts';

/** Gives the client's share of the queue; `maxQueued` is the service's own limit, for clients that have none. */
export function queuePolicy(
  client: Pick<ClientSettings, 'weight' | 'maxQueued' | 'maxInFlight'>,
  { maxQueued }: { maxQueued: number },
): ClientPolicy {
  return {
    weight: client.weight,
    maxQueued: client.maxQueued ?? maxQueued,
    maxInFlight: client.maxInFlight ?? Number.POSITIVE_INFINITY,
  };
}
