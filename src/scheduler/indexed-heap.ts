// A binary heap that tells its items where they sit, so that any item can be removed or moved in O(log n).

export interface IndexedHeapOptions<Item> {
  /** What the order goes by first, least first. Read when an item is pushed or updated, and kept beside it. */
  keyOf: (item: Item) => number;
  /** Among items of equal key: whether `a` must leave before `b`. A strict order: never true both ways. */
  isBefore: (a: Item, b: Item) => boolean;
  /** Told each item's new index; -1 once it has left. Items keep it and give it back to `removeAt` and `updateAt`. */
  onMove?: (item: Item, index: number) => void;
}

/**
 * Smallest item first. The owner keeps each item's index (see `onMove`). Keys lie in an array of their own: on the way
 * down a long heap fetching the items would cost many times more than comparing them.
 */
export class IndexedHeap<Item> {
  readonly #keyOf: (item: Item) => number;
  readonly #isBefore: (a: Item, b: Item) => boolean;
  readonly #onMove: (item: Item, index: number) => void;
  #items: Item[] = [];
  #keys: number[] = [];

  constructor({ keyOf, isBefore, onMove = () => {} }: IndexedHeapOptions<Item>) {
    this.#keyOf = keyOf;
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
    const key = this.#keyOf(item);
    this.#items.push(item);
    this.#keys.push(key);
    this.#rise(this.#items.length - 1, item, key);
  }

  pop(): Item | undefined {
    return this.#items.length === 0 ? undefined : this.removeAt(0);
  }

  /** Takes out the item at `index` and gives it. Throws RangeError when nothing is there. */
  removeAt(index: number): Item {
    const removed = this.#at(index);
    const last = this.#items.pop() as Item;
    const lastKey = this.#keys.pop() as number;
    if (index < this.#items.length) this.#settle(index, last, lastKey);
    this.#onMove(removed, -1);
    return removed;
  }

  /** Puts the item at `index` where it belongs after its order changed. Throws RangeError when nothing is there. */
  updateAt(index: number): void {
    const item = this.#at(index);
    this.#settle(index, item, this.#keyOf(item));
  }

  /** The first `count` items in order, without taking them out: O(count log count), however long the heap. */
  smallest(count: number): Item[] {
    const found: Item[] = [];
    const frontier = new IndexedHeap<number>({
      keyOf: (index) => this.#keys[index] as number,
      isBefore: (a, b) => this.#isBefore(this.#items[a] as Item, this.#items[b] as Item),
    });
    if (this.size > 0) frontier.push(0);
    for (let index = frontier.pop(); index !== undefined && found.length < count; index = frontier.pop()) {
      found.push(this.#items[index] as Item);
      if (2 * index + 1 < this.size) frontier.push(2 * index + 1);
      if (2 * index + 2 < this.size) frontier.push(2 * index + 2);
    }
    return found;
  }

  /** The same items in the same order, with no one told of moves: for reading ahead without touching the items. */
  copy(): IndexedHeap<Item> {
    const copy = new IndexedHeap<Item>({ keyOf: this.#keyOf, isBefore: this.#isBefore });
    copy.#items = this.#items.slice();
    copy.#keys = this.#keys.slice();
    return copy;
  }

  #at(index: number): Item {
    if (index < 0 || index >= this.#items.length) {
      throw new RangeError(`No heap item at index ${index}: expected 0 to ${this.#items.length - 1}.`);
    }
    return this.#items[index] as Item;
  }

  /** Whether an item must go above the one at `index`. */
  #goesAbove(item: Item, key: number, index: number): boolean {
    const other = this.#keys[index] as number;
    return key === other ? this.#isBefore(item, this.#items[index] as Item) : key < other;
  }

  #settle(index: number, item: Item, key: number): void {
    if (index > 0 && this.#goesAbove(item, key, (index - 1) >> 1)) this.#rise(index, item, key);
    else this.#sink(index, item, key);
  }

  #rise(start: number, item: Item, key: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#goesAbove(item, key, parent)) break;
      this.#place(index, this.#items[parent] as Item, this.#keys[parent] as number);
      index = parent;
    }
    this.#place(index, item, key);
  }

  #sink(start: number, item: Item, key: number): void {
    const size = this.#items.length;
    let index = start;
    for (;;) {
      const left = 2 * index + 1;
      if (left >= size) break;
      const right = left + 1;
      const isRightLess =
        right < size && this.#goesAbove(this.#items[right] as Item, this.#keys[right] as number, left);
      const child = isRightLess ? right : left;
      const childKey = this.#keys[child] as number;
      const isChildLess = childKey === key ? this.#isBefore(this.#items[child] as Item, item) : childKey < key;
      if (!isChildLess) break;
      this.#place(index, this.#items[child] as Item, this.#keys[child] as number);
      index = child;
    }
    this.#place(index, item, key);
  }

  #place(index: number, item: Item, key: number): void {
    this.#items[index] = item;
    this.#keys[index] = key;
    this.#onMove(item, index);
  }
}
