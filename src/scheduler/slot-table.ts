// The slots: who is idle, who can serve what, and which one a job should take.

/** What a caller tells about a slot. */
export interface SlotOptions {
  /** Greater = can do more (has Anlas, a higher tier). The least capable that fits is taken first. */
  capability: number;
  /** Whether the slot can run jobs of this class. Asked once per class; call `invalidate` when answers change. */
  canServe: (classKey: string) => boolean;
}

export interface Slot {
  readonly slotId: string;
  capability: number;
  canServe: (classKey: string) => boolean;
  isAvailable: boolean;
  /** When an unavailable slot is expected back (monotonic); only the forecast reads it. `Infinity` = not known. */
  availableAtMs: number;
  /** Lease that holds the slot; 0 = nobody. */
  leaseId: number;
  /** Gone as soon as its lease ends. */
  isLeaving: boolean;
  /** Order of last use, for "least recently used". */
  lastUsed: number;
  /** Greatest start tag dispatched here; never falls. */
  virtualTimeMs: number;
}

/** Whether a job may be put on the slot now. */
export function isIdle(slot: Slot): boolean {
  return slot.isAvailable && slot.leaseId === 0 && !slot.isLeaving;
}

/** Whether the slot works or could. */
export function isUsable(slot: Slot): boolean {
  return slot.leaseId !== 0 || isIdle(slot);
}

/** The idle slot a job should take: the least capable, then the least recently used. */
export function chooseIdleSlot(slots: readonly Slot[]): Slot | undefined {
  let best: Slot | undefined;
  for (const slot of slots) {
    if (!isIdle(slot)) continue;
    if (
      best === undefined ||
      slot.capability < best.capability ||
      (slot.capability === best.capability && slot.lastUsed < best.lastUsed)
    ) {
      best = slot;
    }
  }
  return best;
}

/** All slots of one kind. */
export class SlotTable {
  readonly #slots = new Map<string, Slot>();
  #uses = 0;

  get size(): number {
    return this.#slots.size;
  }

  get(slotId: string): Slot | undefined {
    return this.#slots.get(slotId);
  }

  values(): IterableIterator<Slot> {
    return this.#slots.values();
  }

  /** Adds a slot, or brings back one that was leaving. Throws when the name is taken. */
  add(slotId: string, { capability, canServe }: SlotOptions, virtualTimeMs: number): Slot {
    const known = this.#slots.get(slotId);
    if (known !== undefined && !known.isLeaving)
      throw new Error(`Slot "${slotId}" cannot be added: it is there already.`);
    const slot: Slot = known ?? {
      slotId,
      capability,
      canServe,
      isAvailable: true,
      availableAtMs: Number.POSITIVE_INFINITY,
      leaseId: 0,
      isLeaving: false,
      lastUsed: 0,
      virtualTimeMs,
    };
    Object.assign(slot, { capability, canServe, isAvailable: true, isLeaving: false });
    this.#slots.set(slotId, slot);
    return slot;
  }

  delete(slotId: string): void {
    this.#slots.delete(slotId);
  }

  /** The slots that can run this class, idle or not, without those about to leave. */
  serving(classKey: string): Slot[] {
    return [...this.#slots.values()].filter((slot) => !slot.isLeaving && slot.canServe(classKey));
  }

  /** Marks the slot taken. */
  occupy(slot: Slot, leaseId: number): void {
    slot.leaseId = leaseId;
    slot.lastUsed = ++this.#uses;
  }

  countIdle(): number {
    let count = 0;
    for (const slot of this.#slots.values()) if (isIdle(slot)) count += 1;
    return count;
  }

  /** Usable slots: the M of "at most M-1 for one client". */
  countUsable(): number {
    let count = 0;
    for (const slot of this.#slots.values()) if (isUsable(slot)) count += 1;
    return count;
  }

  /** A table of copied slots, to play forward without touching these. */
  copy(): SlotTable {
    const copy = new SlotTable();
    for (const slot of this.#slots.values()) copy.#slots.set(slot.slotId, { ...slot });
    copy.#uses = this.#uses;
    return copy;
  }
}
