// The ways that the overhead bench compares: straight to the origin, through each peer, and through the service.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generationBody } from '../../test/support/stack.ts';
import { startPeers, type Way } from '../peers/peers.ts';
import { startOrigin, type Origin } from './origin.ts';
import { startService, type ServiceProcess } from './service-process.ts';
import { SEED } from './wrk.ts';

export const GENERATE_PATH = '/ai/generate-image';
/** The way through the service; everything else is compared with it. */
export const OURS = 'this service';
export const DIRECT = 'straight';

/** More than the most connections at once, so that nobody waits for an account. */
const ACCOUNTS = 80;

export interface Field {
  origin: Origin;
  ways: Way[];
  service: ServiceProcess;
  dir: string;
  missing: string[];
  stop(): Promise<void>;
}

export interface FieldOptions {
  /** Chooses peers by name. */
  peers?: (name: string) => boolean;
  /** Further services under other names, with what Node is told for them. */
  variants?: readonly { name: string; nodeArguments: readonly string[]; environment?: Record<string, string> }[];
}

/** Starts origin, peers and service. */
export async function openField({ peers, variants = [] }: FieldOptions = {}): Promise<Field> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-'));
  const origin = await startOrigin();
  const { ways, missing } = await startPeers(Number(new URL(origin.address).port), dir, peers);
  // From source, all of them: a variant changes modules of it.
  const common = { upstream: origin.address, accounts: ACCOUNTS, isFromSource: true };
  const service = await startService(common);
  const services: Way[] = [wayThrough(OURS, service)];
  for (const { name, ...options } of variants)
    services.push(wayThrough(name, await startService({ ...common, ...options })));
  const straight: Way = { name: DIRECT, base: origin.address, headers: {}, stop: () => Promise.resolve() };
  const all = [straight, ...ways, ...services];
  return {
    origin,
    ways: all,
    service,
    dir,
    missing,
    async stop() {
      for (const way of all) await way.stop();
      await origin.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function wayThrough(name: string, { address, token, pid, stop }: ServiceProcess): Way {
  return { name, base: address, headers: { authorization: `Bearer ${token}` }, pid, stop };
}

/** What every way is asked with. */
export function requestHeaders({ headers }: Way): Record<string, string> {
  return { authorization: 'Bearer made-up', 'content-type': 'application/json', ...headers };
}

/** A free picture of about this many bytes of JSON, with a place for each request's own seed. */
export function pictureBody(sizeBytes: number): string {
  const parameters = { steps: 28, seed: SEED.slice(1, -1) };
  const spareBytes = sizeBytes - generationBody({ prompt: '', parameters }).length;
  // The prompt stands twice in the body.
  return generationBody({ prompt: '1girl, '.repeat(Math.ceil(spareBytes / 14)), parameters }).toString();
}

/** The same with a picture to begin from: the request is about as large as that. */
export function pictureFromPictureBody(sizeBytes: number): string {
  const parameters = { steps: 28, strength: 0.7, noise: 0, seed: SEED.slice(1, -1), image: base64Of(sizeBytes) };
  return generationBody({ action: 'img2img', parameters }).toString();
}

function base64Of(characters: number): string {
  let text = '';
  for (let block = 0; text.length < characters; block += 1)
    text += createHash('sha512').update(String(block)).digest('base64').slice(0, 84);
  return text.slice(0, characters - (characters % 4));
}
