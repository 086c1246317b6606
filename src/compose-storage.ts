// The rooms that keep things, opened together: database, ledger, results store, and the accounts and clients in it.
import { join } from 'node:path';
import { AccountRepository } from './accounts/account-repository.ts';
import { Bank } from './bank/bank.ts';
import { ClientRepository } from './clients/client-repository.ts';
import type { Config } from './config/config.ts';
import type { Recovery } from './ledger/recovery.ts';
import { Ledger } from './ledger/ledger.ts';
import type { Clock } from './lib/clock.ts';
import { openStore } from './store/open-store.ts';
import { timedStore } from './store/timed-store.ts';
import { openSecretBox } from './store/secret-box.ts';
import type { Store } from './store/store.ts';
import type { Log } from './telemetry/log.ts';

export interface Storage {
  store: Store;
  ledger: Ledger;
  /** What an earlier run left open, now ended. */
  recovery: Recovery;
  bank: Bank;
  clients: ClientRepository;
  accounts: AccountRepository;
  /** Signs the sessions of the database's clients; secret. */
  sessionKey: Buffer;
  close(): Promise<void>;
}

/**
 * Opens the database and what lives in it, and ends what an earlier run of the service left open.
 * @throws {StoreOpenError | SecretBoxError} with one sentence: another service has it, the key is wrong, the file cannot be used.
 */
export async function openStorage(
  config: Config,
  { clock, log, onLedgerWrite }: { clock: Clock; log: Log; onLedgerWrite: (durationMs: number) => void },
): Promise<Storage> {
  const { dataDir, databaseUrl, secretKey } = config;
  const store = await openStore({ dataDir, databaseUrl });
  try {
    const secretBox = await openSecretBox({ store, dataDir, secretKey });
    const ledger = await Ledger.open({
      store: timedStore(store, clock, onLedgerWrite),
      clock,
      generationLimitMs: config.limits.totalMs,
    });
    const recovery = await ledger.recover();
    const bank = await openBank(config, { store, clock, log, recovery });
    return {
      store,
      ledger,
      recovery,
      bank,
      clients: new ClientRepository({ store, clock, environmentNames: config.clients.map(({ name }) => name) }),
      accounts: new AccountRepository({
        store,
        secretBox,
        clock,
        environmentNames: config.accounts.map(({ name }) => name),
      }),
      sessionKey: secretBox.subkey('client sessions'),
      async close() {
        await bank.close();
        await ledger.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function openBank(
  { dataDir, bank: { isOn, totalBytes, keepMs, lostConnectionMs } }: Config,
  { store, clock, log, recovery }: { store: Store; clock: Clock; log: Log; recovery: Recovery },
): Promise<Bank> {
  const bank = await Bank.open({
    store,
    clock,
    dir: join(dataDir, 'bank'),
    // Where nothing is kept, one key is still charged at most once.
    limits: isOn ? { totalBytes, keepMs, lostConnectionMs } : { totalBytes: 0, lostConnectionMs: 0 },
    onFailure: (err) => log.warn({ err }, 'the results store could not write something down; it will try again'),
  });
  const cutOffPaid = new Set(recovery.cutOff.filter(({ quoted_anlas: quoted }) => quoted > 0).map(({ id }) => id));
  await bank.recover({ mayHaveBeenCharged: (requestId) => cutOffPaid.has(requestId) });
  return bank;
}
