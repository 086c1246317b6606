// What each client should get: the weighted max-min fair division of slots among demands.

export interface Demand {
  weight: number;
  /** Most slots the client can use at once. */
  slots: number;
}

/** Slots for each demand: nobody gets more than it wants, and what is left over goes to the others by weight. */
export function fairAllocation(demands: readonly Demand[], capacity: number): number[] {
  const allocation = demands.map(() => 0);
  let open = demands.map((_, index) => index);
  let left = capacity;
  while (open.length > 0 && left > 1e-9) {
    const level = left / open.reduce((sum, index) => sum + (demands[index] as Demand).weight, 0);
    const content = open.filter((index) => wants(demands, index) <= level * (demands[index] as Demand).weight + 1e-12);
    if (content.length === 0) {
      for (const index of open) allocation[index] = level * (demands[index] as Demand).weight;
      return allocation;
    }
    for (const index of content) {
      allocation[index] = wants(demands, index);
      left -= wants(demands, index);
    }
    open = open.filter((index) => !content.includes(index));
  }
  return allocation;
}

function wants(demands: readonly Demand[], index: number): number {
  return (demands[index] as Demand).slots;
}
