import { createContext, Script } from 'node:vm';
import { Ajv, type ValidateFunction } from 'ajv';
import type { Settings } from '#config/schema.ts';

type Verdict = 'valid' | 'invalid' | 'not_judged';
type JudgeSettings = Pick<Settings['routing'], 'schemas_max' | 'schema_max_bytes'>;

/** A schema or an answer that takes longer is not judged: callers write both. */
const compileMaxMs = 500;
const validateMaxMs = 50;

/** Runs work that callers' texts may make endless (patterns, nested alternatives) for a bounded time. */
const bounded = new Script('work()');

function runBounded<T>(timeout: number, work: () => T): T {
  return bounded.runInContext(createContext({ work }), { timeout }) as T;
}

/** Whether answers follow the JSON schemas that their calls asked for; compiled schemas are kept, the latest ones. */
export class SchemaJudge {
  readonly #settings: JudgeSettings;
  readonly #compiled = new Map<string, ValidateFunction | undefined>();

  constructor(settings: JudgeSettings) {
    this.#settings = settings;
  }

  judge(schema: object, value: unknown): Verdict {
    const validate = this.#validatorOf(schema);
    if (!validate) return 'not_judged';
    try {
      return runBounded(validateMaxMs, () => validate(value)) ? 'valid' : 'invalid';
    } catch {
      return 'not_judged';
    }
  }

  /** Undefined for a schema that cannot be compiled: what its provider made of it is not known either. */
  #validatorOf(schema: object): ValidateFunction | undefined {
    const text = JSON.stringify(schema);
    if (Buffer.byteLength(text) > this.#settings.schema_max_bytes) return undefined;
    const known = this.#compiled.get(text);
    const isKnown = this.#compiled.delete(text);
    const validate = isKnown ? known : compile(schema);
    this.#compiled.set(text, validate);
    if (this.#compiled.size > this.#settings.schemas_max)
      this.#compiled.delete(this.#compiled.keys().next().value!);
    return validate;
  }
}

function compile(schema: object): ValidateFunction | undefined {
  try {
    // One instance each: an instance keeps whatever it has compiled.
    return runBounded(compileMaxMs, () =>
      new Ajv({ strict: false, validateSchema: false, validateFormats: false, logger: false }).compile(
        schema,
      ),
    );
  } catch {
    return undefined;
  }
}
