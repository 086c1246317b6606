// The closed list of ways a request can end (design section 6). Every accepted request gets exactly one.

export type Outcome =
  | 'succeeded'
  | 'cancelled_queued' // the client left while it waited
  | 'expired_queued' // its deadline passed while it waited
  | 'refused_auth'
  | 'refused_rate'
  | 'refused_budget'
  | 'refused_policy'
  | 'refused_invalid'
  | 'refused_capacity'
  | 'impossible' // no account could ever serve it
  | 'failed_client' // NovelAI refused the request as such
  | 'failed_upstream_free' // NovelAI or the way to it failed, surely without a charge
  | 'failed_upstream_charged'
  | 'failed_gateway' // a fault of this service
  | 'unknown'; // it broke where it may have been charged
