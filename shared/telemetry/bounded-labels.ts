/** Names that have a label of their own in the metrics of one process; the others share one. */
export const ownLabelsMax = 100;
export const otherLabel = 'other';

/** Keeps the number of series bounded, however many tenants or models there are: the first ones get their name as a label. */
export class BoundedLabels {
  readonly #known = new Set<string>();

  of(name: string): string {
    if (this.#known.has(name)) return name;
    if (this.#known.size >= ownLabelsMax) return otherLabel;
    this.#known.add(name);
    return name;
  }
}
