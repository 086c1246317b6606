// Loaded before the service (`node --import`), takes its bookkeeping away: no token check, no ledger, no metrics. With LOG_LEVEL=error, what
// then remains is the way of the bytes alone. For the overhead bench only: the difference is what bookkeeping costs.
import { ClientRegistry, type Client } from '../src/clients/client-registry.ts';
import { Booking } from '../src/dispatch/booking.ts';
import { ServiceMetrics } from '../src/telemetry/service-metrics.ts';

let first: Client | undefined;
ClientRegistry.prototype.find = function find() {
  return (first ??= this.clients[0]);
};
Booking.reserve = () => Promise.resolve(undefined);
for (const name of ['requestEnded', 'exchangeEnded', 'dispatchGap', 'slotTaken', 'slotFreed'] as const)
  ServiceMetrics.prototype[name] = () => undefined;
