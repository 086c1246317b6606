// The simulator's control API: JSON over HTTP on a port of its own, for tests and demonstrations in other processes.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import * as z from 'zod';
import {
  balanceSchema,
  clockSchema,
  faultSchema,
  latencySchema,
  newAccountSchema,
  someAccountSchema,
  tokenSchema,
} from './control-schema.ts';
import type { AccountState } from '../accounts/accounts.ts';
import type { Simulator } from '../simulator.ts';
import type { TruthRow } from '../truth-log.ts';

/** One thing that can be asked or ordered. The path's last part may be `:key`. */
interface Command {
  readonly does: string;
  run(simulator: Simulator, call: Call): unknown;
}

interface Call {
  /** What stood for `:key`. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

/** What the caller got wrong. */
class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const BODY_LIMIT_BYTES = 1024 ** 2;
const DEFAULT_ROWS = 1000;
const DONE = { done: true };

const COMMANDS: Readonly<Record<string, Command>> = {
  'GET /': { does: 'lists these commands', run: () => listCommands() },
  'GET /state': {
    does: 'addresses, open requests, totals, latency, faults, wall time',
    run: (simulator) => ({
      origin: simulator.origin,
      imageUrl: simulator.imageUrl,
      textUrl: simulator.textUrl,
      apiUrl: simulator.apiUrl,
      openRequests: simulator.truth.openRequests,
      totals: simulator.truth.totals(),
      latency: latencyOf(simulator),
      faults: simulator.faults.list(),
      wallTime: new Date(simulator.wallMs()).toISOString(),
    }),
  },
  'GET /accounts': { does: 'balances of all accounts', run: (simulator) => simulator.accounts.map(describeAccount) },
  'POST /accounts': {
    does: 'adds an account: {email, password, persistentToken?, tier?, isActive?, fixedAnlas?, purchasedAnlas?, allowancePercent?}',
    run: (simulator, { body }) => describeAccount(simulator.addAccount(read(newAccountSchema, body))),
  },
  'PATCH /accounts/:key': {
    does: 'changes an account: {tier?, isActive?, fixedAnlas?, purchasedAnlas?, allowancePercent?}',
    run: (simulator, { key, body }) => {
      simulator.setBalance(key, read(balanceSchema, body));
      return simulator.accounts.filter(({ email }) => email === key).map(describeAccount)[0];
    },
  },
  'POST /tokens': {
    does: 'gives a session token without a login: {email, lifetimeSeconds?}',
    run: (simulator, { body }) => {
      const { email, lifetimeSeconds } = read(tokenSchema, body);
      return { accessToken: simulator.issueToken(email, lifetimeSeconds) };
    },
  },
  'POST /tokens/expire': {
    does: 'refuses the session tokens given out so far: {email?}',
    run: (simulator, { body }) => done(simulator.expireTokens(read(someAccountSchema, body).email)),
  },
  'POST /tokens/revoke': {
    does: 'refuses every token given out so far, persistent ones too: {email?}',
    run: (simulator, { body }) => done(simulator.revokeTokens(read(someAccountSchema, body).email)),
  },
  'GET /faults': { does: 'the rules in force', run: (simulator) => simulator.faults.list() },
  'POST /faults': {
    does: 'puts a rule in force: {kind, endpoint?, path?, account?, nth?, every?, probability?, times?, isCharged?, delayMs?, status?, body?, message?, headers?, afterBytes?, afterFrames?}',
    run: (simulator, { body }) => ({ id: simulator.faults.add(read(faultSchema, body)) }),
  },
  'DELETE /faults': { does: 'takes all rules back', run: (simulator) => done(simulator.faults.clear()) },
  'DELETE /faults/:key': {
    does: 'takes one rule back',
    run: (simulator, { key }) => {
      if (!simulator.faults.remove(key)) throw new ControlError(404, `There is no fault ${key}.`);
      return DONE;
    },
  },
  'POST /clock': {
    does: 'moves the wall clock: {advanceMs}',
    run: (simulator, { body }) => {
      simulator.advanceClockMs(read(clockSchema, body).advanceMs);
      return { wallTime: new Date(simulator.wallMs()).toISOString() };
    },
  },
  'PUT /latency': {
    does: 'changes durations: {factor?, fixedMs? (null: none)}',
    run: (simulator, { body }) => {
      const { factor, fixedMs } = read(latencySchema, body);
      simulator.latency.factor = factor ?? simulator.latency.factor;
      if (fixedMs !== undefined) simulator.latency.fixedMs = fixedMs ?? undefined;
      return latencyOf(simulator);
    },
  },
  'GET /truth': {
    does: 'totals and what each account went through',
    run: ({ truth }) => ({
      totals: truth.totals(),
      accounts: truth
        .accounts()
        .map((account) => Object.assign({ utilisation: truth.utilisation(account.account) }, account)),
    }),
  },
  'GET /truth/rows': {
    does: 'requests, oldest first: ?after=<id>&limit=<count>',
    run: ({ truth }, { query }) => {
      const limit = Number(query.get('limit') ?? DEFAULT_ROWS);
      return truth
        .rows(Number(query.get('after') ?? 0))
        .slice(0, limit)
        .map(describeRow);
    },
  },
  'GET /truth/idle': {
    does: 'answers once no request is open',
    run: async ({ truth }) => done(await truth.whenIdle()),
  },
  'DELETE /truth': { does: 'forgets what happened', run: (simulator) => done(simulator.truth.reset()) },
};

/** Makes the control server. It has no password: listen on a loopback address only. Does not listen yet. */
export function createControlServer(simulator: Simulator): Server {
  return createServer((request, response) => {
    answer(simulator, request, response).catch(() => response.destroy());
  });
}

async function answer(simulator: Simulator, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    send(response, 200, await obey(simulator, request));
  } catch (error) {
    const status = error instanceof ControlError ? error.status : error instanceof RangeError ? 400 : 500;
    send(response, status, { error: error instanceof Error ? error.message : 'The command failed.' });
  }
}

