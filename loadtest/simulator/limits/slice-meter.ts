import { FixedMeter } from './fixed-meter.ts';

/**
 * A ceiling per minute that is judged on short slices, as Azure documents for requests: 600 a minute become 10 in
 * each second, and whoever sends a minute's allowance at once is refused.
 */
export class SliceMeter extends FixedMeter {
  constructor(options: {
    amount: number;
    windowMs: number;
    sliceMs: number;
    allowPerSlice?: number | undefined;
  }) {
    const share = Math.floor((options.amount * options.sliceMs) / options.windowMs);
    super({ amount: options.allowPerSlice ?? Math.max(1, share), windowMs: options.sliceMs });
  }
}
