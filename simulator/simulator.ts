// The NovelAI stand-in: starts it, and is its handle while it runs.
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AccountBook } from './accounts/accounts.ts';
import type { AccountState, BalanceChange } from './accounts/accounts.ts';
import { Authority } from './accounts/authority.ts';
import { SimulatorClock } from './clock.ts';
import { createControlServer } from './control/control-api.ts';
import { FaultPlan } from './faults.ts';
import { GenerationLocks } from './generation.ts';
import { Artist } from './images/artist.ts';
import { LatencyModel } from './latency.ts';
import { resolveOptions } from './options.ts';
import type { ResolvedOptions, Role, SimulatedAccount, SimulatorOptions } from './options.ts';
import { SeededRandom } from './random.ts';
import { createRoleServer } from './server.ts';
import { TruthLog } from './truth-log.ts';
import type { World } from './world.ts';

export { DEFAULT_ACCOUNT } from './options.ts';
export type { SimulatedAccount, SimulatorOptions } from './options.ts';

/** A running simulator. */
export interface Simulator {
  /** Answers for all three hosts, e.g. `http://127.0.0.1:40123`; no slash at the end. */
  readonly origin: string;
  /** The three hosts: their own ports with `rolePorts`, else all the origin. */
  readonly imageUrl: string;
  readonly textUrl: string;
  readonly apiUrl: string;
  /** The control API, with `controlPort`. */
  readonly controlUrl: string | undefined;
  /** Live accounts: balances can be read here at any time. */
  readonly accounts: readonly AccountState[];
  readonly truth: TruthLog;
  readonly faults: FaultPlan;
  /** Durations, changeable while it runs. */
  readonly latency: LatencyModel;
  /** Adds an account. Throws RangeError when there is one with this e-mail. */
  addAccount(account: SimulatedAccount): AccountState;
  /** Gives a session token without a login; it lives as long as the options say unless told otherwise. */
  issueToken(email: string, lifetimeSeconds?: number): string;
  /** Refuses the session tokens given out so far, of one account or all. */
  expireTokens(email?: string): void;
  /** Refuses every token given out so far, the persistent one too. */
  revokeTokens(email?: string): void;
  /** Changes balances, tier or allowance. Throws RangeError for an unknown e-mail. */
  setBalance(email: string, change: BalanceChange): void;
  /** The wall clock that tokens and the allowance go by, Unix milliseconds. */
  wallMs(): number;
  /** Moves the wall clock that tokens and the allowance go by. */
  advanceClockMs(byMs: number): void;
  /** Stops at once: open requests are cut. */
  close(): Promise<void>;
}

/** Starts a simulator; resolves when it listens. Rejects when a port is taken or an option makes no sense. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const settings = resolveOptions(options);
  const world = createWorld(settings);
  const servers: Server[] = [];
  const open = async (server: Server, port: number): Promise<string> => {
    servers.push(server);
    server.listen(port, settings.host);
    await once(server, 'listening');
    return `http://${hostText(settings.host)}:${(server.address() as AddressInfo).port}`;
  };
  const close = async (): Promise<void> => {
    world.clock.stop();
    await Promise.all(servers.map(closeServer));
  };
  try {
    const origin = await open(createRoleServer(world, ['image', 'text', 'api']), settings.port);
    const { rolePorts } = settings;
    const roleUrl = (role: Role) => (rolePorts ? open(createRoleServer(world, [role]), rolePorts[role]) : origin);
    const address: Address = {
      origin,
      imageUrl: await roleUrl('image'),
      textUrl: await roleUrl('text'),
      apiUrl: await roleUrl('api'),
      controlUrl: undefined,
      close,
    };
    const simulator = handleOf(world, address);
    if (settings.controlPort !== undefined) {
      address.controlUrl = await open(createControlServer(simulator), settings.controlPort);
    }
    return simulator;
  } catch (error) {
    await close();
    throw error;
  }
}

function createWorld(options: ResolvedOptions): World {
  const clock = new SimulatorClock();
  const random = new SeededRandom(options.seed);
  const accounts = new AccountBook(options.accounts, clock);
  return {
    options,
    clock,
    random,
    accounts,
    authority: new Authority({
      accounts,
      clock,
      random,
      lifetimeSeconds: options.jwtLifetimeSeconds,
      seed: options.seed,
    }),
    latency: new LatencyModel({ factor: options.latencyFactor, fixedMs: options.fixedLatencyMs }, random),
    truth: new TruthLog(options.truthLimit),
    faults: new FaultPlan(random),
    locks: new GenerationLocks(),
    artist: new Artist({ imageScale: options.imageScale, cannedAnswerBytes: options.cannedAnswerBytes }),
  };
}

/** Where a simulator is reached, and how it is stopped. The control API comes last: it needs the rest. */
interface Address extends Pick<Simulator, 'origin' | 'imageUrl' | 'textUrl' | 'apiUrl' | 'close'> {
  controlUrl: string | undefined;
}

function handleOf(world: World, address: Address): Simulator {
  const { accounts, authority, clock, truth, faults, latency } = world;
  const chosen = (email: string | undefined) => (email === undefined ? accounts.all() : [accounts.get(email)]);
  return {
    ...address,
    get controlUrl() {
      return address.controlUrl;
    },
    get accounts() {
      return accounts.all();
    },
    truth,
    faults,
    latency,
    addAccount: (account) => accounts.add(account),
    issueToken: (email, lifetimeSeconds) => authority.issueSessionToken(accounts.get(email), lifetimeSeconds),
    expireTokens: (email) => chosen(email).forEach((account) => authority.expireSessions(account)),
    revokeTokens: (email) => chosen(email).forEach((account) => authority.revokeAll(account)),
    setBalance: (email, change) => accounts.get(email).change(change),
    wallMs: () => clock.wallMs(),
    advanceClockMs: (byMs) => clock.advance(byMs),
  };
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
