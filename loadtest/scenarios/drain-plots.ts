import { type DrainRecord, tenantServices } from '../judge/judge-drain.ts';
import { percentile, servedAtMs } from '../judge/waits.ts';
import type { PlotData, Series } from './run-result.ts';

const slotsPerRun = 120;
const shortestSlotMs = 250;

/** The time of a run cut into equal slots. */
class Slots {
  readonly slotMs: number;
  readonly count: number;
  readonly #startMs: number;

  constructor(startMs: number, endMs: number) {
    this.#startMs = startMs;
    this.slotMs = Math.max(shortestSlotMs, (endMs - startMs) / slotsPerRun);
    this.count = Math.max(1, Math.ceil((endMs - startMs) / this.slotMs));
  }

  /** Sums of charges in each slot; what lies outside is left out. */
  sums(charges: Iterable<{ atMs: number; amount: number }>): number[] {
    const sums = Array.from({ length: this.count }, () => 0);
    for (const { atMs, amount } of charges) {
      const slot = this.of(atMs);
      if (slot in sums) sums[slot]! += amount;
    }
    return sums;
  }

  of(atMs: number): number {
    return Math.floor((atMs - this.#startMs) / this.slotMs);
  }

  /** A line with a point at the end of each slot; a slot without a value has none. */
  line(name: string, values: readonly (number | null)[]): Series {
    const seconds = (slot: number) => Math.round((slot + 1) * this.slotMs) / 1_000;
    const points = values.flatMap((value, slot): Series['points'] =>
      value === null ? [] : [[seconds(slot), Math.round(value * 100) / 100]],
    );
    return { name, points };
  }
}

/** Arrivals per slot against the ceiling, cumulative service of each tenant, and waits over time. */
export function drainPlots(record: DrainRecord): PlotData[] {
  const slots = new Slots(record.phases[0]!.span.fromMs, record.phases.at(-1)!.span.toMs);
  return [arrivalsPlot(record, slots), servicePlot(record, slots), waitsPlot(record, slots)];
}

function arrivalsPlot(record: DrainRecord, slots: Slots): PlotData {
  const ceiling = record.ceilings[0]!;
  const chargesOf = (refused: boolean) =>
    record.calls.filter((call) => call.refused === refused).map((call) => ceiling.charge(call));
  const credentials = record.phases[0]!.credentials.length;
  const perSlot = (ceiling.amount * credentials * slots.slotMs) / record.windowMs;
  return {
    name: 'arrivals',
    title: `Arrivals at the provider: ${ceiling.name} per ${Math.round(slots.slotMs)} ms`,
    yLabel: ceiling.name,
    series: [
      slots.line('admitted', slots.sums(chargesOf(false))),
      slots.line('refused (429)', slots.sums(chargesOf(true))),
    ],
    level: { name: 'ceiling', y: perSlot },
  };
}

function servicePlot(record: DrainRecord, slots: Slots): PlotData {
  const tenants = tenantServices(record, record.phases.at(-1)!);
  const series = tenants.map(({ name, weight, charges }) => {
    let total = 0;
    const totals = slots.sums(charges).map((sum) => {
      total += sum / weight;
      return total;
    });
    return slots.line(`${name} (weight ${weight})`, totals);
  });
  const title = 'Cumulative service of each tenant, divided by its weight';
  return { name: 'service', title, yLabel: 'weighted tokens', series };
}

function waitsPlot(record: DrainRecord, slots: Slots): PlotData {
  const waits = Array.from({ length: slots.count }, (): number[] => []);
  for (const [job, atMs] of servedAtMs(record.calls)) {
    const accepted = record.acceptedMs.get(job);
    if (accepted) waits[slots.of(atMs)]?.push((atMs - accepted.atMs) / 1_000);
  }
  const series = [50, 99].map((rank) =>
    slots.line(
      `p${rank}`,
      waits.map((own) => percentile(own, rank)),
    ),
  );
  const title = 'Wait from acceptance to the arrival that was served';
  return { name: 'waits', title, yLabel: 'seconds', series };
}
