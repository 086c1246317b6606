// Real accounts over a NovelAI without sockets, on a clock that a test winds.
import { pino } from 'pino';
import { Account, type AccountDeps } from '../../src/accounts/account.ts';
import { AccountPool } from '../../src/accounts/account-pool.ts';
import type { AccountConfig } from '../../src/config/config.ts';
import { UpstreamHosts } from '../../src/upstream/upstream-hosts.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { FakeNovelai, subscriptionAnswer, type FakeAnswer } from './fake-novelai.ts';

export const HOST = 'http://novelai.test';

export interface AccountUnderTest {
  account: Account;
  novelai: FakeNovelai;
  /** What `/user/subscription` says next; `wait` leaves it to the test. */
  subscription: FakeAnswer | 'refused' | 'wait';
}

export class AccountsUnderTest {
  readonly clock = new FakeClock();
  readonly pool = new AccountPool();
  /** Names of accounts that told of a change, in order. */
  readonly changes: string[] = [];
  onChange: (account: Account) => void = () => undefined;

  /** Adds an account that is only a token (no login, so no key to derive), and lets it read its balance. */
  async add(
    name: string,
    subscription: AccountUnderTest['subscription'] = subscriptionAnswer(),
    { config = {}, deps = {} }: { config?: Partial<AccountConfig>; deps?: Partial<AccountDeps> } = {},
  ): Promise<AccountUnderTest> {
    const { clock, pool } = this;
    const added = { subscription, novelai: new FakeNovelai() } as AccountUnderTest;
    added.novelai.respond = ({ path }) =>
      path === '/user/subscription' && added.subscription !== 'wait' ? added.subscription : undefined;
    added.account = new Account(
      { name, token: `made-up-token-of-${name}`, concurrency: 1, ...config },
      {
        clock,
        random: () => 0,
        log: pino({ level: 'silent' }),
        route: { hosts: new UpstreamHosts([HOST], clock), dispatcher: added.novelai, clock },
        gapMs: 0,
        mayEject: (candidate) => pool.canSpare(candidate),
        ...deps,
        onChange: (account) => {
          this.changes.push(account.name);
          this.onChange(account);
        },
      },
    );
    pool.add(added.account);
    added.account.start();
    await settle(12);
    return added;
  }
}
