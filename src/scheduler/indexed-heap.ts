// A binary heap that tells its items where they sit, so that any item can be removed or moved in O(log n).

export interface IndexedHeapOptions<Item> {
  /** Whether `a` must leave before `b`. A strict order: never true both ways. */
  isBefore: (a: Item, b: Item) => boolean;
  /** Told each item's new index; -1 once it has left. Items keep it and give it back to `removeAt` and `updateAt`. */
  onMove?: (item: Item, index: number) => void;
}

/** Smallest item first. The owner keeps each item's index (see `onMove`). */
export class IndexedHeap<Item> {
  readonly #isBefore: (a: Item, b: Item) => boolean;
  readonly #onMove: (item: Item, index: number) => void;
  #items: Item[] = [];

  constructor({ isBefore, onMove = () => {} }: IndexedHeapOptions<Item>) {
    this.#isBefore = isBefore;
    this.#onMove = onMove;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The items in heap order: only the first is certain to be the smallest. */
  get items(): readonly Item[] {
    return this.#items;
  }

  peek(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#rise(this.#items.length - 1, item);
  }

  pop(): Item | undefined {
    return this.#items.length === 0 ? undefined : this.removeAt(0);
  }

  /** Takes out the item at `index` and gives it. Throws RangeError when nothing is there. */
  removeAt(index: number): Item {
    const removed = this.#at(index);
    const last = this.#items.pop() as Item;
    if (index < this.#items.length) this.#settle(index, last);
    this.#onMove(removed, -1);
    return removed;
  }

  /** Puts the item at `index` where it belongs after its order changed. Throws RangeError when nothing is there. */
  updateAt(index: number): void {
    this.#settle(index, this.#at(index));
  }

  /** The same items in the same order, with no one told of moves: for reading ahead without touching the items. */
  copy(): IndexedHeap<Item> {
    const copy = new IndexedHeap<Item>({ isBefore: this.#isBefore });
    copy.#items = this.#items.slice();
    return copy;
  }

  #at(index: number): Item {
    if (index < 0 || index >= this.#items.length) {
      throw new RangeError(`No heap item at index ${index}: expected 0 to ${this.#items.length - 1}.`);
    }
    return this.#items[index] as Item;
  }

  #settle(index: number, item: Item): void {
    const parent = this.#items[(index - 1) >> 1];
    if (index > 0 && this.#isBefore(item, parent as Item)) this.#rise(index, item);
    else this.#sink(index, item);
  }

  #rise(start: number, item: Item): void {
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#items[parentIndex] as Item;
      if (!this.#isBefore(item, parent)) break;
      this.#place(index, parent);
      index = parentIndex;
    }
    this.#place(index, item);
  }

  #sink(start: number, item: Item): void {
    const size = this.#items.length;
    let index = start;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= size) break;
      const right = childIndex + 1;
      if (right < size && this.#isBefore(this.#items[right] as Item, this.#items[childIndex] as Item)) {
        childIndex = right;
      }
      const child = this.#items[childIndex] as Item;
      if (!this.#isBefore(child, item)) break;
      this.#place(index, child);
      index = childIndex;
    }
    this.#place(index, item);
  }

  #place(index: number, item: Item): void {
    this.#items[index] = item;
    this.#onMove(item, index);
  }
}
