// The tables as the queries see them. Migrations make them (folder migrations); whole numbers only, times in Unix milliseconds.
import type { Generated } from 'kysely';

export interface Schema {
  attempts: AttemptsTable;
  postings: PostingsTable;
  books: BooksTable;
  account_balances: AccountBalancesTable;
  balance_drifts: BalanceDriftsTable;
  secret_keys: SecretKeysTable;
  clients: ClientsTable;
  accounts: AccountsTable;
  bank_entries: BankEntriesTable;
  revisions: RevisionsTable;
}

/** One row for each request that was admitted; never deleted. */
export interface AttemptsTable {
  /** Order of admission; the wall clock may jump, this does not. */
  seq: Generated<number>;
  /** The business id. */
  id: string;
  client_id: string;
  client_name: string;
  endpoint: string;
  model: string | null;
  action: string | null;
  width: number | null;
  height: number | null;
  steps: number | null;
  samples: number | null;
  state: 'reserved' | 'sent' | 'held' | 'settled' | 'released';
  /** One of the closed list (src/lib/outcome.ts); null while it is open. */
  outcome: string | null;
  /** The price: of admission at first, then of the account it was sent to. What the client's budget has set aside for it. */
  quoted_anlas: number;
  images: number;
  charged_anlas: number | null;
  charged_images: number | null;
  /** How the charge of an unknown attempt became known; null for all others and while it is not. */
  resolution: 'proved' | 'attributed' | 'by_hand' | 'undecidable' | null;
  account: string | null;
  /** How often it was sent; more than once only after proof that nothing was charged. */
  sends: number;
  unsent_why: string | null;
  /** Anlas of the account by the ledger's reckoning, for paid attempts. */
  balance_before_anlas: number | null;
  balance_after_anlas: number | null;
  /** UTC day whose budgets it uses, such as `2026-11-24`. */
  day: string;
  /** The process that keeps it while it is open. */
  owner: string;
  reserved_at_ms: number;
  sent_at_ms: number | null;
  ended_at_ms: number | null;
}

export type Bucket = 'granted' | 'available' | 'reserved' | 'held' | 'settled';

/** Movements between the buckets of a book; append-only, as the database itself enforces. */
export interface PostingsTable {
  seq: Generated<number>;
  at_ms: number;
  /** Null for a change of the limit. */
  attempt_id: string | null;
  client_id: string;
  budget: string;
  period: string;
  from_bucket: Bucket;
  to_bucket: Bucket;
  amount: number;
}

/** The balances that the postings add up to: one row for each client, budget and period that was used. */
export interface BooksTable {
  client_id: string;
  budget: string;
  /** `2026-11-24`, `2026-11` or `all`. */
  period: string;
  /** Null for no limit. */
  limit_amount: number | null;
  granted: number;
  available: number;
  reserved: number;
  held: number;
  settled: number;
}

/** The last reading of an account's Anlas, and what the ledger knows to have been spent since. */
export interface AccountBalancesTable {
  account: string;
  fixed_anlas: number;
  purchased_anlas: number;
  spent_since_anlas: number;
  read_at_ms: number;
}

/** What readings showed beyond what the ledger knows of; append-only. */
export interface BalanceDriftsTable {
  seq: Generated<number>;
  at_ms: number;
  account: string;
  expected_anlas: number;
  actual_anlas: number;
  /** Positive: gone without a known cause. Negative: come in (bought, refilled), or explained afterwards. */
  drift_anlas: number;
  why: string;
}

/** Which key the sealed values were made with; holds no secret. */
export interface SecretKeysTable {
  id: string;
  salt: string;
  /** A known text sealed with the key: opens only with the same key. */
  check_value: string;
  is_current: number;
  created_at_ms: number;
}

/** The programs that may use the service, besides those of SERVER_TOKENS. Their settings: null for no limit. */
export interface ClientsTable {
  id: string;
  name: string;
  /** SHA-256 of the token, hexadecimal; the token itself is kept nowhere. */
  token_digest: string;
  /** JSON list of the digests of its access keys; null for a client that is older than they are. */
  login_digests: string | null;
  created_at_ms: number;
  rotated_at_ms: number | null;
  revoked_at_ms: number | null;
  expires_at_ms: number | null;
  /** JSON list of endpoint ids; null for all. */
  endpoints: string | null;
  /** JSON list of dialects; null for all. */
  dialects: string | null;
  weight: number;
  band: 'interactive' | 'batch';
  max_queued: number | null;
  max_in_flight: number | null;
  max_wait_ms: number | null;
  requests_per_minute: number | null;
  anlas_per_day: number | null;
  anlas_per_month: number | null;
  anlas_total: number | null;
  images_per_day: number | null;
  free_only: 'off' | 'reject' | 'clamp';
}

/** NovelAI accounts, besides those of the environment. */
export interface AccountsTable {
  id: string;
  name: string;
  /** JSON of e-mail address, password, token and proxy, sealed. */
  credentials: string;
  concurrency: number;
  is_enabled: number;
  created_at_ms: number;
}

/** Answers that are kept for a while, and Idempotency-Keys that were used. */
export interface BankEntriesTable {
  /** The request's id. */
  id: string;
  client_id: string;
  idempotency_key: string | null;
  request_hash: string;
  /** `lost`: it may have been charged, and there is no answer to give again. */
  state: 'running' | 'stored' | 'lost';
  why: string | null;
  /** The process that runs it. */
  owner: string;
  /** JSON of status and headers. */
  head: string | null;
  /** SHA-256 of the answer's body: the name of its file. */
  content_hash: string | null;
  size_bytes: number | null;
  kept_at_ms: number | null;
  is_delivered: number;
  created_at_ms: number;
  expires_at_ms: number;
}

/** A number for each topic that is kept in memory, which grows with every change. */
export interface RevisionsTable {
  topic: string;
  revision: number;
}
