import {
  compileRule,
  type RouteSettings,
  type Rule,
  type Settings,
  type TargetSettings,
} from '#config/schema.ts';

export type CompiledRule = RouteSettings['rules'][number] & { rule: Rule };
/** A route of the configuration with its rules compiled. */
export type CompiledRoute = Omit<RouteSettings, 'rules'> & { name: string; rules: CompiledRule[] };

/** The routes of the configuration; made anew when it changes. */
export class CompiledRoutes {
  readonly #routes: ReadonlyMap<string, CompiledRoute>;

  constructor(routes: Settings['routes']) {
    const compiled = Object.entries(routes).map(([name, { rules, ...route }]) => {
      const compiledRules = rules.map((rule) => ({ ...rule, rule: compileRule(rule.when) }));
      return [name, { ...route, name, rules: compiledRules }] as const;
    });
    this.#routes = new Map(compiled);
  }

  get(name: string): CompiledRoute | undefined {
    return this.#routes.get(name);
  }

  names(): string[] {
    return [...this.#routes.keys()];
  }

  /** Models whose pools are looked at because a route or a rule goes by how full they are. */
  gaugedModels(): string[] {
    return [...this.#routes.values()].filter(asksPools).flatMap(modelsOf);
  }

  get asksLatencies(): boolean {
    return [...this.#routes.values()].some(({ strategy }) => strategy === 'latency');
  }
}

function asksPools({ strategy, on, rules }: CompiledRoute): boolean {
  const passesOver = on.includes('breaker_open') || on.includes('quota');
  return strategy === 'shortest_wait' || passesOver || rules.some(({ rule }) => rule.asksPool);
}

function modelsOf({ targets, fallbacks, rules, canary }: CompiledRoute): string[] {
  const lists: readonly (readonly TargetSettings[])[] = [
    targets,
    fallbacks,
    ...rules.map((rule) => rule.targets ?? []),
  ];
  return [...lists.flat().map(({ model }) => model), ...(canary ? [canary.model] : [])];
}
