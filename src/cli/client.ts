// `novelai-proxy client …`: the programs that may use the service. Works while the service runs.
import type { Command } from 'commander';
import { DEFAULT_SETTINGS, type Client, type StoredClient } from '../clients/client.ts';
import { ClientRepository } from '../clients/client-repository.ts';
import { addClientOptions, settingsOf, type ClientOptions } from './client-options.ts';
import { action, withStore, type CommandContext, type CommandDeps } from './command-context.ts';
import { formatTable, type Column } from './table.ts';

interface Output {
  json?: boolean;
}

export function addClientCommand(program: Command, deps: CommandDeps): void {
  const client = program.command('client').description('The programs that may use the service, and what each may do');
  addClientOptions(client.command('add').argument('<name>').description('Add a client; its token is shown this once'))
    .option('--json', 'print JSON')
    .action(action(deps, addClient));
  client.command('list').description('All clients').option('--json', 'print JSON').action(action(deps, listClients));
  client
    .command('show')
    .argument('<name>')
    .description('One client and its settings')
    .option('--json', 'print JSON')
    .action(action(deps, showClient));
  addClientOptions(client.command('edit').argument('<name>').description('Change settings; they count within a second'))
    .option('--name <name>', 'a new name')
    .option('--json', 'print JSON')
    .action(action(deps, editClient));
  client
    .command('revoke')
    .argument('<name>')
    .description('Refuse its token from now on, for good')
    .action(action(deps, revokeClient));
  client
    .command('rotate')
    .argument('<name>')
    .description('Give it a new token; the old one is refused from now on')
    .option('--json', 'print JSON')
    .action(action(deps, rotateClient));
}

async function addClient(context: CommandContext, name: string, options: ClientOptions & Output): Promise<void> {
  const settings = settingsOf(options, context.clock.wallMs());
  const { client, token } = await withClients(context, (clients) => clients.add(name, settings));
  printToken(context, `Client "${client.name}" was added.`, { client, token }, options);
}

async function rotateClient(context: CommandContext, name: string, options: Output): Promise<void> {
  const issued = await withClients(context, (clients) => clients.rotate(name));
  printToken(context, `Client "${issued.client.name}" has a new token; the old one is refused.`, issued, options);
}

async function listClients(context: CommandContext, { json }: Output): Promise<void> {
  const { config, io, clock } = context;
  const stored = await withClients(context, (clients) => clients.list());
  if (json) {
    const environment = config.clients.map(({ name }) => ({ name, origin: 'environment' }));
    io.print(JSON.stringify([...environment, ...stored.map((client) => publicOf(client))], null, 2));
    return;
  }
  const rows = [...config.clients.map(({ name }) => listedOf(name)), ...stored];
  io.print(rows.length === 0 ? 'There are no clients.' : formatTable(listColumns(clock.wallMs()), rows));
}

async function showClient(context: CommandContext, name: string, { json }: Output): Promise<void> {
  const client = await withClients(context, (clients) => clients.get(name));
  printClient(context, client, json);
}

async function editClient(
  context: CommandContext,
  name: string,
  options: ClientOptions & Output & { name?: string },
): Promise<void> {
  const changes = settingsOf(options, context.clock.wallMs());
  const renamed = options.name === undefined ? {} : { name: options.name };
  const client = await withClients(context, (clients) => clients.edit(name, { ...renamed, ...changes }));
  printClient(context, client, options.json);
}

async function revokeClient(context: CommandContext, name: string): Promise<void> {
  const client = await withClients(context, (clients) => clients.revoke(name));
  context.io.print(`The token of "${client.name}" is refused from now on.`);
}

function withClients<T>(context: CommandContext, work: (clients: ClientRepository) => Promise<T>): Promise<T> {
  const environmentNames = context.config.clients.map(({ name }) => name);
  return withStore(context, (store) => work(new ClientRepository({ store, clock: context.clock, environmentNames })));
}

function printToken(
  { io }: CommandContext,
  what: string,
  { client, token }: { client: StoredClient; token: string },
  { json }: Output,
): void {
  if (json) io.print(JSON.stringify({ ...publicOf(client), token }, null, 2));
  else
    io.print(
      `${what}\n\n  ${token}\n\nThis is the only time it is shown. The program takes it where it asks for a NovelAI token.`,
    );
}

