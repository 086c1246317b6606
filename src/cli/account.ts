// `novelai-proxy account …`: the NovelAI accounts that are kept in the database. Works while the service runs.
import { InvalidArgumentError, type Command } from 'commander';
import { AccountRepository, type NewAccount, type StoredAccount } from '../accounts/account-repository.ts';
import type { AccountConfig } from '../config/config.ts';
import { Connections } from '../upstream/connections.ts';
import { UpstreamHosts } from '../upstream/upstream-hosts.ts';
import { proxyOf, readSecret } from './account-secrets.ts';
import { checkAccount, type AccountFinding } from './check-account.ts';
import { action, openBox, withStore, type CommandContext, type CommandDeps } from './command-context.ts';
import { printFindings } from './findings.ts';
import { formatTable } from './table.ts';

interface AddOptions {
  email?: string;
  proxy?: string;
  concurrency?: number;
  test: boolean;
}

export function addAccountCommand(program: Command, deps: CommandDeps): void {
  const account = program.command('account').description('The NovelAI accounts that generate');
  account
    .command('add')
    .argument('<name>', 'a name of your choice, for logs and reports')
    .description(
      'Add an account: with --email its password is asked for, without it a persistent token. Elsewhere than at a terminal, ' +
        'it is the first line of standard input, or the variable ACCOUNT_PASSWORD or ACCOUNT_TOKEN',
    )
    .option('--email <address>', 'e-mail address of the login')
    .option('--proxy <url>', 'http(s) or socks5 proxy of this account; with a password, in the variable ACCOUNT_PROXY')
    .option('--concurrency <number>', 'generations at once; NovelAI allows 1', readConcurrency)
    .option('--no-test', 'do not try it out')
    .action(action(deps, addAccount));
  account.command('list').description('All accounts').option('--json', 'print JSON').action(action(deps, listAccounts));
  account
    .command('test')
    .argument('[name]')
    .description('Log in and read the subscription, of one account or of all; costs nothing')
    .option('--json', 'print JSON')
    .action(action(deps, testAccounts));
  account
    .command('disable')
    .argument('<name>')
    .description('Give it no more work; what runs may finish')
    .action(action(deps, (context: CommandContext, name: string) => setEnabled(context, name, false)));
  account
    .command('enable')
    .argument('<name>')
    .description('Use it again')
    .action(action(deps, (context: CommandContext, name: string) => setEnabled(context, name, true)));
  account
    .command('remove')
    .argument('<name>')
    .description('Forget it and its credentials; its rows in the ledger stay')
    .action(action(deps, removeAccount));
}

async function addAccount(context: CommandContext, name: string, options: AddOptions): Promise<void> {
  const { io } = context;
  const credentials =
    options.email === undefined
      ? { token: await readSecret(context, { variable: 'ACCOUNT_TOKEN', question: 'Persistent token (pst-…)' }) }
      : {
          email: options.email,
          password: await readSecret(context, { variable: 'ACCOUNT_PASSWORD', question: 'Password' }),
        };
  const account: NewAccount = {
    name,
    ...credentials,
    proxyUrl: proxyOf(context, options.proxy),
    concurrency: options.concurrency,
  };
  const added = await withAccounts(context, (accounts) => accounts.add(account));
  io.print(`Account "${added.name}" was added; a running service uses it within a second.`);
  if (options.test) printFindings(io, await checkAccounts(context, { name: added.name }));
}

async function listAccounts(context: CommandContext, { json }: { json?: boolean }): Promise<void> {
  const stored = await withAccounts(context, (accounts) => accounts.list());
  const rows = [
    ...context.config.accounts.map((config) => listed(config, { origin: '.env', state: 'enabled' })),
    ...stored.map(({ name, config, isEnabled, fault }) =>
      listed(config ?? { name, concurrency: 1 }, {
        origin: 'database',
        state: fault ?? (isEnabled ? 'enabled' : 'disabled'),
      }),
    ),
  ];
  if (json) context.io.print(JSON.stringify(rows, null, 2));
  else if (rows.length === 0) context.io.print('There are no accounts; `account add` adds one.');
  else
    context.io.print(
      formatTable(
        [
          { title: 'NAME', of: ({ name }) => name },
          { title: 'LOGIN', of: ({ login }) => login },
          { title: 'PROXY', of: ({ proxy }) => proxy },
          { title: 'KEPT IN', of: ({ origin }) => origin },
          { title: 'STATE', of: ({ state }) => state },
        ],
        rows,
      ),
    );
}

