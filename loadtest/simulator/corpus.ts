import { type Random, seededRandom } from '#shared/kernel/random.ts';

const words =
  'river stone light quiet amber morning harbor signal paper window garden iron velvet north copper meadow lantern drift ember hollow cedar orbit marble thread winter canyon willow beacon silver pocket timber cloud'.split(
    ' ',
  );
const tableSize = 8192;
const shortestAnswer = 16;
const answerSpread = 49;

/**
 * The deterministic content of every answer: the same seed and body give the same words, in slices of one table
 * that was written once, so that an answer costs no work per token.
 */
export class Corpus {
  readonly #seed: number;
  readonly #text: string;
  /** Where word `i` of the table starts in `#text`; twice the table, so that no slice has to wrap. */
  readonly #starts: Uint32Array;
  readonly #noise: Float32Array;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    const random = seededRandom(seed);
    const table = Array.from({ length: tableSize }, () => words[Math.floor(random.next() * words.length)]!);
    this.#starts = new Uint32Array(2 * tableSize + 1);
    let length = 0;
    for (let index = 0; index < 2 * tableSize; index++) {
      this.#starts[index] = length;
      length += table[index % tableSize]!.length + 1;
    }
    this.#starts[2 * tableSize] = length;
    const once = `${table.join(' ')} `;
    this.#text = once + once;
    this.#noise = noiseTable(random);
  }

  /** How long an answer to this body is when nothing else says so: 16 to 64 tokens. */
  naturalLength(bodyHash: number): number {
    return shortestAnswer + (this.#mix(bodyHash) % answerSpread);
  }

  /** `count` words, one token each, every word followed by a space. */
  words(bodyHash: number, count: number): string {
    const offset = this.#mix(bodyHash) % tableSize;
    let text = '';
    for (let left = count; left > 0; left -= tableSize) {
      text += this.#text.slice(this.#starts[offset], this.#starts[offset + Math.min(left, tableSize)]);
    }
    return text;
  }

  /** The words of the same text one by one, as a stream sends them. */
  wordList(bodyHash: number, count: number): string[] {
    const offset = this.#mix(bodyHash) % tableSize;
    return Array.from({ length: count }, (_, index) => {
      const at = offset + (index % tableSize);
      return this.#text.slice(this.#starts[at], this.#starts[at + 1]);
    });
  }

  /** A vector of about unit length: the sum of what its features stand for, so that texts with much in common are near. */
  vector(features: readonly number[], dimensions: number): Float32Array {
    const scale = Math.sqrt(3 / (dimensions * Math.max(1, features.length)));
    const offsets = features.map((feature) => this.#mix(feature) % tableSize);
    return Float32Array.from({ length: dimensions }, (_, index) => {
      let sum = 0;
      for (const offset of offsets) sum += this.#noise[(offset + index) % tableSize]!;
      return sum * scale;
    });
  }

  #mix(hash: number): number {
    const mixed = Math.imul(hash ^ this.#seed ^ (hash >>> 15), 0x2c1b3c6d);
    return (mixed ^ (mixed >>> 12)) >>> 0;
  }
}

function noiseTable(random: Random): Float32Array {
  return Float32Array.from({ length: tableSize }, () => random.next() * 2 - 1);
}
