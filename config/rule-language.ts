import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import { RE2JS } from 're2js';

/** What a rule may ask about a call. Whole numbers are integers in the language, so they are handed over as such. */
export interface RuleFacts {
  model: string;
  tenant: string;
  key: string;
  team: string;
  user: string;
  feature: string;
  /** Of the day, UTC. */
  hour: number;
  /** Of the tightest budget that holds for the call, percent; 0 without one. */
  budget_used: number;
  tokens: { input: number };
  /** Of the first target: how long a call would wait in it now, and how many do. */
  pool: { wait_ms: number; depth: number };
  /** Those that `routing.rule_headers` names; names in small letters. */
  headers: Record<string, string>;
  metadata: Record<string, string>;
}

export interface Rule {
  /** A rule that cannot be evaluated, as one that reads a header which is missing, does not hold. */
  holds(facts: RuleFacts): boolean;
  /** Whether it asks how full the pool is. */
  asksPool: boolean;
  /** Whether it asks for the budget. */
  asksBudget: boolean;
}

/** Bounds of one expression: what an operator may write stays cheap for every call. */
const limits = {
  maxAstNodes: 200,
  maxDepth: 20,
  maxListElements: 50,
  maxMapEntries: 50,
  maxCallArguments: 8,
} as const;
const loopsMax = 2;
const patternMaxLength = 500;
const loops = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/**
 * Compiles an expression of the Common Expression Language. `matches` is refused, because the library runs it with
 * backtracking regular expressions; `re2(text, pattern)` takes its place.
 *
 * @throws RangeError that says what is wrong with the expression
 */
export function compileRule(text: string): Rule {
  const patterns = new Map<string, RE2JS>();
  const environment = environmentOf(patterns);
  try {
    const parsed = environment.parse(text);
    const read = inspect(parsed.ast, patterns);
    const { valid, type, error } = parsed.check();
    if (!valid) throw new RangeError(firstLine(error));
    if (type !== 'bool') throw new RangeError(`is of type ${type}, and must be true or false`);
    return {
      holds: (facts) => evaluate(parsed, facts),
      asksPool: read.has('pool'),
      asksBudget: read.has('budget_used'),
    };
  } catch (error) {
    throw error instanceof RangeError ? error : new RangeError(firstLine(error));
  }
}

const firstLine = (error: unknown) => String((error as Error).message).split('\n')[0]!;

function environmentOf(patterns: ReadonlyMap<string, RE2JS>): Environment {
  const environment = new Environment({ limits })
    .registerVariable('budget_used', 'double')
    .registerVariable('hour', 'int')
    .registerVariable({ name: 'tokens', schema: { input: 'int' } })
    .registerVariable({ name: 'pool', schema: { wait_ms: 'int', depth: 'int' } })
    .registerVariable('headers', 'map<string, string>')
    .registerVariable('metadata', 'map<string, string>')
    .registerFunction('re2(string, string): bool', (subject: string, pattern: string) =>
      patterns.get(pattern)!.matcher(subject).find(),
    );
  for (const name of ['model', 'tenant', 'key', 'team', 'user', 'feature'])
    environment.registerVariable(name, 'string');
  return environment;
}

/** Walks an expression: the names it reads. Fills `patterns`. @throws RangeError for what is not allowed */
function inspect(root: ASTNode, patterns: Map<string, RE2JS>): Set<string> {
  const names = new Set<string>();
  const visit = (node: ASTNode, looped: number) => {
    if (node.op === 'id') names.add(node.args);
    const called = node.op === 'call' || node.op === 'rcall' ? node.args[0] : undefined;
    if (called === 'matches')
      throw new RangeError('matches() is not allowed; use re2(text, "pattern"), which cannot run for long');
    if (called === 're2') addPattern(node, patterns);
    const inside = called !== undefined && loops.has(called) ? looped + 1 : looped;
    if (inside > loopsMax) throw new RangeError(`loops are nested more than ${loopsMax} deep`);
    for (const child of childrenOf(node.args)) visit(child, inside);
  };
  visit(root, 0);
  return names;
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf);
  return typeof args === 'object' && args !== null && 'op' in args ? [args as ASTNode] : [];
}

function addPattern(node: ASTNode, patterns: Map<string, RE2JS>): void {
  const [, given] = node.args as unknown as [string, ASTNode[]];
  const pattern = given[1]?.op === 'value' ? given[1].args : undefined;
  if (typeof pattern !== 'string' || pattern.length > patternMaxLength)
    throw new RangeError(`the pattern of re2() must be a text of at most ${patternMaxLength} characters`);
  try {
    patterns.set(pattern, RE2JS.compile(pattern));
  } catch (error) {
    throw new RangeError(`the pattern of re2() is not valid: ${firstLine(error)}`);
  }
}

const whole = (value: number) => BigInt(Math.round(value));

function evaluate(expression: (facts: Record<string, unknown>) => unknown, facts: RuleFacts): boolean {
  const { hour, tokens, pool } = facts;
  try {
    const given = {
      ...facts,
      hour: whole(hour),
      tokens: { input: whole(tokens.input) },
      pool: { wait_ms: whole(pool.wait_ms), depth: whole(pool.depth) },
    };
    return expression(given) === true;
  } catch {
    return false;
  }
}
