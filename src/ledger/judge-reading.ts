// Works out what an account's balance says about the attempts of which nobody knows whether they were charged. Pure.

/** An attempt whose charge is in question: all of its price, or nothing. */
export interface UnknownCharge {
  id: string;
  quotedAnlas: number;
  /** Whether NovelAI has surely finished with it, so that a balance without its charge means that there is none. */
  isOver: boolean;
}

/** A paid attempt that was under way at some time during the reading, so that its charge may or may not be in the balance. */
export interface OverlappingCharge {
  anlas: number;
  /** Whether the ledger already counts it as spent: it ended during the reading. */
  isCounted: boolean;
}

export interface ReadingToJudge {
  /** What the account should have, had no unknown attempt been charged. */
  expectedAnlas: number;
  actualAnlas: number;
  /** Oldest first. */
  unknowns: readonly UnknownCharge[];
  overlapping: readonly OverlappingCharge[];
}

/** `unclear`: the reading says nothing certain, and must be taken as if it had not been made. */
export type Verdict =
  | { isClear: false }
  | {
      isClear: true;
      /** Charge of each unknown attempt that is decided. */
      charges: ReadonlyMap<string, number>;
      /** Whether no other charges would explain the balance as well. */
      isProof: boolean;
      /** Attempts that no balance can decide any more, since something else changed it too. */
      undecidable: readonly string[];
      /** What is gone beyond all known causes; negative when more is there. */
      driftAnlas: number;
      /** What of the charges known or to come the new balance does not contain (positive), or contains before they are known (negative). */
      carriedAnlas: number;
    };

/** One thing that may have happened to one charge. */
interface Choice {
  /** How much lower it makes the balance than was expected. */
  fall: number;
  /** What it says of the unknown attempt `id`. */
  charge?: { id: string; anlas: number };
  /** See {@link Verdict}. */
  carried: number;
}

/**
 * Since an account runs one generation at a time, its balance before and after tell what an unknown attempt cost. With several
 * unknown ones in a row the charges must add up; where several sums would, the oldest attempts are taken as the charged ones
 * (`isProof` false). What no sum explains is drift: other spending by the owner, a purchase, a refill, or the V5 allowance
 * having run out unseen.
 */
export function judgeReading({ expectedAnlas, actualAnlas, unknowns, overlapping }: ReadingToJudge): Verdict {
  const fall = expectedAnlas - actualAnlas;
  const solution = solve([...unknowns.map(choicesOfUnknown), ...overlapping.map(choicesOfOverlap)], fall);
  if (overlapping.length > 0 || unknowns.some(({ isOver }) => !isOver))
    // A later reading, at a quiet moment, can still tell; a guess now would spoil it.
    return solution?.isUnique ? clear(solution) : { isClear: false };
  if (solution) return clear(solution);
  const least = Math.min(...unknowns.map(({ quotedAnlas }) => quotedAnlas));
  // When less is gone than any of them costs, none was charged.
  const isNoneCharged = fall > 0 && fall < least;
  return {
    isClear: true,
    charges: new Map(isNoneCharged ? unknowns.map(({ id }) => [id, 0]) : []),
    isProof: isNoneCharged,
    undecidable: isNoneCharged ? [] : unknowns.map(({ id }) => id),
    driftAnlas: fall,
    carriedAnlas: 0,
  };
}

/** In order of preference. */
function choicesOfUnknown({ id, quotedAnlas, isOver }: UnknownCharge): Choice[] {
  return [
    { fall: quotedAnlas, charge: { id, anlas: quotedAnlas }, carried: 0 },
    // What NovelAI may still be working on may still be charged.
    isOver ? { fall: 0, charge: { id, anlas: 0 }, carried: 0 } : { fall: 0, carried: 0 },
  ];
}

function choicesOfOverlap({ anlas, isCounted }: OverlappingCharge): Choice[] {
  return isCounted
    ? [
        { fall: 0, carried: 0 },
        { fall: -anlas, carried: anlas },
      ]
    : [
        { fall: 0, carried: 0 },
        { fall: anlas, carried: -anlas },
      ];
}

interface Solution {
  choices: readonly Choice[];
  isUnique: boolean;
}

/** Makes one choice per term so that the falls add up to `target`; the first ones that fit. Undefined when none do. */
function solve(terms: readonly (readonly Choice[])[], target: number): Solution | undefined {
  // For each term on: every sum that it and the ones after it can make, and whether in more than one way.
  const reachable: ReadonlyMap<number, 'one' | 'many'>[] = [new Map([[0, 'one']])];
  for (const choices of terms.toReversed()) {
    const [after = new Map<number, 'one' | 'many'>()] = reachable;
    const sums = new Map<number, 'one' | 'many'>();
    for (const { fall } of choices)
      for (const [sum, ways] of after) sums.set(sum + fall, sums.has(sum + fall) ? 'many' : ways);
    reachable.unshift(sums);
  }
  const ways = reachable[0]?.get(target);
  if (ways === undefined) return undefined;
  const chosen: Choice[] = [];
  let rest = target;
  for (const [index, choices] of terms.entries()) {
    const choice = choices.find(({ fall }) => reachable[index + 1]?.has(rest - fall));
    if (!choice) return undefined;
    chosen.push(choice);
    rest -= choice.fall;
  }
  return { choices: chosen, isUnique: ways === 'one' };
}

function clear({ choices, isUnique }: Solution): Verdict {
  return {
    isClear: true,
    charges: new Map(choices.flatMap(({ charge }) => (charge ? [[charge.id, charge.anlas]] : []))),
    isProof: isUnique,
    undecidable: [],
    driftAnlas: 0,
    carriedAnlas: choices.reduce((sum, { carried }) => sum + carried, 0),
  };
}