async function testAccounts(
  context: CommandContext,
  name: string | undefined,
  options: { json?: boolean },
): Promise<void> {
  const { io } = context;
  const findings = await checkAccounts(context, { name });
  if (options.json) io.print(JSON.stringify(findings, null, 2));
  else if (findings.length === 0) io.print('There are no accounts; `account add` adds one.');
  else printFindings(io, findings);
  if (findings.some(({ level }) => level === 'fault')) io.setExitCode(1);
}

async function setEnabled(context: CommandContext, name: string, isEnabled: boolean): Promise<void> {
  await withAccounts(context, (accounts) => accounts.setEnabled(name, isEnabled));
  context.io.print(
    isEnabled ? `Account "${name}" is used again.` : `Account "${name}" gets no more work; what runs may finish.`,
  );
}

async function removeAccount(context: CommandContext, name: string): Promise<void> {
  await withAccounts(context, (accounts) => accounts.remove(name));
  context.io.print(`Account "${name}" and its credentials are forgotten.`);
}

function withAccounts<T>(context: CommandContext, work: (accounts: AccountRepository) => Promise<T>): Promise<T> {
  const environmentNames = context.config.accounts.map(({ name }) => name);
  return withStore(context, async (store) => {
    const secretBox = await openBox(context, store);
    return work(new AccountRepository({ store, secretBox, clock: context.clock, environmentNames }));
  });
}

export interface AccountChoice {
  /** Only the account of this name; all without it. */
  name?: string | undefined;
  /** False leaves out the accounts of the database, where that cannot be read. */
  isDatabaseRead?: boolean | undefined;
}

/** Tries out the accounts of the environment and of the database. */
export async function checkAccounts(
  context: CommandContext,
  { name, isDatabaseRead = true }: AccountChoice = {},
): Promise<AccountFinding[]> {
  const stored = isDatabaseRead ? await withAccounts(context, (accounts) => accounts.list()) : [];
  const all: (Pick<StoredAccount, 'name' | 'config' | 'fault'> & { isEnabled: boolean })[] = [
    ...context.config.accounts.map((config) => ({ name: config.name, config, isEnabled: true })),
    ...stored,
  ];
  const chosen = name === undefined ? all : all.filter((account) => account.name === name);
  // Says that there is no such account, and what to do about it.
  if (chosen.length === 0 && name !== undefined) await withAccounts(context, (accounts) => accounts.get(name));
  const tried = await tryOut(
    context,
    chosen.flatMap(({ config }) => (config ? [config] : [])),
  );
  return chosen.map(({ name: chosenName, fault, isEnabled }) => {
    const finding: AccountFinding = tried.get(chosenName) ?? {
      level: 'fault',
      what: `account ${chosenName}`,
      detail: fault ?? 'its credentials cannot be read',
      advice: 'Remove it and add it again, or give the service the key that sealed it (SECRET_KEY).',
    };
    if (!isEnabled) finding.what += ' (disabled)';
    return finding;
  });
}

/** One after the other: several logins at once look like an attack. */
async function tryOut(
  { config, clock }: CommandContext,
  accounts: readonly AccountConfig[],
): Promise<Map<string, AccountFinding>> {
  const connections = new Connections({ connectMs: config.limits.connectMs });
  const findings = new Map<string, AccountFinding>();
  try {
    for (const account of accounts)
      findings.set(
        account.name,
        await checkAccount(account, {
          hosts: new UpstreamHosts(config.upstreamUrls.image, clock),
          dispatcher: connections.for(account.proxyUrl),
          clock,
        }),
      );
  } finally {
    await connections.close();
  }
  return findings;
}

/** An account without its secrets: the address shortened, the proxy without its password. */
function listed({ name, login, token, proxyUrl, concurrency }: AccountConfig, rest: { origin: string; state: string }) {
  const proxy = proxyUrl !== undefined && URL.canParse(proxyUrl) ? new URL(proxyUrl) : undefined;
  return {
    name,
    login: login ? shortAddress(login.email) : token === undefined ? 'unreadable' : 'token',
    proxy: proxy ? `${proxy.protocol}//${proxy.host}` : '',
    concurrency,
    ...rest,
  };
}

function shortAddress(email: string): string {
  const [name = '', host] = email.split('@');
  return host === undefined ? `${email.slice(0, 1)}…` : `${name.slice(0, 1)}…@${host}`;
}

function readConcurrency(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 16)
    throw new InvalidArgumentError('Expected a whole number from 1 to 16.');
  return count;
}
