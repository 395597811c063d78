/**
 * What the estimate is made of: counts over one pass of the text, O(length) whatever the text is. A byte-pair encoder
 * is quadratic on long unbroken runs, which any caller can send; this is not.
 */
export const featureNames = [
  'words',
  'longWordChars',
  'camelHumps',
  'digitGroups',
  'punctuation',
  'lineBreaks',
  'spaceRuns',
  'latin',
  'cyrillic',
  'arabic',
  'cjk',
  'surrogates',
  'other',
] as const;
export type FeatureName = (typeof featureNames)[number];

/** Letters of a word that a vocabulary usually holds whole. */
const wholeWordChars = 7;
const digitsPerToken = 3;
/** Spaces that one token swallows. */
const spacesPerToken = 16;

const [
  words,
  longWordChars,
  camelHumps,
  digitGroups,
  punctuation,
  lineBreaks,
  spaceRuns,
  latin,
  cyrillic,
  arabic,
  cjk,
  surrogates,
  other,
] = [...featureNames.keys()];

/** Index of the feature that one UTF-16 unit outside ASCII counts for. */
function featureOfUnit(unit: number): number {
  if (unit >= 0xd800 && unit <= 0xdfff) return surrogates!;
  if (unit < 0x370) return latin!;
  if (unit >= 0x370 && unit < 0x590) return cyrillic!;
  if (unit >= 0x590 && unit < 0x1000) return arabic!;
  if (
    (unit >= 0x2e80 && unit < 0xa000) ||
    (unit >= 0xac00 && unit < 0xd7b0) ||
    (unit >= 0xf900 && unit < 0xfb00)
  )
    return cjk!;
  return other!;
}

const isLower = (unit: number) => unit >= 0x61 && unit <= 0x7a;
const isUpper = (unit: number) => unit >= 0x41 && unit <= 0x5a;
const isDigit = (unit: number) => unit >= 0x30 && unit <= 0x39;

/** Counts of all features, in the order of `featureNames`. */
export function countFeatures(text: string): Float64Array {
  const counts = new Float64Array(featureNames.length);
  let at = 0;
  while (at < text.length) at = countRun(text, at, counts);
  return counts;
}

/** Counts the run that begins at `from` and returns where it ends. */
function countRun(text: string, from: number, counts: Float64Array): number {
  const unit = text.charCodeAt(from);
  if (isLower(unit) || isUpper(unit)) return countWord(text, from, counts);
  if (isDigit(unit)) return countWhile(text, from, counts, digitGroups!, digitsPerToken, isDigit);
  if (unit === 0x20 || unit === 0x09) return countSpaces(text, from, counts);
  if (unit === 0x0a || unit === 0x0d)
    return countWhile(
      text,
      from,
      counts,
      lineBreaks!,
      spacesPerToken,
      (each) => each === 0x0a || each === 0x0d,
    );
  counts[unit < 0x80 ? punctuation! : featureOfUnit(unit)]!++;
  return from + 1;
}

function countWord(text: string, from: number, counts: Float64Array): number {
  let at = from;
  let humps = 0;
  let wasLower = false;
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const lower = isLower(unit);
    if (!lower && !isUpper(unit)) break;
    if (wasLower && !lower) humps++;
    wasLower = lower;
  }
  counts[words!]!++;
  counts[camelHumps!]! += humps;
  counts[longWordChars!]! += Math.max(0, at - from - wholeWordChars * (humps + 1));
  return at;
}

/** A single space belongs to the word behind it; longer runs cost by their length. */
function countSpaces(text: string, from: number, counts: Float64Array): number {
  let at = from;
  while (at < text.length && (text.charCodeAt(at) === 0x20 || text.charCodeAt(at) === 0x09)) at++;
  if (at - from > 1) counts[spaceRuns!]! += Math.ceil((at - from) / spacesPerToken);
  return at;
}

function countWhile(
  text: string,
  from: number,
  counts: Float64Array,
  feature: number,
  perToken: number,
  belongs: (unit: number) => boolean,
): number {
  let at = from;
  while (at < text.length && belongs(text.charCodeAt(at))) at++;
  counts[feature]! += Math.ceil((at - from) / perToken);
  return at;
}
