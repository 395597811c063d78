/** Runs together what is added in one tick of the event loop, at most `sizeMax` at once. */
export class TickBatch<Item, Result> {
  readonly #run: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #sizeMax: number;
  #open: { items: Item[]; results: Promise<readonly Result[]> } | undefined;

  /** `run` answers each item at its place. */
  constructor(run: (items: readonly Item[]) => Promise<readonly Result[]>, sizeMax: number) {
    this.#run = run;
    this.#sizeMax = sizeMax;
  }

  async add(item: Item): Promise<Result> {
    if (!this.#open || this.#open.items.length >= this.#sizeMax) this.#open = this.#begin();
    const { items, results } = this.#open;
    const place = items.push(item) - 1;
    return (await results)[place]!;
  }

  #begin() {
    const { promise: results, resolve } = Promise.withResolvers<readonly Result[]>();
    const batch = { items: [] as Item[], results };
    // Called in a promise's turn, this waits for all promises that are settled by now.
    process.nextTick(() => {
      if (this.#open === batch) this.#open = undefined;
      resolve(this.#run(batch.items));
    });
    return batch;
  }
}
