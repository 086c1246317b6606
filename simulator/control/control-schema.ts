// What the control API takes: one schema for each body. Unknown members are refused, so that a typing error is noticed.
import * as z from 'zod';
import { FAULT_KINDS } from '../faults.ts';

const anlas = z.int().min(0).max(1_000_000_000);
const percent = z.number().min(-100).max(100);
const tier = z.literal([0, 1, 2, 3]);
const durationMs = z.number().min(0).max(86_400_000);
const count = z.int().min(1);

export const newAccountSchema = z.strictObject({
  email: z.string().min(1),
  password: z.string().min(1),
  persistentToken: z
    .string()
    .regex(/^pst-[A-Za-z0-9]{64}$/)
    .exactOptional(),
  tier: tier.exactOptional(),
  isActive: z.boolean().exactOptional(),
  fixedAnlas: anlas.exactOptional(),
  purchasedAnlas: anlas.exactOptional(),
  allowancePercent: percent.exactOptional(),
});

export const balanceSchema = z.strictObject({
  tier: tier.exactOptional(),
  isActive: z.boolean().exactOptional(),
  fixedAnlas: anlas.exactOptional(),
  purchasedAnlas: anlas.exactOptional(),
  allowancePercent: percent.exactOptional(),
});

export const faultSchema = z.strictObject({
  kind: z.enum(FAULT_KINDS),
  endpoint: z.string().exactOptional(),
  path: z.string().exactOptional(),
  account: z.string().exactOptional(),
  nth: z.union([count, z.array(count)]).exactOptional(),
  every: count.exactOptional(),
  probability: z.number().min(0).max(1).exactOptional(),
  times: count.exactOptional(),
  isCharged: z.boolean().exactOptional(),
  delayMs: durationMs.exactOptional(),
  status: z.int().min(200).max(599).exactOptional(),
  body: z.enum(['json', 'html', 'empty']).exactOptional(),
  message: z.string().exactOptional(),
  headers: z.record(z.string(), z.string()).exactOptional(),
  afterBytes: z.int().min(0).exactOptional(),
  afterFrames: z.int().min(0).exactOptional(),
});

export const someAccountSchema = z.strictObject({ email: z.string().exactOptional() });
export const tokenSchema = z.strictObject({
  email: z.string(),
  lifetimeSeconds: z.int().min(1).max(1_000_000_000).exactOptional(),
});
export const clockSchema = z.strictObject({ advanceMs: z.number().min(-1e12).max(1e12) });
export const latencySchema = z.strictObject({
  factor: z.number().min(0).max(1000).exactOptional(),
  fixedMs: durationMs.nullable().exactOptional(),
});
