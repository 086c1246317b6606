// A process that opens a database, writes one row, says so, and stays until it is killed.
import { openStore } from '../../../src/store/open-store.ts';

const store = await openStore({ databaseUrl: `sqlite:${process.argv[2]}`, dataDir: '.' });
const row = { id: 'mine', salt: '', check_value: '', is_current: 0, created_at_ms: 0 };
await store.write((tx) => tx.insertInto('secret_keys').values(row).execute());
process.stdout.write('ready\n');
setInterval(() => undefined, 60_000);
