// Where a client program reaches NovelAI, or the service in its place, and who it is there.

export interface Access {
  /** Without a slash at its end: most clients put base and path together as they are. */
  readonly url: string;
  /** `pst-` and 64 letters and digits, the one form every client accepts (contract 8). */
  readonly token: string;
  readonly username: string;
  readonly password: string;
}
