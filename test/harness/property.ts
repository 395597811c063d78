import fc from 'fast-check';

/** Seed of every property test: fixed, so that a failure comes back; fast-check prints it with the counterexample. */
const seed = 20_260_101;

/** Checks a property over `runs` generated inputs. */
export async function holds(runs: number, property: fc.IRawProperty<unknown>): Promise<void> {
  await fc.assert(property, { seed, numRuns: runs, endOnFailure: false });
}