async function obey(simulator: Simulator, request: IncomingMessage): Promise<unknown> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control');
  const exact = COMMANDS[`${request.method} ${pathname}`];
  if (exact) return exact.run(simulator, { key: '', query: searchParams, body: await readJson(request) });
  const cut = pathname.lastIndexOf('/');
  const keyed = COMMANDS[`${request.method} ${pathname.slice(0, cut)}/:key`];
  if (!keyed) throw new ControlError(404, `There is no command ${request.method} ${pathname}; GET / lists them.`);
  const key = decodeURIComponent(pathname.slice(cut + 1));
  return keyed.run(simulator, { key, query: searchParams, body: await readJson(request) });
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    sizeBytes += (chunk as Buffer).length;
    if (sizeBytes > BODY_LIMIT_BYTES) throw new ControlError(413, `Expected at most ${BODY_LIMIT_BYTES} bytes.`);
    chunks.push(chunk as Buffer);
  }
  if (sizeBytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
  } catch {
    throw new ControlError(400, 'The body could not be read: expected JSON.');
  }
}

function read<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (!result.success) throw new ControlError(400, z.prettifyError(result.error));
  return result.data;
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value, undefined, 2)}\n`);
}

function listCommands(): Record<string, string> {
  return Object.fromEntries(Object.entries(COMMANDS).map(([command, { does }]) => [command, does]));
}

function done(_nothing: void): typeof DONE {
  return DONE;
}

function latencyOf({ latency }: Simulator): { factor: number; fixedMs: number | null } {
  return { factor: latency.factor, fixedMs: latency.fixedMs ?? null };
}

function describeAccount(account: AccountState): Record<string, unknown> {
  const { email, tier, isActive, fixedAnlas, purchasedAnlas } = account;
  return { email, tier, isActive, fixedAnlas, purchasedAnlas, allowance: account.allowance() };
}

/** Bodies stay in the process: a row of them could be megabytes. */
function describeRow({ body: _body, ...row }: TruthRow): Omit<TruthRow, 'body'> {
  return row;
}
