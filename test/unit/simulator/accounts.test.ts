// Checks balances, the V5 allowance over time, and which tokens an account accepts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { deriveAccessKey } from '../../../src/novelai/access-key.ts';
import { readJwtExpiry } from '../../../src/novelai/jwt-expiry.ts';
import { AccountBook, AccountState, SECONDS_PER_ALLOWANCE_PERCENT } from '../../../simulator/accounts/accounts.ts';
import { Authority } from '../../../simulator/accounts/authority.ts';
import { signSessionToken, verifySessionToken } from '../../../simulator/accounts/session-token.ts';
import { SimulatorClock } from '../../../simulator/clock.ts';
import { SeededRandom } from '../../../simulator/random.ts';
import type { SimulatedAccount } from '../../../simulator/options.ts';

const ACCOUNT: SimulatedAccount = { email: 'a@example.com', password: 'password', fixedAnlas: 100, purchasedAnlas: 50 };

function setUp(changes: Partial<SimulatedAccount> = {}) {
  const clock = new SimulatorClock();
  const accounts = new AccountBook([{ ...ACCOUNT, ...changes }], clock);
  const random = new SeededRandom(1);
  const authority = new Authority({ accounts, clock, random, lifetimeSeconds: 100, seed: 1 });
  return { clock, accounts, authority, account: accounts.get(ACCOUNT.email) };
}

test('charge, empties the fixed pool before the bought one and never below nothing', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(200), fc.nat(500), (fixedAnlas, purchasedAnlas, cost) => {
      const account = new AccountState({ ...ACCOUNT, fixedAnlas, purchasedAnlas }, new SimulatorClock());
      account.charge(cost);
      assert.equal(account.balanceAnlas, Math.max(0, fixedAnlas + purchasedAnlas - cost));
      assert.equal(account.fixedAnlas, Math.max(0, fixedAnlas - cost));
    }),
  );
});

test('allowance, falls by 1 % in 17.3 pictures and grows by 1 % in 7,888 s, up to full', () => {
  const { account, clock } = setUp();
  account.drainAllowance(17);
  assert.equal(account.allowance().percent, 99);
  account.drainAllowance(1);
  assert.equal(account.allowance().percent, 98);
  clock.advance(SECONDS_PER_ALLOWANCE_PERCENT * 1000);
  assert.equal(account.allowance().percent, 99);
  assert.ok(account.allowance().secondsUntilNextPercent > 0);
  clock.advance(SECONDS_PER_ALLOWANCE_PERCENT * 5000);
  assert.deepEqual(account.allowance(), { percent: 100, isNegative: false, secondsUntilNextPercent: 0 });
});

test('allowance, counts only for an active Opus subscription', () => {
  const { account } = setUp({ allowancePercent: 0 });
  assert.equal(account.payingAccount().isAllowanceExhausted, true);
  account.change({ tier: 2 });
  assert.equal(account.hasAllowance, false);
  assert.equal(account.payingAccount().isAllowanceExhausted, false);
});

test('AccountBook, finds accounts by access key with or without an e-mail, and refuses a second of one e-mail', async () => {
  const { accounts } = setUp();
  accounts.add({ email: 'b@example.com', password: 'other' });
  const key = await deriveAccessKey('b@example.com', 'other');
  assert.equal((await accounts.byAccessKey(key))?.email, 'b@example.com');
  assert.equal((await accounts.byAccessKey(key, 'a@example.com'))?.email, 'b@example.com');
  assert.equal(await accounts.byAccessKey('wrong', 'b@example.com'), undefined);
  assert.throws(() => accounts.add(ACCOUNT), RangeError);
  assert.throws(() => accounts.get('c@example.com'), RangeError);
});

test('session tokens, carry their expiry and are refused from that second on', () => {
  const { authority, account, clock } = setUp();
  const token = authority.issueSessionToken(account);
  assert.ok(Math.abs((readJwtExpiry(token) ?? 0) - (clock.wallSeconds() + 100)) <= 1);
  assert.equal(authority.identify(`bearer ${token}`)?.account, account);
  clock.advance(98_000);
  assert.equal(authority.identify(`Bearer ${token}`)?.kind, 'session');
  clock.advance(3000);
  assert.equal(authority.identify(`Bearer ${token}`), undefined);
});

test('identify, takes nothing that is not a whole, signed token of this simulator', () => {
  const { authority, account } = setUp({ persistentToken: `pst-${'p'.repeat(64)}` });
  const token = authority.issueSessionToken(account);
  const forged = signSessionToken({ exp: 9e9, iat: 0, id: account.id, nc: 0 }, 'another key');
  for (const header of [
    undefined,
    '',
    token,
    `Bearer ${forged}`,
    `Bearer ${token} x`,
    'Bearer a.b.c',
    'Bearer pst-x',
    'Basic x',
  ]) {
    assert.equal(authority.identify(header), undefined, header ?? 'none');
  }
  assert.equal(authority.identify(`Bearer ${account.persistentToken}`)?.kind, 'persistent');
});

test('expireSessions, leaves the persistent token and later sessions; revokeAll leaves only later ones', () => {
  const { authority, account } = setUp({ persistentToken: `pst-${'p'.repeat(64)}` });
  const persistent = `Bearer ${account.persistentToken}`;
  const first = authority.issueSessionToken(account);
  authority.expireSessions(account);
  const second = authority.issueSessionToken(account);
  assert.equal(authority.identify(`Bearer ${first}`), undefined);
  assert.ok(authority.identify(`Bearer ${second}`));
  assert.ok(authority.identify(persistent));
  authority.revokeAll(account);
  assert.equal(authority.identify(`Bearer ${second}`), undefined);
  assert.equal(authority.identify(persistent), undefined);
  assert.ok(authority.identify(`Bearer ${authority.issueSessionToken(account)}`));
});

test('verifySessionToken, gives back the claims and refuses any changed character', () => {
  const claims = { exp: 10, iat: 5, id: 'abc', nc: 7 };
  const token = signSessionToken(claims, 'key');
  assert.deepEqual(verifySessionToken(token, 'key'), claims);
  fc.assert(
    fc.property(fc.nat(token.length - 1), (at) => {
      const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
      // The last character of base64 may hold unused bits; the signature is compared as text, so even those count.
      assert.equal(verifySessionToken(changed, 'key'), undefined);
    }),
  );
});
