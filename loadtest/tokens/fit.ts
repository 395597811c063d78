// Fits the weights of shared/tokens/estimate-tokens.ts to a real vocabulary, and prints them with the error per kind of
// text, of the fitted weights and of those in the code: `node loadtest/tokens/fit.ts`, `--json` for one JSON object.
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { countFeatures, featureNames } from '#shared/tokens/count-features.ts';
import { estimateTextTokens } from '#shared/tokens/estimate-tokens.ts';
import { generateCorpus, type Text } from './corpus.ts';

const [trainingSeed, heldOutSeed] = [1, 2];
const textsPerKind = 60;
const sweeps = 4_000;
/** The encoder is quadratic in unbroken runs: longer ones are cut, at the cost of a token or two each. */
const runMax = 256;
const longRun = new RegExp(`(\\S{${runMax}}(?=\\S)|\\s{${runMax}}(?=\\s))`, 'g');

/** Tokens of a text in OpenAI's o200k vocabulary. */
export function countRealTokens(text: string): number {
  return text
    .replace(longRun, '$1\0')
    .split('\0')
    .reduce((sum, piece) => sum + countTokens(piece), 0);
}

interface Sample {
  kind: string;
  features: Float64Array;
  real: number;
}

const sampleOf = ({ kind, text }: Text): Sample => ({
  kind,
  features: countFeatures(text),
  real: countRealTokens(text),
});

/** Least squares of the relative error, no weight below zero: coordinate descent, which is exact for such a problem. */
export function fitWeights(samples: readonly Sample[]): number[] {
  const rows = samples.map(({ features, real }) => Array.from(features, (count) => count / real));
  const size = featureNames.length;
  const products = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_unused, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
  );
  const targets = Array.from({ length: size }, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0));
  const weights = new Array<number>(size).fill(1);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (let i = 0; i < size; i++) {
      if (products[i]![i] === 0) continue;
      const others = weights.reduce((sum, weight, j) => sum + (j === i ? 0 : weight * products[i]![j]!), 0);
      weights[i] = Math.max(0, (targets[i]! - others) / products[i]![i]!);
    }
  }
  return weights;
}

const estimateWith = (weights: readonly number[], features: Float64Array) =>
  Math.ceil(features.reduce((sum, count, index) => sum + count * weights[index]!, 0));

interface KindError {
  /** Of the average text, with its sign: above zero, too many tokens are reckoned. */
  bias: number;
  p50: number;
  p95: number;
}

function errorsOf(errors: number[]): KindError {
  const sorted = errors.map(Math.abs).toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const percent = (value: number) => Math.round(value * 1_000) / 10;
  const bias = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { bias: percent(bias), p50: percent(at(0.5)), p95: percent(at(0.95)) };
}

/** Errors in per cent, by kind of text. */
export function errorsByKind(texts: readonly Text[], estimate: (text: string) => number) {
  const kinds = Map.groupBy(texts, ({ kind }) => kind);
  const rows = [...kinds].map(([kind, its]) => {
    const errors = its.map(({ text }) => estimate(text) / countRealTokens(text) - 1);
    return [kind, errorsOf(errors)] as const;
  });
  return Object.fromEntries(rows) as Record<string, KindError>;
}

export const heldOutCorpus = () => generateCorpus(heldOutSeed, textsPerKind);

export function fitAndCompare() {
  const weights = fitWeights(generateCorpus(trainingSeed, textsPerKind).map(sampleOf));
  const heldOut = heldOutCorpus();
  return {
    weights: Object.fromEntries(
      featureNames.map((name, index) => [name, Math.round(weights[index]! * 1_000) / 1_000]),
    ),
    fitted: errorsByKind(heldOut, (text) => estimateWith(weights, countFeatures(text))),
    inCode: errorsByKind(heldOut, estimateTextTokens),
  };
}

if (import.meta.main) {
  const { weights, fitted, inCode } = fitAndCompare();
  if (process.argv.includes('--json')) console.log(JSON.stringify({ weights, fitted, inCode }));
  else {
    console.log('Fitted weights');
    console.table(weights);
    console.log('Error of the fitted weights on texts that were not fitted, in per cent');
    console.table(fitted);
    console.log('Error of the weights in the code, in per cent');
    console.table(inCode);
  }
}
