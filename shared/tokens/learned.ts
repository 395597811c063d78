/**
 * What earlier calls of a tenant to a model taught: means and mean deviations, smoothed as TCP smooths round-trip times
 * (RFC 6298: the mean moves by 1/8 of each error, the deviation by 1/4). settle.lua updates it; a sample counts no further from the mean than 4 deviations, so that one outlier
 * moves the mean by at most half a deviation, while a lasting change widens the deviation and is followed.
 */
export interface Learned {
  /** Real input tokens over the linear estimate. */
  ratio: number;
  ratioDeviation: number;
  /** Real output tokens of a call. */
  output: number;
  outputDeviation: number;
  /** Calls it was learned from; the first ones count for more than 1/8, as in a plain average. */
  calls: number;
}

/** What is taken for granted before the first call; it then counts as one call. */
export const untaught: Learned = {
  ratio: 1,
  ratioDeviation: 0.125,
  output: 256,
  outputDeviation: 128,
  calls: 1,
};

/**
 * TCP's timer takes four, but a timer stands alone: the errors of calls that run at the same time cancel out, and what is
 * held in vain is not used by others. test/simulation/real-output.test.ts weighs one against the other.
 */
const deviationsAbove = 2;
/** Even calls that were all alike are not trusted to stay so: the deviation is at least this share of the mean. */
const leastDeviationShare = 0.05;

/** Output that a call seldom exceeds. */
export function safeOutput({ output, outputDeviation }: Learned): number {
  return output + deviationsAbove * Math.max(outputDeviation, leastDeviationShare * output);
}

/** The text of a field of the tenant's hash, as settle.lua reads and writes it. */
export function formatLearned(learned: Learned): string {
  const { ratio, ratioDeviation, output, outputDeviation, calls } = learned;
  return [ratio, ratioDeviation, output, outputDeviation, calls].join(' ');
}

/** @returns undefined for what is no such text */
export function parseLearned(text: string): Learned | undefined {
  const numbers = text.split(' ').map(Number);
  if (numbers.length !== 5 || !numbers.every((each) => Number.isFinite(each) && each >= 0)) return undefined;
  const [ratio, ratioDeviation, output, outputDeviation, calls] = numbers as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { ratio, ratioDeviation, output, outputDeviation, calls };
}

/** Name of the field of a model. */
export const learnedField = (provider: string, model: string) => `${provider}/${model}`;
