// What became of a set of named things.

export interface NameChanges {
  added: string[];
  removed: string[];
  /** There before and after, and not the same. */
  replaced: string[];
}

/** Compares by name; two of the same name are the same when all their members are. */
export function nameChanges<T extends { name: string }>(before: readonly T[], after: readonly T[]): NameChanges {
  const written = (items: readonly T[]) => new Map(items.map((item) => [item.name, JSON.stringify(item)]));
  const old = written(before);
  const present = written(after);
  return {
    added: [...present.keys()].filter((name) => !old.has(name)),
    removed: [...old.keys()].filter((name) => !present.has(name)),
    replaced: [...present].filter(([name, text]) => old.has(name) && old.get(name) !== text).map(([name]) => name),
  };
}
