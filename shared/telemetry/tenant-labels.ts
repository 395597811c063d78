/** Tenants that have a label of their own in the metrics of one process; the others share one. */
export const tenantLabelsMax = 100;
export const otherTenants = 'other';

/** Keeps the number of series bounded, however many tenants there are: the first ones get their name as a label. */
export class TenantLabels {
  readonly #known = new Set<string>();

  of(tenant: string): string {
    if (this.#known.has(tenant)) return tenant;
    if (this.#known.size >= tenantLabelsMax) return otherTenants;
    this.#known.add(tenant);
    return tenant;
  }
}
