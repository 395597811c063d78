import type { CompiledCeiling } from '#shared/queue/fair/pool-config.ts';

interface Slot {
  slot: number;
  amount: number;
}

/** A ceiling's sliding window and pacer, kept as the plain list of what was admitted. */
export class ModelWindow {
  readonly #ceiling: CompiledCeiling;
  readonly #onForget: (nowMs: number) => void;
  #slots: Slot[] = [];
  /** The slice that was looked at last, counted from `#phaseMs`, and what it has admitted. */
  #slice = { number: 0, admitted: 0 };
  #phaseMs = 0;
  /** Theoretical arrival time of the pacer. */
  pacedUntilMs: number | undefined;

  constructor(ceiling: CompiledCeiling, onForget: (nowMs: number) => void) {
    this.#ceiling = ceiling;
    this.#onForget = onForget;
  }

  /** When `cost` fits, and the share of the amount that is left after it. */
  fits(cost: number, nowMs: number): { atMs: number; room: number } {
    const { amount, clamped, burstMs } = this.#ceiling;
    const counted = clamped ? Math.min(cost, amount) : cost;
    this.#forgetOld(nowMs);
    const used = this.#sum();
    let atMs = nowMs;
    for (let over = used + counted - amount, index = 0; over > 0 && index < this.#slots.length; index++) {
      over -= this.#slots[index]!.amount;
      atMs = this.#endOf(this.#slots[index]!.slot);
    }
    if (this.pacedUntilMs !== undefined && burstMs >= 0)
      atMs = Math.max(atMs, Math.ceil(this.pacedUntilMs - burstMs));
    return { atMs, room: (amount - used - counted) / amount };
  }

  charge(cost: number, nowMs: number): void {
    if (cost <= 0) return;
    this.#forgetOld(nowMs);
    const slot = this.#slotOf(nowMs);
    const newest = this.#slots.at(-1);
    if (newest?.slot === slot) newest.amount += cost;
    else this.#slots.push({ slot, amount: cost });
    const { burstMs, msPerUnit, sliceMs } = this.#ceiling;
    if (sliceMs) this.#enterSlice(nowMs).admitted += cost;
    if (burstMs >= 0) this.pacedUntilMs = Math.max(this.pacedUntilMs ?? 0, nowMs) + cost * msPerUnit;
  }

  /** Takes out what was charged at `chargedMs`, as far as it still counts. */
  refund(cost: number, chargedMs: number, nowMs: number): void {
    this.#forgetOld(nowMs);
    if (this.#ceiling.sliceMs) {
      const slice = this.#enterSlice(nowMs);
      if (this.#sliceOf(chargedMs) >= slice.number) slice.admitted = Math.max(0, slice.admitted - cost);
    }
    if (this.pacedUntilMs !== undefined) this.pacedUntilMs -= cost * this.#ceiling.msPerUnit;
    const charged = this.#slots.find(({ slot }) => slot === this.#slotOf(chargedMs));
    if (charged) charged.amount -= Math.min(cost, charged.amount);
  }

  /** A call was refused: its slice was full, and the next one begins, unless that was to be expected now. */
  refused(nowMs: number): void {
    const { sliceMs } = this.#ceiling;
    if (!sliceMs) return;
    const sinceMs = nowMs - this.#phaseMs - this.#enterSlice(nowMs).number * sliceMs;
    if (sinceMs <= 20 || sinceMs >= 0.8 * sliceMs) return;
    this.#phaseMs = (this.#phaseMs + sinceMs) % sliceMs;
    this.#slice = { number: this.#sliceOf(nowMs), admitted: 0 };
    this.#onForget(nowMs);
  }

  /** The earliest time from `atMs` on at which the slices admit `cost`: in an open part, not before its place in it. */
  sliceAdmitsMs(cost: number, atMs: number, nowMs: number): number {
    const { sliceMs, frontMs, openMs, spreadMs, amount } = this.#ceiling;
    if (!sliceMs) return atMs;
    const slice = this.#enterSlice(nowMs);
    const number = this.#sliceOf(atMs);
    const held = number === slice.number ? slice.admitted : 0;
    const opensMs = this.#phaseMs + number * sliceMs + frontMs!;
    if (held + Math.min(cost, amount) > amount || atMs >= opensMs + openMs!) return opensMs + sliceMs;
    return Math.max(atMs, Math.ceil(opensMs + (spreadMs! * held) / amount));
  }

  #sliceOf(timeMs: number): number {
    return Math.floor((timeMs - this.#phaseMs) / this.#ceiling.sliceMs!);
  }

  #enterSlice(nowMs: number): { number: number; admitted: number } {
    const number = this.#sliceOf(nowMs);
    if (number === this.#slice.number) return this.#slice;
    this.#onForget(nowMs);
    this.#slice = { number, admitted: 0 };
    return this.#slice;
  }

  #slotOf(timeMs: number): number {
    return Math.floor(timeMs / this.#ceiling.slotMs);
  }

  #endOf(slot: number): number {
    return (slot + 1) * this.#ceiling.slotMs + this.#ceiling.spanMs;
  }

  #sum(): number {
    return this.#slots.reduce((sum, { amount }) => sum + amount, 0);
  }

  /** Drops what is too old to count. A time at which something was dropped has been: it cannot come again. */
  #forgetOld(nowMs: number): void {
    const sum = this.#sum();
    if (sum === 0) {
      this.#slots = [];
      return;
    }
    const slot = this.#slotOf(nowMs);
    const known = this.#slots.length;
    // After a step back of the clock nothing is known about ages: all of it counts as admitted now.
    const isAhead = this.#slots.at(-1)!.slot > slot;
    if (isAhead) this.#slots = [{ slot, amount: sum }];
    this.#slots = this.#slots.filter((held) => this.#endOf(held.slot) > nowMs);
    if (isAhead || this.#slots.length < known) this.#onForget(nowMs);
  }
}