function printClient({ io, clock }: CommandContext, client: StoredClient, json = false): void {
  if (json) {
    io.print(JSON.stringify(publicOf(client), null, 2));
    return;
  }
  const lines: [string, string][] = [
    ['name', client.name],
    ['id', client.id],
    ['state', stateOf(client, clock.wallMs())],
    ['created', dateOf(client.createdAtMs)],
    ['token since', dateOf(client.rotatedAtMs ?? client.createdAtMs)],
    ['expires', client.expiresAtMs === null ? 'never' : dateOf(client.expiresAtMs)],
    ['endpoints', client.endpoints?.join(', ') ?? 'all'],
    ['interfaces', client.dialects?.join(', ') ?? 'all'],
    ['priority', `${client.band}, weight ${client.weight}`],
    ['waiting', limitText(client.maxQueued, 'at most # at once', 'as many as QUEUE_LIMIT_PER_CLIENT says')],
    [
      'waiting time',
      client.maxWaitMs === null ? 'as long as QUEUE_TIMEOUT says' : `at most ${client.maxWaitMs / 1000} s`,
    ],
    ['at NovelAI', limitText(client.maxInFlight, 'at most # at once', 'no limit')],
    ['rate', limitText(client.requestsPerMinute, 'at most # a minute', 'no limit')],
    ['Anlas', anlasText(client)],
    ['images', limitText(client.imagesPerDay, 'at most # a day', 'no limit')],
    ['what costs', FREE_ONLY_TEXT[client.freeOnly]],
  ];
  const width = Math.max(...lines.map(([title]) => title.length));
  io.print(lines.map(([title, text]) => `${title.padEnd(width)}  ${text}`).join('\n'));
}

/** The client without its digests, for programs. */
function publicOf({
  tokenDigest: _digest,
  loginDigests: _digests,
  ...client
}: StoredClient): Omit<StoredClient, 'tokenDigest' | 'loginDigests'> {
  return client;
}

/** A row of the list: of the database, or of SERVER_TOKENS. */
type Listed = Omit<Client, 'id'> & { createdAtMs?: number; revokedAtMs?: number | null };

function listedOf(environmentName: string): Listed {
  return { ...DEFAULT_SETTINGS, name: environmentName, origin: 'environment' };
}

function listColumns(nowMs: number): Column<Listed>[] {
  return [
    { title: 'NAME', of: ({ name }) => name },
    { title: 'STATE', of: (client) => stateOf(client, nowMs) },
    { title: 'PRIORITY', of: ({ band, weight }) => `${band} x${weight}` },
    { title: 'ANLAS', of: (client) => anlasText(client) },
    { title: 'IMAGES', of: ({ imagesPerDay }) => limitText(imagesPerDay, '#/day', 'no limit') },
    { title: 'WHAT COSTS', of: ({ freeOnly }) => (freeOnly === 'off' ? 'allowed' : freeOnly) },
    { title: 'CREATED', of: ({ createdAtMs }) => (createdAtMs === undefined ? '' : dateOf(createdAtMs)) },
  ];
}

const FREE_ONLY_TEXT = {
  off: 'is allowed, within the budget',
  reject: 'is refused',
  clamp: 'is made smaller until it is free, or refused',
} as const;

function stateOf({ origin, expiresAtMs, revokedAtMs }: Listed, nowMs: number): string {
  if (origin === 'environment') return 'active (.env)';
  if (typeof revokedAtMs === 'number') return `revoked ${dateOf(revokedAtMs)}`;
  if (expiresAtMs === null) return 'active';
  return expiresAtMs <= nowMs ? `expired ${dateOf(expiresAtMs)}` : `active until ${dateOf(expiresAtMs)}`;
}

function anlasText({ anlasPerDay, anlasPerMonth, anlasTotal }: Listed): string {
  const limits = [
    anlasPerDay === null ? undefined : `${anlasPerDay}/day`,
    anlasPerMonth === null ? undefined : `${anlasPerMonth}/month`,
    anlasTotal === null ? undefined : `${anlasTotal} in all`,
  ].filter((limit) => limit !== undefined);
  return limits.length === 0 ? 'no limit' : limits.join(', ');
}

function limitText(limit: number | null, pattern: string, none: string): string {
  return limit === null ? none : pattern.replace('#', String(limit));
}

function dateOf(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 16).replace('T', ' ');
}
