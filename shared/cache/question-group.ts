/** Questions that may share answers: those of one tenant and namespace that differ in their last message alone. */
export interface QuestionGroup {
  tenant: string;
  namespace: string;
  /** Digest of all but the last message. */
  group: string;
}

/** One question that was answered before. */
export interface Neighbour {
  /** Digest of its request. */
  key: string;
  cosine: number;
}

/** Unit vectors of questions by group. What it holds may outlive the answers; whoever finds a question looks for its answer. */
export interface VectorIndex {
  /** The questions nearest to a vector, nearest first. */
  nearest(group: QuestionGroup, vector: Float32Array, count: number): Promise<Neighbour[]>;
  /** May be sent again. */
  add(group: QuestionGroup, key: string, vector: Float32Array, ttlMs: number): Promise<void>;
  /** Forgets the questions of a namespace, or all of the tenant. */
  clear(tenant: string, namespace: string | undefined): Promise<void>;
  /** Drops questions whose answers are gone. */
  drop(group: QuestionGroup, keys: readonly string[]): Promise<void>;
}

/** Its name within the tenant. */
export const groupOf = ({ namespace, group }: QuestionGroup) => `${namespace}:${group}`;
